"""The newest picture of each instance, in memory; no station can make it grow without end. Pure.

>>> thumbnails = Thumbnails()
>>> thumbnails.fold("cam1", "monitor", "main", JPEG_BEGINS + b"...", now=5.0)
True
>>> thumbnails.get("cam1", "monitor", "main").at
5.0
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

JPEG_BEGINS: Final = b"\xff\xd8\xff"
MOST_BYTES: Final = 64 * 1024
"""Of one picture; the wire allows no more."""
MOST_OF_A_STATION: Final = 16
_MOST_IN_ALL: Final = 64 * 1024 * 1024

Key = tuple[str, str, str]
"""Station, role, instance."""


@frozen
class Thumbnail:
    """A JPEG, and the monotonic second it was heard in."""

    jpeg: bytes
    at: float


class Thumbnails:
    """Holds at most `most` bytes; what was heard longest ago goes first."""

    def __init__(self, most: int = _MOST_IN_ALL) -> None:
        self._most = most
        self._bytes = 0
        self._held: dict[Key, Thumbnail] = {}  # in the order they were heard
        self._of: dict[str, dict[tuple[str, str], None]] = {}

    def fold(self, station: str, role: str, instance: str, jpeg: bytes, now: float) -> bool:
        """Keep a picture; False where it is none, or too large."""
        if not jpeg.startswith(JPEG_BEGINS) or len(jpeg) > MOST_BYTES:
            return False
        self._drop((station, role, instance))
        own = self._of.setdefault(station, {})
        if len(own) >= MOST_OF_A_STATION:
            self._drop((station, *next(iter(own))))
        self._of.setdefault(station, {})[role, instance] = None
        self._held[station, role, instance] = Thumbnail(jpeg, now)
        self._bytes += len(jpeg)
        while self._bytes > self._most:
            self._drop(next(iter(self._held)))
        return True

    def get(self, station: str, role: str, instance: str) -> Thumbnail | None:
        """The newest picture of an instance."""
        return self._held.get((station, role, instance))

    def of(self, station: str) -> Mapping[tuple[str, str], Thumbnail]:
        """The newest pictures of a station, by role and instance."""
        return {key: self._held[station, *key] for key in self._of.get(station, ())}

    def forget(self, station: str) -> None:
        """Drop the pictures of a station."""
        for key in tuple(self._of.get(station, ())):
            self._drop((station, *key))

    def _drop(self, key: Key) -> None:
        dropped = self._held.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped.jpeg)
            del self._of[key[0]][key[1:]]
            if not self._of[key[0]]:
                del self._of[key[0]]
