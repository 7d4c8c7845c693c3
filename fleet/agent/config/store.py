"""The state directory: who this station is, what it decided last, and nobody else's business.

Everything is written so that a power cut leaves the old or the new, never half of one. A spare
file keeps a megabyte for the day the disk is full: a new config must not need a person there.
"""

import errno
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from fleet.agent.config.accept import Memory
from fleet.model import STATION_RULE, is_station_id
from fleet.wire import Undecodable, decode, encode

log = logging.getLogger(__name__)

_SPARE_BYTES: Final = 1024 * 1024
_DECISION: Final = "decision.json"
_STATION: Final = "station"
_MAX_DECISION: Final = 4 * 1024 * 1024


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
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _open_lock(directory / "lock")
        except OSError as error:
            raise BadState(f"the state directory {directory} cannot be used: {error}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._lock, 32).decode(errors="replace").strip()
            os.close(self._lock)
            raise StateInUse(
                f"{directory} is in use by another fleet-agent (process {owner}): stop that one, "
                "or give this one its own --state-dir"
            ) from None
        with suppress(OSError):  # a full disk is no reason not to run
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let the next agent in."""
        os.close(self._lock)

    def station(self, given: str | None, found: str | None) -> str:
        """This station's id: the one given, else the one kept, else `found`; kept from now on.

        Raises:
            BadState: there is none, or it is not valid.
        """
        path, kept = self.directory / _STATION, kept_id(self.directory)
        station = given or kept or found
        if station is None:
            raise BadState("this machine has no network card to be named after: give --station")
        if not is_station_id(station):
            raise BadState(f"{station!r} cannot be a station's id: {STATION_RULE}")
        if kept is not None and kept != station:
            log.warning("this station was %s and is %s from now on", kept, station)
        if kept != station:
            try:
                _replace(path, f"{station}\n".encode())
            except OSError as error:
                log.error("the station's id cannot be kept: %s", error)
        return station

    def load(self) -> Memory:
        """What was saved last; nothing where that is damaged (it is then set aside)."""
        path = self.directory / _DECISION
        try:
            return saved(self.directory)
        except (OSError, Undecodable) as error:
            aside = path.with_suffix(".json.damaged")
            log.error("%s is damaged (%s): nothing is in force; kept as %s", path, error, aside)
            with suppress(OSError):
                path.replace(aside)
            return Memory()

    def save(self, memory: Memory) -> None:
        """Returns when `memory` is safe on the disk.

        Raises:
            OSError: it is not; what was saved before is.
        """
        path, spare = self.directory / _DECISION, self.directory / "spare"
        payload = encode(memory)
        try:
            _replace(path, payload)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not spare.exists():
                raise
            log.warning("the disk of %s is full: its spare file makes way", self.directory)
            spare.unlink()
            _replace(path, payload)
        self.keep_spare()

    def keep_spare(self) -> None:
        """Set space aside for later configs, if there is any."""
        spare = self.directory / "spare"
        if spare.exists():
            return
        new = spare.with_suffix(".new")
        try:
            with new.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _SPARE_BYTES)
            new.replace(spare)
        except OSError as error:
            log.warning("no spare file can be kept in %s: %s", self.directory, error)
            new.unlink(missing_ok=True)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        # A worn-out card turns read-only: what it says is still to be recorded.
        if error.errno != errno.EROFS or not path.exists():
            raise
        log.error("%s is read-only: no new config can be taken", path.parent)
        return os.open(path, os.O_RDONLY)


def kept_id(directory: Path) -> str | None:
    """The station's id that is kept there, if any can be read."""
    try:
        return (directory / _STATION).read_text(errors="replace").strip() or None
    except OSError:
        return None


def saved(directory: Path) -> Memory:
    """What the agent of this state directory saved last; it may be running.

    Raises:
        OSError, Undecodable: it is there and cannot be read.
    """
    try:
        payload = (directory / _DECISION).read_bytes()
    except FileNotFoundError:
        return Memory()
    return decode(payload, Memory, _MAX_DECISION)


def _replace(path: Path, payload: bytes) -> None:
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
