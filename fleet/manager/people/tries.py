"""How long whoever said a wrong password waits before the next try, and how much one caller asks at
once. Pure: it is given the time.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


class AtOnce:
    """How many answers each caller waits for, `most` of them at the same time.

    >>> turns = AtOnce(1)
    >>> with turns.one("ann") as first, turns.one("ann") as second, turns.one("bob") as other:
    ...     print(first, second, other)
    True False True
    >>> with turns.one("ann") as again:
    ...     print(again)
    True
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: Counter[str] = Counter()

    @contextmanager
    def one(self, caller: str) -> Iterator[bool]:
        """Inside, the caller waits for one more; False where that is one too many."""
        if self._of[caller] >= self._most:
            yield False
            return
        self._of[caller] += 1
        try:
            yield True
        finally:
            self._of[caller] -= 1
            self._of += Counter()  # only those that are left
