"""When a room is in use: whether talks are on, and whether a person should be called. Pure."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from attrs import frozen

Talk = Literal["on", "off", "auto"]


def in_use(hours: Sequence[str], timezone: str | None, at: datetime) -> bool:
    """Whether `at` lies in one of `hours` (`09:00-19:00`, `22:00-02:00`); no hours are all hours.

    The hours are local to `timezone`, UTC without one. A window that ends before it begins runs
    past midnight; `24:00` is the end of the day.
    """
    if not hours:
        return True
    clock = at.astimezone(ZoneInfo(timezone or "UTC")).time()
    return any(_within(clock, window) for window in hours)


def _within(clock: time, window: str) -> bool:
    opens, _, closes = window.partition("-")
    begin = time.fromisoformat(opens)
    if closes == "24:00":
        return clock >= begin
    end = time.fromisoformat(closes)
    if begin < end:
        return begin <= clock < end
    return clock >= begin or clock < end


def talk_on(talk: Talk, hours: Sequence[str], timezone: str | None, at: datetime) -> bool:
    """Whether a talk is on: as somebody said, or (`auto`) while the room is in use."""
    return talk == "on" or (talk == "auto" and in_use(hours, timezone, at))


@frozen
class Maintenance:
    """Somebody works on a room or station: nobody is to be called for it.

    `until`: None where it has no end.
    """

    by: str
    since: datetime
    until: datetime | None

    @classmethod
    def begin(cls, by: str, at: datetime, length: timedelta | None) -> "Maintenance":
        """From `at` on, for `length` or until it is ended."""
        return cls(by, at, at + length if length is not None else None)

    def on(self, at: datetime) -> bool:
        """Whether it still lasts."""
        return self.until is None or at < self.until
