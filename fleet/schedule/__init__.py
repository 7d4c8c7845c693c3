"""A conference's schedule: which talk is in which room, and when. Pure, except for `fetching`."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from unicodedata import normalize
from urllib.parse import urlsplit

from attrs import Factory, frozen

MOST_TALKS: Final = 20_000
"""More than this is no conference; the largest has some 1,500."""
DAY_CHANGES: Final = time(5)
"""A day lasts from five in the morning to five: a late talk is of its evening."""


@frozen
class ScheduledRoom:
    """A room as the schedule names it."""

    name: str
    guid: str | None = None


@frozen
class ScheduledTalk:
    """One talk; times in UTC. `day`: its number in the schedule, whose days may end at night."""

    guid: str
    """The schedule's, or what stands in for it: `id:17`, `slug:opening`."""
    room: ScheduledRoom
    title: str
    begin: datetime
    end: datetime
    day: int
    date: str
    """Of its day, `2026-11-15`."""
    id: str | None = None
    code: str | None = None
    slug: str | None = None
    language: str | None = None
    persons: tuple[str, ...] = ()
    do_not_record: bool = False
    do_not_stream: bool = False


@frozen
class Schedule:
    """A schedule as it was published. `talks`: by begin, then room."""

    title: str
    acronym: str | None
    version: str | None
    timezone: str | None
    """As IANA calls it."""
    rooms: tuple[ScheduledRoom, ...]
    talks: tuple[ScheduledTalk, ...]
    notes: tuple[str, ...] = ()
    """What is odd about it, but no reason not to go by it."""


class BadSchedule(Exception):
    """It cannot be used: `mistakes`, each with its place, and how many more there are."""

    def __init__(self, mistakes: Sequence[str], more: int = 0) -> None:
        self.mistakes = tuple(mistakes)
        self.more = more
        also = f"; and {more} more" if more else ""
        super().__init__("; ".join(self.mistakes) + also)


@frozen
class Matched:
    """Which room of the schedule is which of ours."""

    rooms: Mapping[str, tuple[ScheduledRoom, ...]] = Factory(dict)
    """Ours -> the schedule's; only those that it knows."""
    unknown: tuple[ScheduledRoom, ...] = ()
    """The schedule's that are none of ours."""


def match(schedule: Schedule, names: Mapping[str, Sequence[str]]) -> Matched:
    """Find each room by guid, then by name; `names`: each of our rooms with its names and guids.

    What is written exactly so comes before what differs in case or spaces alone. A room of ours
    may be several of the schedule's (a hall that is renamed in the middle of a conference); one of
    the schedule's is one of ours, the first that names it.
    """
    exact: dict[str, str] = {}
    alike: dict[str, str] = {}
    for ours, theirs in names.items():
        for one in theirs:
            exact.setdefault(one, ours)
            alike.setdefault(folded(one), ours)
    found: dict[str, list[ScheduledRoom]] = {}
    unknown = []
    for room in schedule.rooms:
        by_guid = exact.get(room.guid) or alike.get(folded(room.guid)) if room.guid else None
        ours_ = by_guid or exact.get(room.name) or alike.get(folded(room.name))
        if ours_ is None:
            unknown.append(room)
        else:
            found.setdefault(ours_, []).append(room)
    return Matched({ours: tuple(rooms) for ours, rooms in found.items()}, tuple(unknown))


def day_at(at: datetime) -> date:
    """The day to which a moment belongs; `at` in the conference's time zone.

    >>> day_at(datetime(2026, 11, 15, 4, 59))
    datetime.date(2026, 11, 14)
    """
    return (at.replace(tzinfo=None) - timedelta(hours=DAY_CHANGES.hour)).date()


def folded(name: str) -> str:
    """A name without what people do not tell names apart by: case, spaces, how it is composed."""
    return " ".join(normalize("NFC", name).split()).casefold()


def is_web_address(text: str) -> bool:
    """Whether it is one of http or https that names a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
