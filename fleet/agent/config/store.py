"""The state directory: who this station is, what it decided last, and nobody else's business.

Everything is written so that a power cut leaves the old or the new, never half of one. A spare
file keeps a megabyte for the day the disk is full: a new config must not need a person there.
"""

import errno
import fcntl
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from attrs import frozen

from fleet import kept
from fleet.agent.config.accept import Memory
from fleet.model import (
    MAX_PAYLOAD,
    DirectCalls,
    StopByHand,
    StopList,
    is_station_id,
    no_station_id,
    plain,
)
from fleet.sealed import BoxKey
from fleet.wire import decode, encode

log = logging.getLogger(__name__)

_SPARE_BYTES: Final = 1024 * 1024
_DECISION: Final = "decision.json"
_STATION: Final = "station"
_KEY: Final = "key"
_STOPS: Final = "stops.json"
_CALLS: Final = "calls.json"
_MAX_DECISION: Final = 4 * 1024 * 1024
_MAX_ID: Final = 1000
T = TypeVar("T")


@frozen
class _Calls:
    called: DirectCalls


class StateInUse(Exception):
    """Another agent runs on this state directory."""


class BadState(Exception):
    """The state directory cannot be used; the text says why."""


class StateDirectory:
    """One agent's hold of a state directory; `close` lets it go."""

    def __init__(self, directory: Path) -> None:
        """Take hold of `directory`, made if it is not there.

        Raises:
            StateInUse: another agent has it.
            BadState: it cannot be made or written to.
        """
        self.directory = directory
        self._station: str | None = None
        try:
            self._lock = _taken(directory)
        except OSError as error:
            raise BadState(
                f"the state directory {directory} cannot be used: {plain(error)}"
            ) from None

    def close(self) -> None:
        """Let the next agent in."""
        os.close(self._lock)

    def station(self, given: str | None, found: str | None) -> str:
        """This station's id: the one given, else the one kept, else `found`; kept from now on.

        Raises:
            BadState: there is none, or it is not valid.
        """
        found_kept = self._whole(self.directory / _STATION, _parse_id, _MAX_ID)
        station = given or found_kept or found
        if station is None:
            raise BadState("this machine has no network card to be named after: give --station")
        if not is_station_id(station):
            raise BadState(f"{station!r} {no_station_id(station)}")
        if found_kept is not None and found_kept != station:
            log.warning("this station was %s and is %s from now on", found_kept, station)
        self._station = station
        self._keep_id(found_kept)
        return station

    def _keep_id(self, there: str | None) -> None:
        for path in _both(self.directory / _STATION):
            if there == self._station and path.is_file():
                continue
            try:
                kept.replace(path, f"{self._station}\n".encode())
            except OSError as error:
                log.error("the station's id cannot be kept: %s", plain(error))

    def key(self) -> BoxKey:
        """This box's key; for this run alone where the disk takes none."""
        try:
            return BoxKey.kept(self.directory / _KEY)
        except OSError as error:
            log.error("this box's key cannot be kept: %s", plain(error))
            return BoxKey.new()

    def load(self) -> Memory:
        """What was saved last; what is damaged of it is set aside, and its copy serves."""
        return self._payload(_DECISION, Memory, _MAX_DECISION) or Memory()

    def _payload(self, name: str, cls: type[T], most: int = MAX_PAYLOAD) -> T | None:
        return self._whole(self.directory / name, lambda text: decode(text, cls, most), most)

    def _whole(self, path: Path, parse: Callable[[bytes], T], most: int) -> T | None:
        """What is kept there, or in its copy; None where neither is whole."""
        for one in _both(path):
            try:
                found = kept.read(one, parse, most)
            except (OSError, ValueError) as error:
                kept.set_aside(one, error)
                continue
            return found  # what somebody has removed is not to come back from its copy
        return None

    def save(self, memory: Memory) -> None:
        """Returns when `memory` is safe on the disk.

        Raises:
            OSError: it is not; what was saved before is.
        """
        self._replace(self.directory / _DECISION, encode(memory))

    def stops(self) -> tuple[StopByHand, ...]:
        """What was stopped by hand when it was saved last."""
        found = self._payload(_STOPS, StopList)
        return found.stops if found else ()

    def save_stops(self, said: StopList) -> None:
        """Returns when what is stopped is safe on the disk.

        Raises:
            OSError: it is not; what was saved before is.
        """
        self._replace(self.directory / _STOPS, encode(said))
        self._copy_of(self.directory / _STOPS)

    def calls(self) -> DirectCalls:
        """What came to this station past the manager, when it was saved last."""
        found = self._payload(_CALLS, _Calls)
        return found.called if found else ()

    def save_calls(self, called: DirectCalls) -> None:
        """Returns when they are safe on the disk.

        Raises:
            OSError: they are not; what was saved before is.
        """
        self._replace(self.directory / _CALLS, encode(_Calls(called)))

    def _take_again(self) -> None:
        """Make the directory anew where somebody removed it, or the lock in it."""
        with suppress(FileNotFoundError):
            if os.path.samestat((self.directory / "lock").stat(), os.fstat(self._lock)):
                return
        try:
            lock = _taken(self.directory)
        except StateInUse as error:
            raise OSError(errno.EBUSY, str(error)) from None
        log.error("somebody removed %s or its lock: it is made again", self.directory)
        os.close(self._lock)
        self._lock = lock
        if self._station is not None:
            self._keep_id(None)

    def _replace(self, path: Path, payload: bytes) -> None:
        spare = self.directory / "spare"
        self._take_again()
        try:
            kept.replace(path, payload)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not spare.is_file():
                raise
            log.warning("the disk of %s is full: its spare file makes way", self.directory)
            spare.unlink()
            kept.replace(path, payload)
        self.keep_spare()

    def keep_copy(self) -> None:
        """Keep what was saved once more, where that can be."""
        self._copy_of(self.directory / _DECISION)

    def _copy_of(self, path: Path) -> None:
        try:
            kept.replace(_copy(path), path.read_bytes())
        except FileNotFoundError:
            return  # nothing was saved yet
        except OSError as error:
            log.warning("no copy can be kept of %s: %s", path, plain(error))

    def keep_spare(self) -> None:
        """Set space aside for later configs, if there is any."""
        spare = self.directory / "spare"
        if spare.is_file() and spare.stat().st_size == _SPARE_BYTES:
            return
        new = spare.with_suffix(".new")
        for one in (spare, new):
            kept.make_way(one)
        try:
            with new.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _SPARE_BYTES)
            new.replace(spare)
        except OSError as error:
            log.warning("no spare file can be kept in %s: %s", self.directory, plain(error))
            new.unlink(missing_ok=True)


def _taken(directory: Path) -> int:
    """The lock of a state directory that nobody else has, made where it is not there.

    Raises:
        StateInUse: another agent has it.
        OSError: it cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept.make_way(directory / "lock")
    lock = _open_lock(directory / "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 32).decode(errors="replace").strip()
        os.close(lock)
        raise StateInUse(
            f"{directory} is in use by another fleet-agent (process {owner}): stop that one, "
            "or give this one its own --state-dir"
        ) from None
    with suppress(OSError):  # a full disk is no reason not to run
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        # A worn-out card turns read-only: what it says is still to be recorded.
        if error.errno != errno.EROFS or not path.exists():
            raise
        log.error("%s is read-only: no new config can be taken", path.parent)
        return os.open(path, os.O_RDONLY)


def holder(directory: Path) -> int | None:
    """The process that has hold of a state directory; nothing is taken to know it."""
    try:
        lock = directory / "lock"
        pid, inode = int(lock.read_text()), lock.stat().st_ino
        locks = Path("/proc/locks").read_text()
    except (OSError, ValueError):
        return None
    held = rf"^\d+: FLOCK +ADVISORY +WRITE +{pid} [0-9a-f]+:[0-9a-f]+:{inode} "
    return pid if re.search(held, locks, re.MULTILINE) else None


def kept_id(directory: Path) -> str | None:
    """The station's id that is kept there, if any can be read."""
    for path in _both(directory / _STATION):
        with suppress(OSError, ValueError):
            return kept.read(path, _parse_id, _MAX_ID)
    return None


def saved(directory: Path) -> Memory:
    """What the agent of this state directory saved last; it may be running.

    Raises:
        OSError, Undecodable: it is there and cannot be read, nor can its copy.
    """
    try:
        found = _read_decision(directory / _DECISION)
    except (OSError, ValueError):
        found = _read_decision(_copy(directory / _DECISION))
        if found is None:
            raise
    return found or Memory()


def _read_decision(path: Path) -> Memory | None:
    return kept.read(path, lambda payload: decode(payload, Memory, _MAX_DECISION), _MAX_DECISION)


def _parse_id(payload: bytes) -> str:
    station = payload.decode().strip()
    if not is_station_id(station):
        raise ValueError(f"{station!r} {no_station_id(station)}")
    return station


def _copy(path: Path) -> Path:
    return path.with_name(path.name + ".copy")


def _both(path: Path) -> tuple[Path, Path]:
    """Where something is kept, and its copy: a damaged disk seldom hits both."""
    return path, _copy(path)
