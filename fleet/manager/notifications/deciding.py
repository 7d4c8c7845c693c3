"""Who is told what, and when again: a notification for each room that needs somebody. Pure.

What is wrong for half a minute is told once; after half an hour once more, if nobody has
acknowledged it; who does; and that it is well again.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define, field, frozen

from fleet.manager.conference.hours import Override
from fleet.model import clock, natural

LASTS: Final = timedelta(seconds=30)
"""So long something is wrong, or well, before anybody is told: boards and alerts wait likewise."""
AGAIN: Final = timedelta(minutes=30)
_MOST_LINES: Final = 8
"""In one notification."""


class NotificationKind(StrEnum):
    """Why people are told."""

    NEW = "new"
    STILL = "still"
    OVER = "over"
    TAKEN = "taken"
    """Somebody sees to it."""


@frozen
class Concern:
    """One thing that is wrong. `key`: by which it is the same later; `text`: a sentence for people,
    with the box, its place and the command.
    """

    key: str
    text: str
    lasting: bool = False
    """Whether it has lasted already, as somebody knows who watches it."""


@frozen
class Notification:
    """What people are told of one room (empty: of the fleet as a whole)."""

    room: str
    kind: NotificationKind
    title: str
    text: str


@define
class _Room:
    seen: dict[str, datetime] = field(factory=dict)
    """Since when each is there."""
    told: set[str] = field(factory=set)
    at: datetime | None = None
    """When people were last told."""
    well: datetime | None = None
    covered: set[str] = field(factory=set)
    """What was acknowledged."""
    acknowledged: datetime | None = None
    """When."""
    patience: timedelta = LASTS
    """What being well has to last until that is told."""


class Notifying:
    """Remembers what was told; `look` at each moment gives what is to be told. `page`: where people
    without a keyboard say that they see to it.
    """

    def __init__(self, page: str | None = None) -> None:
        self._page = page
        self._rooms: dict[str, _Room] = {}

    def look(
        self,
        concerns: Mapping[str, Iterable[Concern]],
        acknowledged: Mapping[str, Override],
        now: datetime,
    ) -> list[Notification]:
        """`concerns` of each room now, and the rooms that somebody has acknowledged."""
        notifications = []
        for room in sorted({*concerns, *self._rooms}, key=natural):
            known = self._rooms.setdefault(room, _Room())
            there = {one.key: one for one in concerns.get(room, ())}
            if taken := _see(known, there, acknowledged.get(room), now):
                notifications.append(_taken(room, taken, now))
            if notification := _decide(room, known, there, now, self._page):
                notifications.append(notification)
            if not known.seen and not known.told:
                del self._rooms[room]
        return notifications


def _see(
    known: _Room, there: Mapping[str, Concern], acknowledged: Override | None, now: datetime
) -> Override | None:
    """Who sees to it, where people were told of it and that is new."""
    known.seen = {
        key: known.seen.get(key, now - LASTS if one.lasting else now) for key, one in there.items()
    }
    known.well = None if there else known.well or now
    if there:
        watched = all(one.lasting for one in there.values())
        known.patience = timedelta(0) if watched else LASTS
    if acknowledged is None:
        known.acknowledged, known.covered = None, set()
    elif known.acknowledged != acknowledged.since:
        # What is there now is what was acknowledged, also for a manager that has just begun.
        known.acknowledged, known.covered = acknowledged.since, set(there)
        if known.told and there:
            return acknowledged
    known.covered &= there.keys()
    return None


def _taken(room: str, by: Override, now: datetime) -> Notification:
    until = f" until {clock(by.until, now)}" if by.until else ""
    text = f"Nobody else needs to go there{until}, unless something else comes."
    return Notification(room, NotificationKind.TAKEN, f"{by.by} sees to {room}", text)


def _decide(
    room: str, known: _Room, there: Mapping[str, Concern], now: datetime, page: str | None
) -> Notification | None:
    lasting = {key for key, since in known.seen.items() if now - since >= LASTS}
    loud = lasting - known.covered
    name = room or "the fleet"
    if loud - known.told:
        kind, title = NotificationKind.NEW, f"{name} needs somebody"
    elif loud and known.at is not None and now - known.at >= AGAIN:
        kind, title = NotificationKind.STILL, f"{name} still needs somebody"
    elif known.told and known.well is not None and now - known.well >= known.patience:
        known.told, known.at = set(), None
        return Notification(
            room, NotificationKind.OVER, f"{name} is well again", "Nobody needs to go there."
        )
    else:
        return None
    known.told |= lasting
    known.at = now
    lines = [there[key].text for key in sorted(there, key=lambda key: (key not in loud, key))]
    more = len(lines) - _MOST_LINES
    if more > 0:
        lines = [*lines[:_MOST_LINES], f"and {more} more: fleet status"]
    if room:
        button = f", or the button at {page}" if page else ""
        lines.append(f"I take it: fleet ack {room}{button}")
    return Notification(room, kind, title, "\n".join(lines))
