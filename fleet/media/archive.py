"""What of the recordings on this station is finished: nobody writes to it any more.

A segment has its public name while it is written. Its run, a hidden directory beside it, names the
one written now; and whoever has a file open for writing on this station is seen in `/proc`.
"""

import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import frozen

from fleet import kept
from fleet.media.segments import LAST_SEGMENT, NAME_BYTES

_NAME: Final = re.compile(r"[\w.-]*-(\d{8}T\d{6}Z)\.(?:ts|mkv)")
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_WRITES: Final = os.O_WRONLY | os.O_RDWR


@frozen
class FinishedFile:
    """A recording that is whole. `path`: below `root`, as it is named below the target, too."""

    root: Path
    path: str
    size: int
    changed: int
    """When it was written last, nanoseconds of Unix time."""

    @property
    def age(self) -> tuple[str, str]:
        """What is less for an older one."""
        return self.path[-20:].rpartition("-")[2], self.path

    @property
    def file(self) -> Path:
        """Where it is."""
        return self.root / self.path

    def unchanged(self) -> bool:
        """Whether it still is as it was seen."""
        try:
            facts = self.file.lstat()
        except OSError:
            return False
        return (facts.st_size, facts.st_mtime_ns) == (self.size, self.changed)


def opened(name: str) -> datetime | None:
    """When a recording of this name was begun; None where it is none of ours.

    >>> opened("hall1-hall1-cam-main-20260201T093000Z.ts").isoformat()
    '2026-02-01T09:30:00+00:00'
    >>> opened("main-000000017.ts")
    """
    found = _NAME.fullmatch(name)
    try:
        return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def finished(
    roots: Collection[Path], known: Callable[[FinishedFile], bool] = lambda _: False
) -> list[FinishedFile]:
    """Every recording below `roots` that is finished, the oldest first.

    Of those that are `known` to be, nobody asks again who has them open.
    """
    found = [one for root in roots for one in _below(root)]
    asked = [one for one in found if not known(one)]
    written = _written([one.file for one in asked]) if asked else set()
    return sorted((one for one in found if one.file not in written), key=lambda one: one.age)


def _below(root: Path) -> Iterator[FinishedFile]:
    seen: set[tuple[int, int]] = set()
    for directory, directories, names in os.walk(root, followlinks=True):
        with contextlib.suppress(OSError):
            place = Path(directory).stat()
            if (place.st_dev, place.st_ino) in seen or not _sayable(directory):
                directories.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
        current = {_current(Path(directory, one)) for one in directories if one.startswith(".")}
        directories[:] = [one for one in directories if not one.startswith(".")]
        for name in names:
            if name in current or opened(name) is None:
                continue
            path = Path(directory, name)
            with contextlib.suppress(OSError):
                facts = path.lstat()
                if stat.S_ISREG(facts.st_mode) and facts.st_size:
                    below = path.relative_to(root).as_posix()
                    yield FinishedFile(root, below, facts.st_size, facts.st_mtime_ns)


def _sayable(directory: str) -> bool:
    try:
        directory.encode()
    except UnicodeEncodeError:
        return False
    return True


def _current(run: Path) -> str | None:
    """The segment that is written in this run, as far as it says."""
    try:
        return kept.read(run / LAST_SEGMENT, bytes.decode, NAME_BYTES)
    except (OSError, ValueError):
        return None


def _written(files: Sequence[Path]) -> set[Path]:
    """Those of `files` that a process of this station may still write to."""
    names: dict[str, list[Path]] = {}
    for file in files:
        names.setdefault(file.name, []).append(file)
    found: set[Path] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended, or is another user's
            for number in os.listdir(process / "fd"):  # noqa: PTH208 (names alone)
                with contextlib.suppress(OSError):
                    link = process / "fd" / number
                    mine = names.get(link.readlink().name, [])
                    if mine and _writes(process, number):
                        there = link.stat()
                        found |= {one for one in mine if os.path.samestat(one.stat(), there)}
    return found


def _writes(process: Path, number: str) -> bool:
    text = (process / "fdinfo" / number).read_text()
    flags = re.search(r"^flags:\s+([0-7]+)", text, re.MULTILINE)
    return flags is None or bool(int(flags[1], 8) & _WRITES)
