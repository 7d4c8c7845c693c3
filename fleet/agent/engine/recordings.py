"""Whether recordings lie on the disk they are meant for: one may be unplugged, or come late.

A directory below a mount point is there also while nothing is mounted, so that nobody would see
the difference. The mount point is therefore remembered, and the disk itself by a file on it.
"""

import logging
import secrets
import threading
from pathlib import Path
from typing import Final

from attrs import frozen

from fleet import kept
from fleet.wire import decode, encode

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""Seconds between two looks."""
_NOTE: Final = "recordings.json"
_MARK: Final = ".fleet-disk"
_MOST: Final = 10_000


@frozen
class DiskTrouble:
    """What is not as it should be. `elsewhere`: recordings would go to another disk."""

    reason: str
    message: str
    elsewhere: bool


@frozen
class DiskNote:
    """Where recordings lay: the mount point, and what the file on the disk said."""

    mount: str
    disk: str


class RecordingsDisk:
    """Looks at the disk of `recordings`; what it knows of it is kept in `state_dir`."""

    def __init__(self, recordings: Path, state_dir: Path, needs_mount: bool) -> None:
        self._recordings = recordings
        self._note = state_dir / _NOTE
        self._needs_mount = needs_mount
        self._swapped: DiskTrouble | None = None
        self.trouble: DiskTrouble | None = None
        """As the last look found it."""

    @property
    def refused(self) -> bool:
        """Whether nothing may be recorded now."""
        return self._needs_mount and self.trouble is not None and self.trouble.elsewhere

    def look_within(self, seconds: float) -> None:
        """Look now; what a slow disk says only after so long counts from then on."""
        looking = threading.Thread(target=self.look, name="look at the disk", daemon=True)
        looking.start()
        looking.join(seconds)

    def look(self) -> None:
        """Look now; blocks for as long as the disk does."""
        try:
            found = self._look()
        except OSError as error:
            why = error.strerror or error
            found = DiskTrouble("DiskMissing", f"{self._recordings} cannot be read: {why}", True)
        if found != self.trouble:
            if found is not None:
                log.warning("%s", found.message)
            elif self.trouble is not None:
                log.info("%s is where it should be again", self._recordings)
        self.trouble = found

    def _look(self) -> DiskTrouble | None:
        before, mount = self._remembered(), mount_of(self._recordings)
        if before is not None and _below(Path(before.mount), mount, self._recordings):
            return DiskTrouble(
                "DiskMissing",
                f"no disk is mounted at {before.mount}: "
                + ("mount it" if self._needs_mount else f"recordings go to that of {mount}")
                + f" (if it is gone for good, delete {self._note})",
                True,
            )
        if mount == Path("/"):
            if not self._needs_mount:
                return None
            return DiskTrouble(
                "DiskMissing",
                f"no disk is mounted at {self._recordings} or above it: mount it, or set "
                "recordings_mount = false",
                True,
            )
        disk = self._disk(mount)
        if disk is None:
            return None
        now = DiskNote(str(mount), disk)
        if now != before:
            if before is not None and before.mount == now.mount:
                self._swapped = DiskTrouble(
                    "OtherDisk",
                    f"{mount} is another disk than before: earlier recordings are not on it",
                    False,
                )
            elif before is not None:
                log.warning("from now on recordings lie on the disk mounted at %s", mount)
            kept.replace(self._note, encode(now))
        return self._swapped

    def _remembered(self) -> DiskNote | None:
        try:
            return kept.read(self._note, lambda payload: decode(payload, DiskNote), _MOST)
        except (OSError, ValueError) as error:
            kept.set_aside(self._note, error)
            return None

    def _disk(self, mount: Path) -> str | None:
        """What the file on the disk says, which is made where missing; None where it cannot be."""
        mark = (self._recordings if self._recordings.is_dir() else mount) / _MARK
        for place in (self._recordings / _MARK, mount / _MARK):
            try:
                found = kept.read(place, bytes.decode, _MOST)
            except ValueError as error:
                kept.set_aside(place, error)
                continue
            except (IsADirectoryError, PermissionError):
                continue
            if found:
                return found
        disk = secrets.token_hex(8)
        try:
            kept.replace(mark, disk.encode())
        except OSError:
            return None  # full, or not ours to write: recording says so by itself
        return disk


def mount_of(path: Path) -> Path:
    """The mount point of what is at `path`, or of the nearest directory above it that exists."""
    for one in (path, *path.parents):
        if one.is_mount():
            return one
    return Path("/")


def _below(before: Path, now: Path, recordings: Path) -> bool:
    """Whether the disk that was mounted at `before` is not there now."""
    ours = before == recordings or before in recordings.parents
    return ours and len(before.parts) > len(now.parts)
