"""How long whoever said a wrong password waits before the next try. Pure: it is given the time."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

FREE: Final = 5
"""Wrong tries of one name, or from one address, that nobody has to wait after."""
LONGEST: Final = 60.0
"""Seconds at most: whoever tries others' names keeps them out no longer."""
FORGOTTEN: Final = 3600.0
"""Seconds after its last try in which a name or address is remembered."""
MOST: Final = 10_000
"""Names and addresses that are remembered."""


class Tries:
    """Counts tries by name and by address; the wait doubles with each after the free ones."""

    def __init__(self) -> None:
        self._counted: OrderedDict[str, tuple[int, float, float]] = OrderedDict()
        """Key -> how many, when the last was, until when none is taken; the last to try last."""

    def wait(self, keys: Iterable[str], now: float) -> float:
        """Seconds until one with all these keys may try, 0 for at once."""
        found = (self._counted.get(key, (0, now, now)) for key in keys)
        return max(0.0, *(until - now for _, _, until in found))

    def count(self, keys: Iterable[str], now: float) -> None:
        """One tries: counted before its end is known, so that many at once are as many tries."""
        for key in keys:
            count, last, _ = self._counted.pop(key, (0, now, now))
            count = 1 if now - last > FORGOTTEN else count + 1
            wait = min(2.0 ** min(count - FREE, 30), LONGEST) if count >= FREE else 0.0
            self._counted[key] = (count, now, now + wait)
        while len(self._counted) > MOST:
            self._counted.popitem(last=False)

    def forget(self, keys: Iterable[str]) -> None:
        """One was right."""
        for key in keys:
            self._counted.pop(key, None)
