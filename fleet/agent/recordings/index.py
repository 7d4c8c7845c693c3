"""The index beside the recordings: a line of JSON for each closed segment, only ever added to.

A segment that was read back has another line with the same number; the last one counts. A line that
a power cut tore is cut off. An index that is lost or damaged otherwise begins anew, under another
random name, from the files. What went long ago is forgotten, and the rest keeps its numbers. In
memory is where each line lies, never what it says.
"""

import os
import secrets
from array import array
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from attrs import evolve

from fleet import kept
from fleet.model import GONE, MAX_PAYLOAD, LastSegment, Segment, SegmentCheck, SegmentList
from fleet.wire import Undecodable, decode, dumps, encode, loads

_MOST: Final = 200
"""Segments in one reply."""
_BYTES: Final = 180 * 1024
_MOST_NUMBERS: Final = 10_000_000
_NOWHERE: Final = -1
"""Where the line of a forgotten segment lies."""


class RecordingIndex:
    """The index of one station in `recordings`. Blocks for as long as the disk does."""

    def __init__(self, recordings: Path, station: str) -> None:
        self.path = recordings / f".fleet-index-{station}"
        self.name = ""
        """Random text, new whenever it begins anew."""
        self._numbers: dict[str, int] = {}
        self._places = array("q")
        """Where the last line of each number begins, from number 1 on."""
        self._unchecked: set[int] = set()
        self._gone: set[int] = set()
        self._last: dict[tuple[str, str], Segment] = {}
        self._stat: tuple[int, int] | None = None

    def __contains__(self, file: str) -> bool:
        return file in self._numbers

    def __len__(self) -> int:
        return len(self._places)

    def open(self) -> None:
        """Have it as it is on the disk, or empty where there is none that can be read.

        Raises:
            OSError: the disk refuses.
        """
        if self._stat is not None and self._stat == self._identity():
            return
        self._forget()
        try:
            with open(self.path, "rb", opener=kept.opener) as file:
                whole = self._read(file)
        except FileNotFoundError:
            whole = 0
        except (OSError, ValueError) as error:
            kept.set_aside(self.path, error)
            self._forget()
            whole = 0
        if not whole:
            self._forget()
            self.name = secrets.token_hex(8)
            kept.replace(self.path, dumps({"index": self.name}) + b"\n")
        elif whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        self._stat = self._identity()

    def add(self, segment: Segment) -> Segment:
        """Add a segment, which gets its name and number; what it is then.

        Raises:
            OSError: the disk refuses, and it is not in the index.
        """
        before = self._last.get((segment.role, segment.instance))
        gap = None
        if before is not None:
            gap = round((segment.begin - before.end).total_seconds(), 3)
        numbered = evolve(segment, index=self.name, number=len(self) + 1, gap=gap)
        self._note(numbered, self._append(numbered))
        return numbered

    def replace(self, segment: Segment) -> None:
        """Have another line of a segment, unless the index began anew since.

        Raises:
            OSError: the disk refuses, and it is as it was.
        """
        if segment.index == self.name:
            self._note(segment, self._append(segment))

    def unchecked(self) -> Segment | None:
        """The newest segment that was not read back yet.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        if not self._unchecked:
            return None
        with self.path.open("rb") as file:
            return self._at(file, max(self._unchecked))

    def gone(self, there: Collection[str], most: int) -> list[Segment]:
        """At most so many as they are to be said anew: files that went, or came back, since.

        Raises:
            OSError, ValueError: they cannot be read.
        """
        went = [n for file, n in self._numbers.items() if file not in there and n not in self._gone]
        back = [n for file, n in self._numbers.items() if file in there and n in self._gone]
        found = []
        if went or back:
            with self.path.open("rb") as file:
                for number in (*went, *back)[:most]:
                    one = self._at(file, number)
                    check = one.check or SegmentCheck(datetime.now(UTC))
                    new = evolve(check, skipped=GONE) if one.file not in there else None
                    found.append(evolve(one, check=new))
        return found

    def forget(self, before: datetime) -> int:
        """Forget what ended before then and has no file any more; how many that were.

        Raises:
            OSError, ValueError: the disk refuses, and nothing is forgotten.
        """
        with self.path.open("rb") as file:
            old = {one for one in self._gone if self._at(file, one).end < before}
            if not old:
                return 0
            head = dumps({"index": self.name, "last": len(self)}) + b"\n"
            kept.replace(self.path, b"".join((head, *self._lines(file, old))))
        self._stat = None
        self.open()
        return len(old)

    def _lines(self, file: BinaryIO, without: Collection[int]) -> Iterator[bytes]:
        """The last line of each."""
        for number, place in enumerate(self._places, 1):
            if place != _NOWHERE and number not in without:
                file.seek(place)
                yield file.readline()

    def after(self, last: LastSegment | None) -> SegmentList:
        """Those that follow, as many as fit into one reply; all where `last` is of another index.

        Raises:
            OSError, ValueError: they cannot be read.
        """
        first = last.number + 1 if last is not None and last.index == self.name else 1
        found: list[Segment] = []
        left, until = _BYTES, first - 1
        with self.path.open("rb") as file:
            for number in range(first, len(self) + 1):
                if self._places[number - 1] != _NOWHERE:
                    one = self._at(file, number)
                    left -= len(encode(one))
                    if found and (left < 0 or len(found) == _MOST):
                        break
                    found.append(one)
                until = number
        return SegmentList(self.name, tuple(found), until < len(self), until)

    def _at(self, file: BinaryIO, number: int) -> Segment:
        file.seek(self._places[number - 1])
        return decode(file.readline().rstrip(b"\n"), Segment)

    def _append(self, segment: Segment) -> int:
        place = self.path.stat().st_size
        try:
            with self.path.open("r+b") as file:
                file.seek(place)
                file.write(encode(segment) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            # Not before it is closed, which writes once more what could not be written.
            os.truncate(self.path, place)
            raise
        return place

    def _read(self, file: BinaryIO) -> int:
        """How many bytes of it are whole lines."""
        place, head = 0, file.readline(MAX_PAYLOAD)
        if not head.endswith(b"\n"):
            return 0
        said = loads(head)
        if not isinstance(said, dict) or not isinstance(said.get("index"), str):
            raise ValueError("its first line does not name it")
        self.name, last = said["index"], said.get("last", 0)
        if not isinstance(last, int) or not 0 <= last <= _MOST_NUMBERS:
            raise ValueError("its first line does not say how many were in it")
        place = len(head)
        while line := file.readline(MAX_PAYLOAD):
            if not line.endswith(b"\n"):
                break
            try:
                segment = decode(line.rstrip(b"\n"), Segment)
            except Undecodable:
                if file.read(1):
                    raise
                break  # the last one: zeros, say, after a power cut
            if segment.index != self.name or segment.number > max(len(self) + 1, last):
                raise ValueError(f"the line of {segment.file} is out of order")
            self._note(segment, place)
            place += len(line)
        self._leave_out(last)
        return place

    def _leave_out(self, until: int) -> None:
        """Numbers up to this that have no line yet are of what was forgotten."""
        self._places.extend([_NOWHERE] * (until - len(self)))

    def _note(self, segment: Segment, place: int) -> None:
        if segment.number > len(self):
            self._leave_out(segment.number - 1)
            self._places.append(place)
            self._last[segment.role, segment.instance] = evolve(segment, check=None)
        else:
            self._places[segment.number - 1] = place
        self._numbers[segment.file] = segment.number
        (self._unchecked.discard if segment.is_read else self._unchecked.add)(segment.number)
        (self._gone.add if segment.is_gone else self._gone.discard)(segment.number)

    def _forget(self) -> None:
        self.name, self._stat = "", None
        self._numbers.clear()
        self._unchecked.clear()
        self._gone.clear()
        self._last.clear()
        self._places = array("q")

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino
