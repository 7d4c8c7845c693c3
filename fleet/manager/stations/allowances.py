"""What one station may cost, so that a row of its own is all it can slow down. Pure.

A station that is well costs a tenth of a millisecond a message, and a few lines of history a day.

>>> lines = Allowances(burst=2, per_second=1)
>>> [lines.take("cam1", now=0.0) for _ in range(3)], lines.take("cam2", now=0.0)
([True, True, False], True)
>>> lines.take("cam1", now=1.0), lines.left_out
(True, {'cam1': 1})
"""

from typing import Final

ASKED_BURST: Final = 300.0
ASKED_PER_SECOND: Final = 100.0
"""Requests of one caller: a person types one a second, a script ten."""
WORK_BURST: Final = 0.5
"""Seconds of the manager's time that a station may take at once."""
WORK_SHARE: Final = 0.05
"""And of each second after that."""
HISTORY_BURST: Final = 100.0
HISTORY_PER_SECOND: Final = 1 / 6
"""Answers, and changes of presence, that are written down."""
RECORDED_BURST: Final = 50_000.0
RECORDED_PER_SECOND: Final = RECORDED_BURST / 86_400
"""Kilobytes of what a station recorded that are written down: of each file about one, and one more
once it is read back. A box with ten recordings says 10,000 a day.
"""


class Allowances:
    """One for each station: at most `burst`, filled up by `per_second`."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._rate = per_second
        self._levels: dict[str, tuple[float, float]] = {}
        self.left_out: dict[str, int] = {}
        """How often each was refused."""

    def take(self, station: str, now: float, cost: float = 1.0) -> bool:
        """Take `cost` of a station's; False, and counted, where that is not left."""
        if self.left(station, now) < cost:
            self.left_out[station] = self.left_out.get(station, 0) + 1
            return False
        self.spend(station, now, cost)
        return True

    def spend(self, station: str, now: float, cost: float) -> None:
        """Take it whatever is left: the debt is paid by waiting."""
        self._levels[station] = (self.left(station, now) - cost, now)

    def __len__(self) -> int:
        return len(self._levels)

    def tidy(self, now: float) -> None:
        """Know nothing of those that have all of theirs again."""
        for one in [it for it in self._levels if self.left(it, now) >= self._burst]:
            self.forget(one)

    def left(self, station: str, now: float) -> float:
        """What a station may take now."""
        level, at = self._levels.get(station, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate)

    def forget(self, station: str) -> None:
        """Know nothing of a station."""
        self._levels.pop(station, None)
        self.left_out.pop(station, None)
