"""Keeps an instance that restarts again and again from drowning all else in `fleet watch`. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field

from fleet.cli.happenings import Happening
from fleet.model import counted

MOST: Final = 4
"""Changes of one instance that are told within `WINDOW`: failed, tried again, and once more."""
WINDOW: Final = timedelta(minutes=1)

_Key = tuple[str | None, str | None, str | None]


@define
class Restraint:
    """What is told of each instance: the first changes at once, then the last of each minute."""

    _told: dict[_Key, deque[datetime]] = field(factory=lambda: defaultdict(deque))
    _held: dict[_Key, tuple[Happening, int]] = field(factory=dict)

    def pass_on(self, happened: Iterable[Happening], now: datetime) -> Iterator[Happening]:
        """Those that are to be told now, among them what was held back and is due."""
        for key in [key for key in self._held if now - self._told[key][-1] >= WINDOW]:
            one, more = self._held.pop(key)
            self._told[key].extend([now] * MOST)  # it goes on, so that the next wait a minute too
            left_out = f"; {counted(more, 'change')} before it are left out" if more else ""
            yield evolve(one, text=one.text + left_out)
        for one in happened:
            key = (one.name, one.role, one.instance)
            if one.kind != "instance" or (key not in self._held and self._may(key, now)):
                if one.kind == "instance":
                    self._told[key].append(now)
                yield one
            else:
                _, more = self._held.get(key, (one, -1))
                self._held[key] = (one, more + 1)

    def _may(self, key: _Key, now: datetime) -> bool:
        told = self._told[key]
        while told and now - told[0] >= WINDOW:
            told.popleft()
        return len(told) < MOST
