"""When a room is in use, and what people say above its hours. Pure."""

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


def open_until(hours: Sequence[str], timezone: str | None, at: datetime) -> datetime | None:
    """When the window that has `at` in it ends; None outside all, and where there are none."""
    local = at.astimezone(ZoneInfo(timezone or "UTC"))
    ends = []
    for window in hours:
        if _within(local.time(), window):
            end = window.partition("-")[2]
            days = int(end == "24:00")
            moment = time() if days else time.fromisoformat(end)
            days += not days and moment <= local.time()
            ends.append(datetime.combine(local.date() + timedelta(days), moment, local.tzinfo))
    return max(ends, default=None)


OverrideKind = Literal["talk", "room", "station", "optout", "ack"]
"""A talk in a room; maintenance of a room or of a station; a stream blanked by the schedule; what
is wrong in a room is acknowledged."""


@frozen
class Override:
    """What somebody said of a room or station, until it is over. `until`: None without an end."""

    kind: OverrideKind
    name: str
    state: Literal["on", "off"]
    by: str
    since: datetime
    until: datetime | None

    def holds(self, at: datetime) -> bool:
        """Whether it is not over yet."""
        return self.until is None or at < self.until
