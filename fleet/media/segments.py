"""Recordings in segments, none of which is ever opened for writing when it already exists.

ffmpeg's segment muxer overwrites what is there. So it writes numbered files into a hidden
directory made for this one run, and each gets its public name while it is being written: the
name is reserved, then the segment renamed over its own reservation (which every file system
can do, and the writer does not notice). A segment's time is when it was opened: the begin of
the run, then the last write of the one before, so it is also right when the agent was away.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, Self

from attrs import define, field

from fleet import kept
from fleet.host import Failed
from fleet.media.began import set_creation_time
from fleet.model import plain
from fleet.role import OwnStation

log = logging.getLogger(__name__)

_STAMP = "%Y%m%dT%H%M%SZ"
_LEAST = 4 * 1024 * 1024
"""Bytes that must be free to begin: a full disk is not to be littered with tiny recordings."""
_GIB = 1024**3
FLUSHED = "flush_packets=1:pes_payload_size=0"
"""How ffmpeg's transport stream has each packet on disk at once, and each at its own time: of
several that it puts together only the first has one."""
LAST_SEGMENT = "last"
"""In the run's directory: the name of the segment published last."""
NAME_BYTES = 255
_FRESH_SECONDS = 60.0
_OPEN: set[Path] = set()
"""Runs that somebody in this process has begun or taken over, so that no search closes them."""


def public_name(
    room: str | None, station: str, instance: str, opened: datetime, suffix: str
) -> str:
    """The flat name of a recording opened at `opened`.

    >>> public_name("hall1", "hall1-cam", "main", datetime(2026, 2, 1, 9, 30, tzinfo=UTC), ".ts")
    'hall1-hall1-cam-main-20260201T093000Z.ts'
    """
    parts = [_plain(part) for part in (room, station, instance) if part]
    return "-".join([*parts, opened.astimezone(UTC).strftime(_STAMP)]) + suffix


def _plain(part: str) -> str:
    """Part of a file name: no slash, not hidden, never too long."""
    plain = re.sub(r"[^\w.-]", "_", part).lstrip(".")
    return plain.encode()[:70].decode(errors="ignore")


class Owner(Protocol):
    """Whose segments they are; a `Host` is one."""

    role: str
    instance: str
    station: str
    name: str
    room: str | None
    recordings: Path


@define
class LeftOwner:
    """An instance that is not there any more."""

    role: str
    instance: str
    station: str
    name: str
    room: str | None
    recordings: Path


def _own(host: Owner) -> str:
    """What the names of this instance's runs begin with."""
    # Dots are in no station's id and no instance's name, so no run is taken for another's.
    return f".{host.station}.{host.role}.{host.instance}"


def refused(error: OSError, directory: Path) -> Failed:
    """Why nothing can be recorded in `directory`, and what to do about it."""
    why = plain(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return Failed("DiskFull", f"no space is left in {directory}: delete or move recordings")
        case errno.EROFS:
            return Failed("NotWritable", f"{directory} is read-only: check its disk, remount it")
        case errno.EACCES | errno.EPERM:
            return Failed("NotWritable", f"{directory} may not be written to: give it to the agent")
        case errno.ENOENT | errno.ENOTDIR | errno.EEXIST:
            return Failed(
                "DirectoryMissing", f"{directory} is not a directory and cannot be made: {why}"
            )
    return Failed("NotWritable", f"{directory} cannot be written to ({why}): check its disk")


def short_of(minimum: float, directory: Path) -> str | None:
    """Where less than `minimum` GiB are free for `directory`, which may have to be made: how much.

    Raises:
        Failed: that cannot be known, so nothing could be written either.

    >>> short_of(0, Path("/"))
    """
    place = directory
    try:
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free / _GIB
    except OSError as error:
        raise refused(error, directory) from None
    return f"{free:.1f} GiB are free, less than {minimum:g}" if free < minimum else None


@define
class Segments:
    """The segments of one run; `publish` names those that have appeared."""

    host: Owner
    run: Path
    """The hidden directory the writer writes into, beside the public files."""
    suffix: str
    written: int = 0
    """Bytes seen to be written so far."""
    last_write: datetime | None = None
    current: Path | None = None
    """The segment published last."""
    _size: int = field(default=0, init=False)
    _opened: datetime | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _named: deque[Path] = field(factory=lambda: deque(maxlen=100), init=False)

    @classmethod
    def begin(cls, host: Owner, directory: Path, suffix: str) -> Self:
        """Make the directory of a new run in `directory`, which is made too where missing.

        Raises:
            Failed: it cannot be made.
        """
        stem = f"{_own(host)}.{datetime.now(UTC).strftime(_STAMP)}"
        run = directory.absolute() / stem
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(directory).free < _LEAST:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            for again in range(1, 1000):
                ours = run not in _OPEN
                _OPEN.add(run)  # before a search can find it
                with contextlib.suppress(FileExistsError):
                    run.mkdir()
                    break
                if ours:
                    _OPEN.discard(run)
                run = run.with_name(f"{stem}.{again}")
        except OSError as error:
            _OPEN.discard(run)
            raise refused(error, directory) from None
        return cls(host, run, suffix)

    @classmethod
    def of(cls, host: Owner, file: Path) -> Self:
        """The run of an earlier agent that `file` is or was to be one segment of."""
        segments = cls(host, file.parent, file.suffix)
        _OPEN.add(segments.run)
        with contextlib.suppress(OSError):
            last = segments._last()
            if last is not None and last.stat().st_size:
                segments.current, segments._size = last, last.stat().st_size
            elif last is not None:
                last.unlink()  # reserved, and the agent died before it was used
        return segments

    def _last(self) -> Path | None:
        """The segment published last, as an agent before this one noted it."""
        try:
            name = kept.read(self.run / LAST_SEGMENT, bytes.decode, NAME_BYTES)
        except (OSError, ValueError) as error:
            kept.set_aside(self.run / LAST_SEGMENT, error)
            return None
        if name is None:
            return None
        path = self.directory / name.replace("\0", "/")
        if path.name != name or path.suffix != self.suffix:
            kept.set_aside(self.run / LAST_SEGMENT, "it names no segment")
            return None
        return path if path.is_file() else None  # whoever collects files may have moved it

    @property
    def pattern(self) -> str:
        """Where the writer is to write, as ffmpeg's segment muxer wants it."""
        return f"{str(self.run).replace('%', '%%')}/%09d{self.suffix}"

    @property
    def directory(self) -> Path:
        """Where the public files are."""
        return self.run.parent

    def publish(self) -> None:
        """Name the segments that have appeared and see how much was written.

        Raises:
            Failed: a segment cannot be named, or what is being written was removed.
        """
        if self._closed:
            return
        try:
            self._name()
            self._look()
            self.run.stat()
        except FileNotFoundError as error:
            removed = "FileRemoved" if self.run.is_dir() else "DirectoryMissing"
            raise Failed(
                removed, f"{error.filename} was removed while recording; a new file is begun"
            ) from None
        except OSError as error:
            raise refused(error, self.directory) from None

    def close(self) -> None:
        """Publish what a writer that is gone has left, and remove the run's directory.

        What cannot be published now is kept for a later `sweep`.
        """
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            for segment in self._waiting():
                if not segment.stat().st_size:
                    segment.unlink()  # opened, but nothing came, or a power cut took it
            self._name()
            self._date()
            for path in self.run.glob(f"{LAST_SEGMENT}*"):
                kept.remove(path)
            self.run.rmdir()
            self._look()
        _OPEN.discard(self.run)

    def discard(self) -> None:
        """Close a run that just began, without it: what nobody can read is no recording."""
        self.close()
        for path in self._named:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Close the runs of this instance that ended while no agent was there."""
        with contextlib.suppress(OSError):
            used = _InUse()
            for run in self.host.recordings.rglob(f"{_own(self.host)}.*"):
                if run != self.run and run not in _OPEN and run not in used:
                    _close(self.host, run, self.suffix)

    def _waiting(self) -> list[Path]:
        found = sorted(self.run.glob(f"[0-9]*{self.suffix}"))
        return [path for path in found if path.stem.isdecimal() and path.is_file()]

    def _name(self) -> None:
        for segment in self._waiting():
            with contextlib.suppress(FileNotFoundError):  # whoever collects files may be fast
                self._look()
            stat = segment.stat()
            if not stat.st_size:
                return
            self._date()
            opened = self.last_write or datetime.fromtimestamp(stat.st_mtime, UTC)
            self._opened = self._begun() if int(segment.stem) == 0 else opened
            path = self._reserve(self._opened)
            try:
                self.current, self._size = segment.rename(path), 0
            except OSError:
                path.unlink(missing_ok=True)
                raise
            self._named.append(path)

    def _date(self) -> None:
        """The segment published last is whole now: have it say when it was opened."""
        if self.current is None or self.suffix != ".mkv":
            return
        with contextlib.suppress(OSError, ValueError):  # its name says so too
            stamp = self.current.stem.rpartition("-")[2]
            named = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
            last = self.current.stat()
            set_creation_time(self.current, self._opened or named)
            os.utime(self.current, ns=(last.st_atime_ns, last.st_mtime_ns))

    def _note(self, name: str) -> None:
        """Only an agent that comes later would miss it, so nobody waits for the disk."""
        path = self.run / LAST_SEGMENT
        with contextlib.suppress(OSError, RuntimeError):  # a box may have no thread left
            kept.replace(path, name.encode(), sync=False)
            # Not to be waited for at the end either, should the disk have gone.
            threading.Thread(target=_sync, args=(path,), name="sync", daemon=True).start()

    def _look(self) -> None:
        if self.current is None:
            return
        stat = self.current.stat()
        self.written += stat.st_size - self._size
        self._size = stat.st_size
        self.last_write = datetime.fromtimestamp(stat.st_mtime, UTC)

    def _reserve(self, opened: datetime) -> Path:
        host = self.host
        while True:
            name = public_name(host.room, host.name, host.instance, opened, self.suffix)
            path = self.directory / name
            with contextlib.suppress(FileExistsError):
                if not os.path.lexists(path):
                    self._note(name)  # before it is there: it is used, or removed, by whoever comes
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                    return path
            opened += timedelta(seconds=1)

    def _begun(self) -> datetime:
        try:
            return datetime.strptime(self.run.name.split(".")[4], _STAMP).replace(tzinfo=UTC)
        except (IndexError, ValueError):  # no run of ours was named so
            return datetime.fromtimestamp(self.run.stat().st_mtime, UTC)


def publish_left(facts: OwnStation, role: str) -> None:
    """Publish what instances of `role` have left on this station that are not there any more."""
    with contextlib.suppress(OSError):
        used = _InUse()
        for run in facts.recordings.rglob(f".{facts.station}.{role}.*.*"):
            instance = run.name.split(".")[3]
            # A writer that is just being started is no process yet.
            fresh = time.time() - run.stat().st_mtime < _FRESH_SECONDS
            if run in used or instance in facts.instances or fresh or not run.is_dir():
                continue
            station, name, room = facts.station, facts.name, facts.room
            owner = LeftOwner(role, instance, station, name, room, facts.recordings)
            log.warning("publishing what %s/%s has left: nobody else does", role, instance)
            _close(owner, run, ".ts")


def _close(owner: Owner, run: Path, suffix: str) -> None:
    for one in {path.suffix for path in run.glob("[0-9]*")} or {suffix}:
        Segments.of(owner, run / f"0{one}").close()


class _InUse:
    """The hidden directories that processes were told to write to, whoever started them."""

    def __init__(self) -> None:
        self._places: set[tuple[int, int]] = set()
        self._names: set[str] = set()
        """Of those that are not found where they were: they may have been moved since."""
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                with contextlib.suppress(OSError):
                    for argument in (process / "cmdline").read_bytes().split(b"\0"):
                        self._note(process, Path(os.fsdecode(argument)).parent)

    def _note(self, process: Path, run: Path) -> None:
        if not run.name.startswith(".") or run.name.count(".") < 4:
            return
        try:
            stat = (process / "root" / str(run).replace("%%", "%").lstrip("/")).stat()
        except OSError:
            self._names.add(run.name)
        else:
            self._places.add((stat.st_dev, stat.st_ino))

    def __contains__(self, run: Path) -> bool:
        stat = run.stat()
        return (stat.st_dev, stat.st_ino) in self._places or run.name in self._names


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError):  # the run may have ended since
        kept.sync(path)
