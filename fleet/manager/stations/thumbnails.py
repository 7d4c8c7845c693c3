"""The newest picture of each instance, in memory; no station can make it grow without end. Pure.

>>> thumbnails = Thumbnails()
>>> thumbnails.fold("cam1", "monitor", "main", JPEG_BEGINS + b"...", now=5.0)
True
>>> thumbnails.get("cam1", "monitor", "main").at
5.0
"""

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

JPEG_BEGINS: Final = b"\xff\xd8\xff"
MOST_BYTES: Final = 64 * 1024
"""Of one picture; the wire allows no more."""
MOST_PIXELS: Final = 1920
"""Of a side: a few bytes may say that they are a picture of gigabytes, which a browser unpacks."""
MOST_OF_A_STATION: Final = 16
_MOST_IN_ALL: Final = 64 * 1024 * 1024

_FRAMES: Final = {bytes([one]) for one in range(0xC0, 0xD0)} - {b"\xc4", b"\xc8", b"\xcc"}
"""Markers of JPEG that a picture's size follows; that its lines follow; with something behind."""
_SCAN: Final = b"\xda"
_MARKER: Final = re.compile(rb"\xff([^\xff\x00\x01\xd0-\xd9])")
_MOST_MARKERS: Final = 1000
"""Before a picture's size: cameras have a dozen."""

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
        if not jpeg.startswith(JPEG_BEGINS) or len(jpeg) > MOST_BYTES or _side(jpeg) > MOST_PIXELS:
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


def _side(jpeg: bytes) -> int:
    """The longer side of a picture, as browsers find it; 0 where they find none.

    What only pretends to have one, behind thousands of markers, counts as too large.

    >>> _side(bytes.fromhex("ffd8 ffe00004abcd 00 ffffc00007 08 00f0 0140"))
    320
    """
    at = 2
    for _ in range(_MOST_MARKERS):
        marker = _MARKER.search(jpeg, at)
        if marker is None or marker[1] == _SCAN:
            return 0
        at = marker.end()
        if marker[1] in _FRAMES:
            high, wide = jpeg[at + 3 : at + 5], jpeg[at + 5 : at + 7]
            return max(int.from_bytes(high, "big"), int.from_bytes(wide, "big"))
        at += max(int.from_bytes(jpeg[at : at + 2], "big"), 2)
    return MOST_PIXELS + 1
