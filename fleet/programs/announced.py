"""What the reader says of each packet beside it: when it came, and when it is decoded."""

import re
import time
from collections import defaultdict, deque

from fleet.programs.continuity import SECOND, Block
from fleet.programs.nut import SHIFT

_MOST, _HELD = 1000, 1.0
"""Packets of which it is kept until they are here, and seconds they may take for the way."""
_UNIT = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_PACKET = re.compile(rb"(\d+), *(\d+), *(-?\d+), ")


class Announced:
    """Of the packets of one reader, which are told of in the order in which they come."""

    def __init__(self, since: int) -> None:
        self._since = since
        """The Unix time in seconds from which it counts."""
        self._rest = b""
        self._units: dict[int, tuple[int, int]] = {}
        """Of each track, what the unit of its times is, as a fraction of a second."""
        self._told: dict[int, deque[tuple[float, int]]] = defaultdict(lambda: deque(maxlen=_MOST))
        self._owed: dict[int, int] = defaultdict(int)
        """Of each track, how many are here before anything was said of them."""

    def feed(self, data: bytes) -> None:
        """Take what was read, which is ffmpeg's `framehash`."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if unit := _UNIT.match(line):
                self._units[int(unit[1])] = int(unit[2]), int(unit[3])
            if packet := _PACKET.match(line):
                track, came, decoded = map(int, packet.groups())
                over, under = self._units.get(track, (1, SECOND))
                if self._owed[track]:
                    self._owed[track] -= 1
                    continue
                at = (decoded - SHIFT) * SECOND * over // under
                self._told[track].append((came * over / under, at))

    def tell(self, block: Block) -> None:
        """Say of a packet what was told of it."""
        told = self._told[block.track]
        if not told:
            self._owed[block.track] += 1
            return
        came, block.decoded = told.popleft()
        late = time.time() - self._since - came
        block.late = late if 0 < late < _HELD else 0.0
