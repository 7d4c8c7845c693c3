"""Reads a source whatever its clock does, and hands its packets on with times of our own clock.

A publisher comes back and counts from zero, a sender loops, a camera is set to another hour:
ffmpeg, which goes by the times in the packets, then drops pictures, squeezes them or cuts a file
a second. So one ffmpeg reads and leaves all times as they come, this program puts each track's
packets behind one another, writes into key frames when they came, and a second ffmpeg does what
is to be done with them.

Run as `python3 retime.py READER -- WRITER`, two command lines. READER ends where its outputs
would stand; before it may stand `--paced`, to read a file no faster than it plays, `--loop`, to
read it over and over, and `--whatever-comes`, to go on with what can be passed on. WRITER reads
Matroska from standard input and may name in any argument `{begun}`, the Unix time of the first
packet in seconds, and `{heads}`, the bitstream filters with which every segment of a transport
stream can be read by itself. Between the reports of WRITER, standard output has lines `jumps=…`
and `jumped=…` (by how many seconds the last time). What cannot be passed on ends it, with one of
the words in `ENDS` as the last on standard error. READER's standard input is this program's; asked
to end, it asks READER alone, so that WRITER has all.
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
from dataclasses import replace
from pathlib import Path

# Nothing but its neighbours, which need no packages: it is to start at once.
sys.path.append(str(Path(__file__).parents[2]))
from fleet.programs.continuity import BEGIN, SECOND, TOGETHER, Block, Continuity
from fleet.programs.discreet import without_login
from fleet.programs.matroska import MARK, SHIFT, Matroska, changed, cluster
from fleet.programs.stamp import Arrivals, in_units

UNCARRIED = "cannot pass this codec on"
UNTIMED = "pictures come without times"
CHANGED = "begins anew"
ENDS = (UNCARRIED, UNTIMED, CHANGED)
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
_ANNOUNCED, _HELD = 1000, 1.0
"""Packets whose times are kept until they are here, and seconds they may take for the way."""
_PATIENCE = 1.0
"""Seconds a reader may take to end."""
_USUAL_STEP = SECOND // 25


class _End(Exception):
    """Nothing more can be passed on; the text says why."""


def _outputs(announced: int, begun: int) -> tuple[list[str], list[str]]:
    """What the reader is to write: packets to us, and apart from them what tells of each.

    That is when it came, and when a codec changes. The muxer wants one time of each packet that
    only grows: that is when it came, since `begun`. The other one is the source's own, whatever
    it is.
    """
    shown = f"if(eq(PTS,NOPTS),DTS+{MARK},PTS)+{SHIFT}"
    came = f"max((time(0)-{begun})/TB,if(N,PREV_OUTDTS+1,0))"
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
        self._arrivals = Arrivals(SECOND)
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
        self._units: dict[bytes, float] = {}
        """Of each stream, how many seconds the unit of its times is."""
        self._came_at: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_ANNOUNCED))
        """Of each track, when the packets came that are not here yet, in seconds of `_since`."""
        self._unannounced: dict[int, int] = defaultdict(int)
        """Of each track, how many are here before it was said when they came."""
        self._loop = "--loop" in how
        self._came = 0
        self._read()

    def _read(self) -> None:
        """Start the reader."""
        self._matroska, self._seen, self._since = Matroska(), self._came, int(time.time())
        reader = self._reader_argv
        announced, far_end = os.pipe()
        maps = list(reader[reader.index("-map") :]) if "-map" in reader else []
        passed_on, looked_at = _outputs(far_end, self._since)
        argv = [*reader, *passed_on, *maps, *looked_at]
        self._reader = subprocess.Popen(
            argv,
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

    def ask(self, *_: object) -> None:
        """Have the reader end; the writer does once it has all, and this after both."""
        self._loop = False
        self._reader.send_signal(signal.SIGINT)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)

    def insist(self, *_: object) -> None:
        """A reader that waits for the network hears nothing."""
        self._reader.kill()

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
        now = time.monotonic()
        self._arrivals.came(at, round((now - block.late) * SECOND))
        codec, length = self._matroska.units.get(block.track, ("", 0))
        if codec and block.key:
            came = (at + (self._arrivals.late or 0)) / SECOND + time.time() - now
            block = changed(block, lambda data: in_units(codec, data, length, came))
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
            block.at, block.late = now, self._late(block.track)
            self._came += 1
            if self._writer is None:
                self._begin(now)
            for timed in self._timed(block):
                self._place(self._line.put(timed))

    def _late(self, track: int) -> float:
        """How many seconds ago the next packet of a track came, as the reader says."""
        announced = self._came_at[track]
        if not announced:
            self._unannounced[track] += 1
            return 0.0
        late = time.time() - self._since - announced.popleft()
        return late if 0 < late < _HELD and not self._paced else 0.0

    def _learn_came(self, track: int, came: float) -> None:
        if self._unannounced[track]:
            self._unannounced[track] -= 1
        else:
            self._came_at[track].append(came)

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
        # What proxy the reader has is none of the writer's.
        others = {name: value for name, value in os.environ.items() if name != "http_proxy"}
        self._writer = subprocess.Popen(argv, stdin=subprocess.PIPE, env=others)
        if self._writer.stdin is not None:
            self._writer.stdin.write(self._matroska.header)

    def _read_words(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            if not _USUAL.search(line):
                os.write(2, without_login(line) + b"\n")
            if _NOT_CARRIED.search(line) and self._writer is None:
                raise _End(UNCARRIED)
            if _NEW_TRACK.search(line) and self._ends:
                raise _End(f"a track came: the recording {CHANGED}")

    def _read_announced(self, data: bytes) -> None:
        *lines, self._announced = (self._announced + data).split(b"\n")
        for line in lines:
            first, unit, packet = _FIRST.match(line), _UNIT.match(line), _PACKET.match(line)
            if first:
                self._first[first[1]] = first[2]
            if unit:
                self._units[unit[1]] = int(unit[2]) / int(unit[3])
            if packet:
                came = int(packet[2]) * self._units.get(packet[1], 0.0)
                self._learn_came(int(packet[1]) + 1, came)
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
_UNIT = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_PACKET = re.compile(rb"(\d+), *(\d+), ")
_SIDE_DATA = re.compile(rb"(\d+),.*, S=\d+, +(\d+), (\w+)")


def _say(level: str, text: str) -> None:
    print(f"[retime] [{level}] {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run both; the exit status."""
    begin = next(at for at, part in enumerate(argv) if not part.startswith("--"))
    middle = argv.index("--")
    retimer = Retimer(argv[begin:middle], argv[middle + 1 :], argv[:begin])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, retimer.ask)
    signal.signal(signal.SIGALRM, retimer.insist)
    signal.signal(signal.SIGHUP, lambda *_: None)
    return retimer.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
