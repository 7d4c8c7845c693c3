"""What children write: files that outlive the agent, kept small, read on bit by bit.

A child appends to its files itself, so an agent that goes away takes no pipe with it. The
agent looks at them once per tick: new lines go to whoever listens, at most `LINES_PER_SECOND`
an instance, and a file that has grown too long is copied and emptied (the child appends, so it
goes on at the new beginning). Whatever a child writes, reading takes bounded time and memory.
"""

import contextlib
import os
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from fleet import kept
from fleet.agent.engine.clock import Clock
from fleet.agent.engine.reconcile import Key
from fleet.agent.hidden import Hidden
from fleet.model import LogLine, clip

LINES_PER_SECOND: Final = 50
LINE_LENGTH: Final = 1000
"""Characters of a line that are kept."""
ROTATE: Final = 1024 * 1024
"""Bytes after which a log is moved aside."""
KEPT: Final = 2
"""Logs that were moved aside and are kept."""
REPORT: Final = 64 * 1024
"""Bytes after which a report is emptied; its role has seen it by then."""
_CHUNK: Final = 256 * 1024
_BUDGET: Final = 16 * 1024 * 1024
"""Bytes looked at per file and tick, so that no child can hold up the others."""
_TAIL: Final = 256 * 1024
"""Bytes looked at for the last lines."""
_LINE_BYTES: Final = 4 * LINE_LENGTH
_MARKS: Final = 2000
"""Moments remembered of a file."""

Marks = Sequence[tuple[int, datetime | None]]
"""Up to which byte a file had been read when; None: by an earlier agent."""


@frozen
class OutputLine:
    """A line a child wrote. `at`: when it was read, None where an earlier agent did that."""

    at: datetime | None
    text: str


@define
class Allowance:
    """Lines an instance may still say; refilled by time."""

    left: float = LINES_PER_SECOND
    dropped: int = 0
    """Lines left out since this was last set to 0."""

    def refill(self, seconds: float) -> None:
        """Let some time count."""
        self.left = min(LINES_PER_SECOND, self.left + seconds * LINES_PER_SECOND)


@define
class LogFile:
    """One stream of one child, read on from its present end."""

    path: Path
    stream: str
    begun: int = 0
    """Where in it the child's own words begin; before that are those of an earlier one."""
    _offset: int = field(init=False)
    _line_bytes: float = 80.0
    """Length of a line, of late."""
    _rest: bytes = b""
    """The beginning of a line that has no end yet."""
    _cut: bool = False
    """Whether the line being read was too long and already given."""
    _marks: list[tuple[int, datetime | None]] = field(factory=list)
    _aside_marks: Marks = ()
    """Those of the file that was moved aside last."""

    def __attrs_post_init__(self) -> None:
        self._offset = size(self.path)
        self._marks.append((self._offset, None))

    def rewind(self) -> None:
        """Read from where the child's own words begin."""
        self._offset = self.begun

    @property
    def heard(self) -> tuple[int, Marks, Marks]:
        """Up to which byte it was read, and when: itself, and the file that was moved aside."""
        return self._offset, self._marks, self._aside_marks

    def succeed(self, before: "LogFile") -> None:
        """Know when the words of an earlier child came, which are in the same file."""
        read, marks, aside = before.heard
        if read <= self._offset:  # else it was emptied in between, or is read again
            self._marks = [*marks, *(mark for mark in self._marks if mark[0] > read)]
            self._aside_marks = aside

    def mark(self, now: datetime) -> None:
        """All that has been read was written by now."""
        if self._offset > self._marks[-1][0]:
            self._marks.append((self._offset, now))
        if len(self._marks) > _MARKS:
            self._marks = [(self._marks[1][0], None), *self._marks[2:]]

    def _begin_anew(self) -> None:
        self._offset, self._rest, self.begun, self._marks = 0, b"", 0, [(0, None)]

    def read(self, allowance: Allowance) -> Iterator[str]:
        """The new lines, as many as `allowance` has left; the others count as dropped."""
        end = size(self.path)
        if end < self._offset:
            self._begin_anew()  # somebody emptied it
        if end == self._offset:
            return
        read = lines = 0
        try:
            with open(self.path, "rb", opener=kept.opener) as file:
                file.seek(self._offset)
                while read < _BUDGET and (chunk := file.read(_CHUNK)):
                    read += len(chunk)
                    lines += chunk.count(b"\n")
                    yield from self._lines(chunk, allowance)
        except OSError:
            return  # taken away while we looked
        self._offset += read
        self._line_bytes = read / max(lines, 1)
        if self._offset < end:
            self._skip(end, allowance)

    def _skip(self, end: int, allowance: Allowance) -> None:
        """Leave out what is too much even to count: lines as long as those before."""
        allowance.dropped += round((end - self._offset) / self._line_bytes)
        self._offset, self._rest = end, b""

    def _lines(self, chunk: bytes, allowance: Allowance) -> Iterator[str]:
        start = 0
        while allowance.left >= 1:
            stop = chunk.find(b"\n", start)
            if stop < 0:
                break
            line, start = self._rest + chunk[start:stop], stop + 1
            self._rest = b""
            if self._cut:
                self._cut = False
            elif line.strip():
                allowance.left -= 1
                yield text(line)
        dropped = chunk.count(b"\n", start)
        if dropped:
            allowance.dropped += dropped
            start, self._rest, self._cut = chunk.rindex(b"\n") + 1, b"", False
        self._rest += chunk[start : start + _LINE_BYTES]
        if len(self._rest) >= _LINE_BYTES:  # a line without an end
            if not self._cut and allowance.left >= 1:
                allowance.left -= 1
                yield text(self._rest)
            self._rest, self._cut = b"", True

    def rotate(self, allowance: Allowance) -> bool:
        """Move it aside if it is long; whether it was."""
        if size(self.path) <= ROTATE:
            return False
        with contextlib.suppress(OSError):
            for number in range(KEPT, 1, -1):
                with contextlib.suppress(FileNotFoundError):
                    _aside(self.path, number - 1).replace(_aside(self.path, number))
            start, data = _end(self.path, ROTATE)
            kept.make_way(_aside(self.path, 1))
            _aside(self.path, 1).write_bytes(data)
            self._aside_marks = [(max(0, end - start), at) for end, at in self._marks]
        self._skip(max(self._offset, size(self.path)), allowance)  # written since it was read
        # No space for the copy: the log is lost, the disk is not filled further.
        empty(self.path)
        self._begin_anew()
        return True

    def words(self, lines: int) -> list[str]:
        """The last lines of the child itself."""
        return [line.text for line in _lines(self.path, (), self.begun)[-lines:]]

    def last(self, lines: int) -> list[OutputLine]:
        """The last lines, also those of earlier children and of before it was moved aside."""
        found = _lines(self.path, self._marks)
        if len(found) < lines:
            found = _lines(_aside(self.path, 1), self._aside_marks) + found
        return found[-lines:]


class Logs:
    """The streams of one instance's children, and the lines that come out of them.

    `own`: the file that keeps what its role itself says. `lines` is called with each line,
    `dropped` with a count of those left out; no line has in it what is `hidden`.
    """

    def __init__(
        self,
        key: Key,
        own: Path,
        clock: Clock,
        lines: Callable[[LogLine], None],
        dropped: Callable[[int], None],
        hidden: Hidden,
    ) -> None:
        self._key = key
        self._hidden = hidden
        self._clock = clock
        self._say = lines
        self._dropped = dropped
        self._allowance = Allowance()
        self._read_at = clock.monotonic()
        self._own = LogFile(own, "stdout")
        self._files: dict[Path, LogFile] = {own: self._own}

    def follow(self, *files: LogFile) -> None:
        """Look at these too; a successor's file takes the place of its predecessor's."""
        for file in files:
            before = self._files.get(file.path)
            if before is not None:
                file.succeed(before)
            self._files[file.path] = file

    def write(self, said: str) -> None:
        """Keep lines that the role itself says; on a full disk they are said all the same."""
        lines = self._hidden.without(said[:_CHUNK]).splitlines()[:LINES_PER_SECOND]
        data = "".join(f"{line[:LINE_LENGTH]}\n" for line in lines).encode(errors="replace")
        try:
            kept.make_directory(self._own.path.parent)
            kept.make_way(self._own.path)
            with self._own.path.open("ab") as file:
                file.write(data)
        except OSError:
            for line in lines:
                self._line(self._own, text(line.encode(errors="replace")))

    def _line(self, file: LogFile, line: str) -> None:
        self._say(LogLine(self._clock.now(), *self._key, file.stream, self._shown(line)))

    def _shown(self, line: str) -> str:
        return clipped(self._hidden.without(line))

    def read(self) -> bool:
        """Say what is new and keep the files short; whether there was very much."""
        now = self._clock.monotonic()
        self._allowance.refill(now - self._read_at)
        self._read_at = now
        much = False
        for file in self._files.values():
            for line in file.read(self._allowance):
                self._line(file, line)
            file.mark(self._clock.now())
            much |= file.rotate(self._allowance)
        if self._allowance.dropped:
            self._dropped(self._allowance.dropped)
            self._allowance.dropped = 0
        return much

    def last(self, lines: int) -> list[OutputLine]:
        """The last lines of all children, those of the file written last at the end."""
        found = [line for file in by_age(self._files.values()) for line in file.last(lines)]
        return [OutputLine(line.at, self._shown(line.text)) for line in found[-lines:]]


def by_age(files: Iterable[LogFile]) -> list[LogFile]:
    """The files, the one written last at the end."""
    return sorted(files, key=lambda file: _changed(file.path))


def text(line: bytes) -> str:
    """A line, readable; still as long as it came, so that nothing that is hidden is cut in two."""
    return line[:_LINE_BYTES].decode(errors="replace").replace("\0", "").rstrip()


def clipped(line: str) -> str:
    """A line as it is shown: not longer than `LINE_LENGTH`."""
    return clip(line, LINE_LENGTH)


def size(path: Path) -> int:
    """Bytes in a file, 0 where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def empty(path: Path) -> None:
    """Make a file empty that somebody appends to."""
    with contextlib.suppress(OSError):
        os.truncate(path, 0)


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _lines(path: Path, marks: Marks, begun: int = 0) -> list[OutputLine]:
    """The lines at the end of a file, none from before `begun`."""
    try:
        end, data = _end(path, _TAIL, begun)
    except OSError:
        return []
    found = []
    for line in data.split(b"\n"):
        end += len(line)
        if line.strip():
            index = bisect_left(marks, end, key=lambda mark: mark[0])
            found.append(OutputLine(marks[index][1] if index < len(marks) else None, text(line)))
        end += 1
    return found


def _end(path: Path, length: int, begun: int = 0) -> tuple[int, bytes]:
    """The last `length` bytes of a file at most, from the beginning of a line on, and where."""
    with open(path, "rb", opener=kept.opener) as file:
        end = file.seek(0, os.SEEK_END)
        begun = begun if begun <= end else 0
        start = file.seek(max(begun, end - length))
        data = file.read(length)
    if end - begun <= length:
        return start, data
    whole = data.partition(b"\n")[2]
    return start + len(data) - len(whole), whole


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
