"""Reads a source whatever its clock does, and hands its packets on with times of our own clock.

A publisher comes back and counts from zero, a sender loops, a camera is set to another hour:
ffmpeg, which goes by the times in the packets, then drops pictures, squeezes them or cuts a file
a second. So one ffmpeg reads and leaves all times as they come, this program puts each track's
packets behind one another, writes into key frames when they came, and a second ffmpeg does what
is to be done with them. Where the pictures become others, another one goes on with those.

Run as `python3 retime.py READER -- WRITER`, two command lines. READER ends where its outputs
would stand; before it may stand `--paced`, to read a file no faster than it plays, `--loop`, to
read it over and over, `--whatever-comes`, to go on with what can be passed on, and
`--sound-decoded`, where sound cannot be passed on as it is. WRITER reads NUT from standard input
and may name in any argument `{begun}`, the Unix time of the first packet in seconds, `{offset}`,
what is to be added to times to count them from its begin, `{heads}`, the bitstream filters with
which every segment of a transport stream can be read by itself, `{enough}`, how many bytes it is to
look at before it begins, and `{first}`, a number from which it may count files; without that it
cannot follow another one.
Between the reports of WRITER, standard output has lines `format=…` (as READER calls it), `jumps=…`
and `jumped=…` (by how many seconds the last time), `changes=…` of the pictures, and `waits=…`, more
than before while nothing of a file is due. What cannot be
passed on ends it, with one of the words in `ENDS` as the last on standard error. READER's standard
input is this program's; asked to end, it asks READER alone, so that WRITER has all.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from io import FileIO, IOBase
from itertools import pairwise
from typing import IO

# Nothing but its neighbours, which need no packages: it is to start at once.
sys.path.append(__file__.rsplit("/", 3)[0])
from fleet.programs.announced import Announced
from fleet.programs.continuity import (
    AHEAD,
    AHEAD_IN_FILE,
    BEGIN,
    SECOND,
    TOGETHER,
    Block,
    Continuity,
)
from fleet.programs.discreet import without_login
from fleet.programs.heads import Head, filters
from fleet.programs.nut import BLOCKS, Nut
from fleet.programs.reader import (
    FORMAT,
    LIST_WENT_BACK,
    NEVER_CAME,
    NEW_TRACK,
    NOT_CARRIED,
    STALE,
    TABLES,
    TIMELESS,
    USUAL,
    listening,
    outputs,
    without_tables,
)
from fleet.programs.stamp import Arrivals

UNCARRIED = "cannot pass this codec on"
UNTIMED = "pictures come without times"
CHANGED = "begins anew"
_ANOTHER = f"the codec changed: the recording {CHANGED}"
ENDS = (UNCARRIED, UNTIMED, CHANGED)
_UNTIMED = 8
"""So many packets of a track may be without a time, or one of twenty."""
_PATIENCE = 1.0
"""Seconds a reader may take to end."""
_USUAL_STEP = SECOND // 25
_LEAST, _USUAL_LOOK = "32", "5000000"
"""Bytes that the writer looks at before it begins: the least is a packet."""
_STILLS = 9
"""So often a still picture goes on again before its file is read again."""
_FILES = 1_000_000
"""Files that one writer may count."""
_CHANGES, _WITHIN = 3, 60.0
"""After so many changes of the pictures in so many seconds they go where those before them go."""


class _End(Exception):
    """Nothing more can be passed on; the text says why."""


class Retimer:
    """Both programs, and what goes from one to the other."""

    def __init__(self, reader: Sequence[str], writer: Sequence[str], how: Sequence[str]) -> None:
        self._writer_argv = writer
        self._paced = "--paced" in how
        self._ends = "--whatever-comes" not in how
        self._decoded = "--sound-decoded" in how
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
        self._form = Nut()
        """How it goes on: as the first reader wrote it."""
        self._heads: dict[int, Head] = {}
        """What is known of each track."""
        self._written = 0
        """How many writers there were."""
        self._changes: deque[float] = deque(maxlen=_CHANGES)
        self._selector = selectors.DefaultSelector()
        self._reader_argv = reader
        self._loop, self._asked = "--loop" in how, False
        self._otherwise = False
        """Whether the reader is to begin once more, told otherwise."""
        self._awaited: list[str] = []
        """How the reader is told to listen for sound that is announced and has not come."""
        self._came = 0
        self._latest = Block(0, 0, False, b"")
        """The one that came last."""
        self._timeless = False
        """Whether what is read has no times, and those of its arrival are taken."""
        self._arrived = 0
        """The last of those."""
        self._lead = 0
        """So many packets of a file go on at once: the writer looks at them before it writes."""
        self._waits, self._waited = 0, 0.0
        """For how many seconds nothing of a file was due, and since when the next is not."""
        self._read()

    def _read(self) -> None:
        """Start the reader."""
        since = int(time.time())
        self._nut, self._announced = Nut(turned=self._decoded), Announced(since)
        self._seen = self._came
        reader = self._reader_argv
        announced, far_end = os.pipe()
        maps = list(reader[reader.index("-map") :]) if "-map" in reader else []
        told, passed_on = outputs(far_end, since, decoded=self._decoded)
        heard, sounds_end = os.pipe() if self._awaited else (-1, -1)
        awaited = [*self._awaited, f"pipe:{sounds_end}"] if self._awaited else []
        far_ends = {far_end, sounds_end} - {-1}
        self._reader = subprocess.Popen(
            [*reader, *told, *maps, *passed_on, *awaited],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=far_ends,
        )
        for end in far_ends:
            os.close(end)
        if self._reader.stdout is None or self._reader.stderr is None:
            raise RuntimeError("pipes were asked for")
        self._packets, self._telling = self._reader.stdout.fileno(), FileIO(announced)
        handles: list[tuple[IO[bytes], Callable[[bytes], None]]] = [
            (self._reader.stdout, self._read_packets),
            (self._reader.stderr, self._read_words),
            (self._telling, self._announced.feed),
        ]
        if self._awaited:
            handles.append((FileIO(heard), self._hear))
        for file, handle in handles:
            os.set_blocking(file.fileno(), False)
            self._selector.register(file, selectors.EVENT_READ, handle)

    def ask(self, *_: object) -> None:
        """Have the reader end; the writer does once it has all, and this after both."""
        self._loop, self._asked = False, True
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
        # A reader that never heard what it listens for ends as if it had failed.
        return written or (0 if self._awaited else self._reader.wait())

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
        if self._asked:  # what is not due yet will not be played
            self._ready.clear()
        if self._ready:
            wait = self._due(self._ready[0][0]) - time.monotonic()
            if wait <= 0 or self._lead > 0:
                self._lead -= 1
                self._pass(*self._ready.popleft())
                self._waited = time.monotonic()
                return
            self._tell_wait()
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
                self._selector.unregister(key.fileobj)
                if isinstance(key.fileobj, IOBase):
                    key.fileobj.close()  # a file is read over and over, all day
            key.data(data)
        if not self._ready:
            self._place(self._line.due(time.monotonic()))

    def _due(self, at: int) -> float:
        """When what is there on our line is to be played, if it is a file."""
        return self._begun + (at - BEGIN) / SECOND

    def _tell_wait(self) -> None:
        """Say once a second that nothing stands still: the next is not due yet."""
        if time.monotonic() - self._waited >= 1:
            self._waits, self._waited = self._waits + 1, time.monotonic()
            print(f"waits={self._waits}\nprogress=continue", flush=True)

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
        self._arrivals.came(
            at, round((self._due(at) if self._paced else now - block.late) * SECOND)
        )
        head = self._heads[block.track]
        if head.changes(block) and self._written and not self._too_many(now):
            if not head.picture or not self._follows:
                self._end(_ANOTHER)
            else:
                print(f"changes={self._written}", flush=True)
                _say("warning", "the pictures are others: they go on in another file")
                self._end_writer()
        if block.key:
            came = (at + (self._arrivals.late or 0)) / SECOND + time.time() - now
            block.data = head.stamped(block.data, came)
        if self._writer is None:
            self._begin_writer(at if self._written else BEGIN)
        if self._writer is not None and self._writer.stdin is not None:
            self._writer.stdin.write(self._form.packed(at, block))
            self._writer.stdin.flush()

    def _too_many(self, now: float) -> bool:
        """Whether there were more changes than files are begun for."""
        many = len(self._changes) == _CHANGES and now - self._changes[0] < _WITHIN
        if not many:
            self._changes.append(now)
        return many

    def _end(self, why: str) -> None:
        if self._ends:
            raise _End(why)

    def _read_packets(self, data: bytes) -> None:
        now = time.monotonic()
        if not data and self._otherwise:
            self._otherwise = False
            self._reader.wait()
            self._read()
            return
        if not data and self._loop and self._came > self._seen:
            self._reader.wait()
            for _ in range(_STILLS if self._came - self._seen == 1 else 0):
                self._line.begins_again()
                self._place(self._line.put(copy(self._latest)))
            self._line.begins_again()
            self._read()
            return
        if not self._telling.closed:  # each was told of before it came
            self._announced.feed(self._telling.read(1 << 18) or b"")
        for block in self._nut.feed(data):
            block.at = now
            self._announced.tell(block)
            if self._timeless:
                # How late one is is a guess on a busy machine: none comes before the last.
                self._arrived = max(round((now - block.late) * SECOND), self._arrived + 1)
                block.raw, block.timed, block.ours = self._arrived, True, True
            block.late = 0.0 if self._paced else block.late
            self._came += 1
            if not self._heads:
                self._begin(now)
            # Sound is heard as it is decoded.
            block.timed = block.timed or not self._heads[block.track].picture
            others = (head for track, head in self._heads.items() if track != block.track)
            if self._heads[block.track].strange(block) or any(it.swallowed(now) for it in others):
                self._end(_ANOTHER)
            self._latest = block
            for timed in self._timed(block):
                self._place(self._line.put(timed))

    def _timed(self, block: Block) -> Iterator[Block]:
        """A packet, and before it those that had no time and waited for one that has."""
        waiting, count = self._untimed[block.track], self._counts[block.track]
        count[0] += 1
        if not block.timed:
            waiting.append(block)
            count[1] += 1
            most = max(_UNTIMED, count[0] // 20)
            if self._paced and self._nut.streams[block.track].delay:
                most = 0  # of a file shown in another order than it is stored no time is guessed
            if count[1] > most:
                if self._heads[block.track].doubtful:
                    self._end(_ANOTHER)
                raise _End(UNTIMED)
            return
        while waiting:
            earlier = waiting.popleft()
            earlier.raw = block.raw - (len(waiting) + 1) * _USUAL_STEP
            yield earlier
        yield block

    def _begin(self, now: float) -> None:
        self._begun = now
        if any(stream.codec == BLOCKS for stream in self._nut.streams.values()):
            raise _End(UNCARRIED)
        self._form = self._nut
        copies = ("-c:a", "copy") in pairwise(self._writer_argv)
        once = copies and "mpegts" not in self._writer_argv
        streams = self._nut.streams.items()
        self._heads = {number: Head(stream, told_once=once) for number, stream in streams}
        pictures = (number for number, head in self._heads.items() if head.picture)
        self._line = Continuity(frozenset(pictures), AHEAD_IN_FILE if self._paced else AHEAD)
        self._lead = 1 + max(stream.delay for stream in self._nut.streams.values())

    @property
    def _follows(self) -> bool:
        """Whether a writer can go on where another has ended."""
        return any("{first}" in part for part in self._writer_argv)

    @property
    def _told_all(self) -> bool:
        """Whether the first packet tells all: else the next might come minutes after it."""
        streams = self._form.streams.values()
        return all(stream.kind == 0 and stream.delay == 0 for stream in streams)

    def _begin_writer(self, zero: int) -> None:
        """Start one whose times are counted from there: it could not tell of a few pictures."""
        pictures = [head for head in self._heads.values() if head.picture]
        values = {
            "{begun}": f"{time.time():.3f}",
            "{offset}": f"{-zero / SECOND:.3f}",
            "{heads}": filters(pictures[0]) if pictures else "null",
            "{first}": str(self._written * _FILES),
            "{enough}": _LEAST if self._told_all else _USUAL_LOOK,
        }
        argv = list(self._writer_argv)
        for name, value in values.items():
            argv = [part.replace(name, value) for part in argv]
        # What proxy the reader has is none of the writer's.
        others = {name: value for name, value in os.environ.items() if name != "http_proxy"}
        self._writer = subprocess.Popen(argv, stdin=subprocess.PIPE, env=others)
        self._written += 1
        known = {number: head.private for number, head in self._heads.items()}
        told = {n: its for n, its in known.items() if its != self._form.streams[n].private}
        if self._writer.stdin is not None:
            self._writer.stdin.write(self._form.header(told))

    def _end_writer(self) -> None:
        """Have the writer end its last file."""
        writer, self._writer = self._writer, None
        if writer is not None and writer.stdin is not None:
            writer.stdin.close()
            if writer.wait():
                raise BrokenPipeError

    def _hear(self, data: bytes) -> None:
        if not data:
            return
        if self._reader.stdout is not None and not self._reader.stdout.closed:
            with contextlib.suppress(BlockingIOError):
                if before := os.read(self._packets, 1 << 18):
                    self._read_packets(before)
        self._end(f"a track came: the recording {CHANGED}")

    def _read_words(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            if (found := FORMAT.match(line)) and not self._paced:
                self._timeless = found[1] in TIMELESS
                print(f"format={found[1].decode()}", flush=True)
            if TABLES in line:
                self._reader_argv = without_tables(self._reader_argv)
                self._otherwise = True
            elif NEVER_CAME in line and not self._heads and not self._awaited:
                self._reader_argv, self._awaited = listening(self._reader_argv)
                self._otherwise = True
            if self._otherwise:
                continue
            if not USUAL.search(line):
                os.write(2, without_login(line) + b"\n")
            if NOT_CARRIED.search(line) and not self._heads:
                raise _End(UNCARRIED)
            if (back := LIST_WENT_BACK.search(line)) and int(back[1]) - int(back[2]) > STALE:
                self._end(f"its list went back: the recording {CHANGED}")
            if NEW_TRACK.search(line):
                self._end(f"a track came: the recording {CHANGED}")


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
