"""Reads a source whatever its clock does, and hands its packets on with times of our own clock.

A publisher comes back and counts from zero, a sender loops, a camera is set to another hour:
ffmpeg, which goes by the times in the packets, then drops pictures, squeezes them or cuts a file
a second. So one ffmpeg reads and leaves all times as they come, this program puts each track's
packets behind one another, and a second ffmpeg does what is to be done with them.

Run as `python3 retime.py READER -- WRITER`, two command lines. READER ends where its outputs
would stand; before it may stand `--paced`, to read a file no faster than it plays, `--loop`, to
read it over and over, and `--whatever-comes`, to go on with what can be passed on. WRITER reads
Matroska from standard input and may name in any argument `{begun}`, the Unix time of the first
packet in seconds, and `{heads}`, the bitstream filters with which every segment of a transport
stream can be read by itself. Between the reports of WRITER, standard output has lines `jumps=…`
and `jumped=…` (by how many seconds the last time). What cannot be passed on ends it, with one of
the words in `ENDS` as the last on standard error.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

SECOND = 1000
"""All times are in milliseconds, as Matroska has them, unless they say seconds."""
BEGIN = 10 * SECOND
"""Where a line begins: a track may turn out to have begun before the first packet."""
REORDERED = SECOND
"""How far back the times of pictures go that are sent in another order than they are shown."""
SLACK = SECOND // 20
AHEAD = SECOND
"""How much further than our own clock a source's clock may go between two packets."""
TOGETHER = 0.5
"""Seconds in which all tracks of a source that began anew are to come."""
NEAR = 5 * SECOND
"""Tracks whose clocks are further apart have clocks of their own."""

UNCARRIED = "cannot pass this codec on"
UNTIMED = "pictures come without times"
CHANGED = "begins anew"
ENDS = (UNCARRIED, UNTIMED, CHANGED)


@dataclass
class Block:
    """One packet of a track; `raw` is its time as the source has it."""

    track: int
    raw: int
    key: bool
    data: bytes
    at: float = 0.0
    """When it came, in seconds of our clock."""


@dataclass
class _Track:
    offset: int
    """From the source's time to ours."""
    top: int
    """The highest time so far, the source's."""
    raw: int
    at: float
    steps: deque[int] = field(default_factory=lambda: deque(maxlen=16))

    @property
    def due(self) -> int:
        """Where the next packet is expected, on our line."""
        return self.top + min(self.steps, default=0) + self.offset

    def move(self, raw: int, offset: int) -> None:
        """Go on at another time of the source."""
        self.offset, self.top, self.raw = offset, raw, raw


class Continuity:
    """Puts the packets of all tracks on one line that never jumps.

    What is in order keeps the distance that the source gave it. A track that jumps waits a
    moment for the others, so that they go on together as the source has them; where it is alone,
    it goes on where it would have been.
    """

    def __init__(self, pictures: frozenset[int] = frozenset()) -> None:
        self._pictures = pictures
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[Block] = []
        self._begun = 0.0
        self._expected = False
        self.jumps = 0
        self.jumped = 0.0
        """By how many seconds the source's clock went wrong the last time."""

    def begins_again(self) -> None:
        """Know that the source's clock begins again, which is no jump and no pause."""
        self._expected = True

    @property
    def waits(self) -> bool:
        """Whether packets are held back."""
        return bool(self._waiting)

    def put(self, block: Block) -> Iterator[tuple[int, Block]]:
        """Take a packet; gives what is in order now, each with its time on our line."""
        joined = {one.track for one in self._waiting}
        if block.track in joined or self._jumps(block):
            self._waiting.append(block)
        else:
            yield self._placed(block), block
        yield from self.due(block.at)

    def due(self, now: float) -> Iterator[tuple[int, Block]]:
        """What need not wait any longer at `now`."""
        while self._waiting:
            first = self._waiting[0].at
            joined = {one.track for one in self._waiting}
            latest = max(track.at for track in self._tracks.values())
            missing = [
                track.at
                for number, track in self._tracks.items()
                if number not in joined and track.at > latest - 4 * TOGETHER
            ]
            if missing and now - first <= TOGETHER:
                return
            waiting, self._waiting = self._waiting, []
            paused = not self._expected and all(at < first for at in missing)
            self._begin_anew(waiting, paused)
            for index, block in enumerate(waiting):
                if self._jumps(block):
                    self._waiting = waiting[index:]
                    break
                yield self._placed(block), block

    def _jumps(self, block: Block) -> bool:
        """Whether a packet's time cannot follow the one before; adopts what others found."""
        track = self._tracks.get(block.track)
        if track is None:
            self._join(block)
            return False
        back = track.top - block.raw
        unsorted = block.track in self._pictures and not block.key
        ahead = -back - round((block.at - track.at) * SECOND)
        usual = max(AHEAD, 2 * (track.steps[-1] if track.steps else 0))
        others = [other for other in self._tracks.values() if other is not track]
        with_others = any(
            other.offset == track.offset and abs(block.raw - other.top) < AHEAD for other in others
        )
        if back <= (REORDERED if unsorted else SLACK) and (ahead <= usual or with_others):
            return False
        for other in others:  # which jumped before, and this one follows
            late = block.raw + other.offset - track.due
            most = AHEAD + (block.at - track.at) * SECOND
            if other.offset != track.offset and -AHEAD // 4 < late < most:
                track.move(block.raw, other.offset)
                return False
        return True

    def _join(self, block: Block) -> None:
        """Let a new track in: by the clock of the others, or else with one of its own."""
        others = self._tracks.values()
        if not others:
            self._begun = block.at
            offset = BEGIN - block.raw
        else:
            nearest = min(others, key=lambda other: abs(block.raw - other.top))
            offset = nearest.offset
            if abs(block.raw - nearest.top) > NEAR:
                offset = max(other.top + other.offset for other in others) - block.raw
        self._tracks[block.track] = _Track(offset, block.raw, block.raw, block.at)

    def _begin_anew(self, waiting: Sequence[Block], paused: bool) -> None:
        """Find where the tracks that wait go on: none before its own end, all as far apart.

        A pause lasts as long as it did, where nothing else came meanwhile.
        """
        head = waiting[0]
        firsts: dict[int, int] = {}
        for block in waiting:
            firsts[block.track] = min(block.raw, firsts.get(block.track, block.raw))
        now = BEGIN + round((head.at - self._begun) * SECOND) if paused else 0
        offsets = {n: max(self._tracks[n].due, now) - raw for n, raw in firsts.items()}
        together = [n for n, raw in firsts.items() if abs(raw - head.raw) < NEAR]
        shared = max(offsets[n] for n in together)
        self.jumps += not self._expected
        self._expected = False
        self.jumped = (self._tracks[head.track].offset - shared) / SECOND
        for number, raw in firsts.items():
            self._tracks[number].move(raw, shared if number in together else offsets[number])

    def _placed(self, block: Block) -> int:
        track = self._tracks[block.track]
        if block.raw != track.raw:
            track.steps.append(min(abs(block.raw - track.raw), SECOND))
        track.top, track.raw, track.at = max(track.top, block.raw), block.raw, block.at
        return block.raw + track.offset


# -- Matroska, as ffmpeg writes it -------------------------------------------------------------

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TIME, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_TRACKS, _TRACK, _NUMBER, _TYPE, _CODEC = 0x1654AE6B, 0xAE, 0xD7, 0x83, 0x86
_WITHOUT_TIMES = {"V_MS/VFW/FOURCC"}
"""Are stored with the times at which they are decoded, and those we do not get."""
_REPEAT = "dump_extra=freq=keyframe"
_HEADS = {
    "V_MPEG4/ISO/AVC": f"h264_mp4toannexb,{_REPEAT}",
    "V_MPEG4/ISO/ASP": _REPEAT,
    "V_MPEG2": _REPEAT,
    "V_MPEG1": _REPEAT,
}
"""How the head of the codec comes before each picture at which one may begin."""
_UNTIMED = 8
"""So many packets of a track may be without a time, or one of twenty."""
_USUAL_STEP = SECOND // 25
_LARGEST = 256 * 1024 * 1024
SHIFT = 1 << 48
"""Is added to the times on the way here, for none may be below zero."""
MARK = 1 << 50
"""Is added where there is no time of when a picture is shown."""


def _number(data: bytes | bytearray, at: int, marked: bool) -> tuple[int, int] | None:
    """A number of variable length and where it ends; None if it is not all there."""
    if at >= len(data):
        return None
    length = 9 - data[at].bit_length()
    if length > 8:
        raise ValueError("no Matroska")
    if at + length > len(data):
        return None
    value = int.from_bytes(data[at : at + length], "big")
    return (value if marked else value & ((1 << 7 * length) - 1)), at + length


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that `data` consists of: what each is, and what it holds."""
    at = 0
    while at < len(data):
        kind = _number(data, at, marked=True)
        size = kind and _number(data, kind[1], marked=False)
        if not kind or not size:
            return
        yield kind[0], data[size[1] : size[1] + size[0]]
        at = size[1] + size[0]


class Matroska:
    """Takes apart what the reader writes, bit by bit."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._cluster = 0
        self.header = b""
        """All before the first packet, once that is there."""
        self.tracks: dict[int, tuple[int, str]] = {}
        """Number -> type (1 is a picture) and codec."""

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take what was read; gives the packets that are whole now."""
        self._data += data
        while True:
            kind = _number(self._data, self._at, marked=True)
            size = kind and _number(self._data, kind[1], marked=False)
            if not kind or not size:
                break
            begin, end = size[1], size[1] + size[0]
            if kind[0] in (_SEGMENT, _CLUSTER):
                if kind[0] == _CLUSTER and not self.header:
                    self.header = bytes(self._data[: self._at])
                    del self._data[: self._at]
                    begin -= self._at
                self._at = begin
                continue
            if size[0] > _LARGEST:
                raise ValueError("a packet too large")
            if end > len(self._data):
                break
            if not self.header:
                if kind[0] == _TRACKS:
                    self._learn(bytes(self._data[begin:end]))
                self._at = end  # kept, for it goes on as it is
                continue
            if kind[0] == _TIME:
                self._cluster = int.from_bytes(self._data[begin:end], "big")
            elif kind[0] in (_SIMPLE, _GROUP):
                yield self._block(kind[0], bytes(self._data[self._at : end]), begin - self._at)
            self._at = end
        if self.header:
            del self._data[: self._at]
            self._at = 0

    def _learn(self, tracks: bytes) -> None:
        for kind, entry in elements(tracks):
            if kind == _TRACK:
                one = dict(elements(entry))
                number = int.from_bytes(one[_NUMBER], "big")
                self.tracks[number] = int.from_bytes(one[_TYPE], "big"), one[_CODEC].decode()

    def _block(self, kind: int, data: bytes, begin: int) -> Block:
        at, key = begin, True
        if kind == _GROUP:
            while True:
                inner = _number(data, at, marked=True)
                size = inner and _number(data, inner[1], marked=False)
                if not inner or not size:
                    raise ValueError("a group without a packet")
                at = size[1]
                if inner[0] == _BLOCK:
                    break
                at += size[0]
        track = _number(data, at, marked=False)
        if track is None:
            raise ValueError("a packet without a track")
        number, at = track
        raw = self._cluster + int.from_bytes(data[at : at + 2], "big", signed=True)
        if kind == _SIMPLE:
            key = bool(data[at + 2] & 0x80)
        return Block(number, raw - SHIFT, key, data[:at] + b"\0\0" + data[at + 2 :])


def cluster(at: int, block: Block) -> bytes:
    """A packet at its time, as the writer reads it."""
    time_ = b"\xe7\x88" + max(at, 0).to_bytes(8, "big")
    size = (len(time_) + len(block.data) | 1 << 56).to_bytes(8, "big")
    return b"\x1f\x43\xb6\x75" + size + time_ + block.data


# -- the two ffmpegs ---------------------------------------------------------------------------


class _End(Exception):
    """Nothing more can be passed on; the text says why."""


def _outputs(announced: int) -> tuple[list[str], list[str]]:
    """What the reader is to write: packets to us, and apart from them when a codec changes.

    The muxer wants one time of each packet that only grows: that is when it came. The other one
    is the source's own, whatever it is.
    """
    shown = f"if(eq(PTS,NOPTS),DTS+{MARK},PTS)+{SHIFT}"
    came = f"max((time(0)-{int(time.time())})*1000,if(N,PREV_OUTDTS+1,0))"
    times = f"setts=pts='{shown}':dts='{came}'"
    plain = f"setts=ts='{came}'"
    matroska = ("-f", "matroska", "-live", "1", "-cluster_time_limit", "1")
    hashes = ("-f", "framehash", "-hash", "crc32")
    return (
        ["-c", "copy", "-bsf", times, *matroska, "-flush_packets", "1", "pipe:1"],
        ["-c", "copy", "-bsf", plain, *hashes, "-flush_packets", "1", f"pipe:{announced}"],
    )


class Retimer:
    """Both programs, and what goes from one to the other."""

    def __init__(self, reader: Sequence[str], writer: Sequence[str], how: Sequence[str]) -> None:
        self._writer_argv = writer
        self._paced = "--paced" in how
        self._ends = "--whatever-comes" not in how
        self._writer: subprocess.Popen[bytes] | None = None
        self._line = Continuity()
        self._untimed: dict[int, deque[Block]] = defaultdict(deque)
        self._counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        """Of each track, how many packets came, and how many of them without a time."""
        self._ready: deque[tuple[int, Block]] = deque()
        self._begun = 0.0
        self._told = 0
        self._words = b""
        self._first: dict[bytes, bytes] = {}
        self._announced = b""
        self._selector = selectors.DefaultSelector()
        self._reader_argv = reader
        self._loop = "--loop" in how
        self._came = 0
        self._read()

    def _read(self) -> None:
        """Start the reader."""
        self._matroska, self._seen = Matroska(), self._came
        reader = self._reader_argv
        announced, far_end = os.pipe()
        maps = list(reader[reader.index("-map") :]) if "-map" in reader else []
        passed_on, looked_at = _outputs(far_end)
        argv = [*reader, *passed_on, *maps, *looked_at]
        self._reader = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(far_end,),
        )
        os.close(far_end)
        if self._reader.stdout is None or self._reader.stderr is None:
            raise RuntimeError("pipes were asked for")
        self._packets = self._reader.stdout.fileno()
        for number, handle in (
            (self._packets, self._read_packets),
            (self._reader.stderr.fileno(), self._read_words),
            (announced, self._read_announced),
        ):
            os.set_blocking(number, False)
            self._selector.register(number, selectors.EVENT_READ, handle)

    def run(self) -> int:
        """Until one of them ends; the status of the whole."""
        try:
            while self._selector.get_map():
                self._step()
            for block in self._line.due(float("inf")):
                self._pass(*block)
        except _End as end:
            self._reader.kill()
            self._finish()
            _say("error", str(end))
            return 1
        except BrokenPipeError:  # the writer ended by itself, and says why
            self._reader.kill()
            return self._finish() or 1
        written = self._finish()
        return written or self._reader.wait()

    def _finish(self) -> int:
        status = 0
        if self._writer is not None:
            if self._writer.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._writer.stdin.close()
            status = self._writer.wait()
        self._reader.wait()
        return abs(status)

    def _step(self) -> None:
        wait = None
        if self._ready:
            wait = self._begun + (self._ready[0][0] - BEGIN) / SECOND - time.monotonic()
            if wait <= 0:
                self._pass(*self._ready.popleft())
                return
        elif self._line.waits:
            wait = TOGETHER / 4
        events = self._selector.select(wait)
        for key, _ in sorted(events, key=lambda event: event[0].fd == self._packets):
            if self._ready and key.fd == self._packets:
                time.sleep(min(wait or 0, 0.02))  # it is to be read no faster than it plays
                continue
            try:
                data = os.read(key.fd, 1 << 18)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fd)
            key.data(data)
        if not self._ready:
            self._place(self._line.due(time.monotonic()))

    def _place(self, blocks: Iterator[tuple[int, Block]]) -> None:
        for at, block in blocks:
            if self._paced:
                self._ready.append((at, block))
            else:
                self._pass(at, block)
        if self._line.jumps != self._told:
            self._told = self._line.jumps
            print(f"jumps={self._told}\njumped={self._line.jumped:.3f}", flush=True)
            by = f"by {self._line.jumped:+.1f} s"
            _say("warning", f"the source's clock jumped {by}: recorded on by our own")

    def _pass(self, at: int, block: Block) -> None:
        if self._writer is not None and self._writer.stdin is not None:
            self._writer.stdin.write(cluster(at, block))
            self._writer.stdin.flush()

    def _read_packets(self, data: bytes) -> None:
        now = time.monotonic()
        if not data and self._loop and self._came > self._seen:
            self._reader.wait()
            self._line.begins_again()
            self._read()
            return
        for block in self._matroska.feed(data):
            block.at = now
            self._came += 1
            if self._writer is None:
                self._begin(now)
            for timed in self._timed(block):
                self._place(self._line.put(timed))

    def _timed(self, block: Block) -> Iterator[Block]:
        """A packet, and before it those that had no time and waited for one that has."""
        waiting, count = self._untimed[block.track], self._counts[block.track]
        count[0] += 1
        if block.raw >= MARK // 2:
            waiting.append(block)
            count[1] += 1
            if count[1] > max(_UNTIMED, count[0] // 20):
                raise _End(UNTIMED)
            return
        while waiting:
            yield replace(waiting.popleft(), raw=block.raw - (len(waiting) + 1) * _USUAL_STEP)
        yield block

    def _begin(self, now: float) -> None:
        self._begun = now
        kinds = self._matroska.tracks
        codecs = {codec for _, codec in kinds.values()}
        if _WITHOUT_TIMES & codecs:
            raise _End(UNCARRIED)
        self._line = Continuity(frozenset(n for n, (kind, _) in kinds.items() if kind == 1))
        begun = f"{time.time():.3f}"
        repeat = next((_HEADS[codec] for codec in codecs if codec in _HEADS), "null")
        argv = [part.replace("{begun}", begun) for part in self._writer_argv]
        argv = [part.replace("{heads}", repeat) for part in argv]
        self._writer = subprocess.Popen(argv, stdin=subprocess.PIPE)
        if self._writer.stdin is not None:
            self._writer.stdin.write(self._matroska.header)

    def _read_words(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            if not _USUAL.search(line):
                os.write(2, line + b"\n")
            if _NOT_CARRIED.search(line) and self._writer is None:
                raise _End(UNCARRIED)
            if _NEW_TRACK.search(line) and self._ends:
                raise _End(f"a track came: the recording {CHANGED}")

    def _read_announced(self, data: bytes) -> None:
        *lines, self._announced = (self._announced + data).split(b"\n")
        for line in lines:
            first = _FIRST.match(line)
            if first:
                self._first[first[1]] = first[2]
            changed = _SIDE_DATA.match(line)
            if not changed or not self._ends:
                continue
            _, codec = self._matroska.tracks.get(int(changed[1]) + 1, (0, ""))
            new = self._first.get(changed[1], changed[3]) != changed[3]
            if new and int(changed[2]) in _HEADERS.get(codec, range(0)):
                raise _End(f"the codec changed: the recording {CHANGED}")


_USUAL = re.compile(
    rb"Starting new cluster due to timestamp|on-monotonous DTS|non monotonically increasing dts"
    rb"|Timestamps are unset in a packet|DTS .* out of order"
)
_NOT_CARRIED = re.compile(
    rb"No .* codec tag found|codec not currently supported|Could not write header"
    rb"|Error parsing AAC extradata"
    rb"|Only audio, video, and subtitles are supported"
)
_NEW_TRACK = re.compile(rb"New (?:audio|video) stream \d")
_HEADERS = {
    "V_MPEG4/ISO/AVC": range(20, 1 << 16),
    "V_MPEGH/ISO/HEVC": range(24, 1 << 16),
    "V_AV1": range(17, 1 << 16),
    "V_THEORA": range(512, 1 << 20),
    "A_AAC": range(2, 10),
    "A_VORBIS": range(512, 1 << 20),
    "A_FLAC": range(34, 35),
}
"""Codec -> how many bytes its header may have: what else comes beside a packet has fewer."""
_FIRST = re.compile(rb"#extradata (\d+), +\d+, (\w+)")
_SIDE_DATA = re.compile(rb"(\d+),.*, S=\d+, +(\d+), (\w+)")


def _say(level: str, text: str) -> None:
    print(f"[retime] [{level}] {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run both; the exit status."""
    begin = next(at for at, part in enumerate(argv) if not part.startswith("--"))
    middle = argv.index("--")
    retimer = Retimer(argv[begin:middle], argv[middle + 1 :], argv[:begin])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # both are asked too, and this ends after them
    return retimer.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
