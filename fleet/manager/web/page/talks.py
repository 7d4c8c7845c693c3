"""A day of talks: for each room what was on, what each recording holds of it, and what is wrong.

Pure. Moments are Unix seconds, words are in the conference's time zone. A day changes at five in
the morning, so that what runs past midnight stays on its day.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from fleet.manager.recordings.coverage import Kept
from fleet.manager.recordings.receipts import RoomNow, receipt
from fleet.manager.web.page.recording_lines import AtWork, RecordingLine, line, of_instances
from fleet.model import counted
from fleet.operations.recordings import CutMark, Receipt
from fleet.schedule import DAY_CHANGES, ScheduledTalk, day_at

_LATEST: Final = timedelta(hours=7)
"""How much longer than until its change a day may last, for the sake of its talks."""
_BESIDE: Final = timedelta(minutes=30)
"""What is shown before the first talk and after the last."""
_SHORTEST: Final = timedelta(hours=4)
_MOST_TALKS: Final = 200
"""Of a room on one day; no line has place for more."""
_MOST_LINES: Final = 16
"""Recordings of one room."""
_MOST_MARKS: Final = 100
_ROWS: Final = 4
"""Talks at the same time in one room that have a row each."""


@frozen
class TalkBlock:
    """A talk on a line. `state`: `green`, `yellow`, `red`, `open` or `out`, where it must not be
    published; `row`: beneath those that are on at the same time.
    """

    talk: str
    """Its guid."""
    title: str
    begin: float
    end: float
    time: str
    row: int
    state: str
    why: str
    by: str
    """Which recording has most of it, and how much."""
    notes: tuple[str, ...]


@frozen
class MarkFlag:
    """Where somebody wants it to begin, end or be cut."""

    at: float
    kind: str
    said: str


@frozen
class RoomDay:
    """One room. `rows`: of talks; `more`: what is left out, in words."""

    room: str
    title: str
    rows: int
    talks: tuple[TalkBlock, ...]
    lines: tuple[RecordingLine, ...]
    marks: tuple[MarkFlag, ...]
    more: str | None


@frozen
class Hour:
    """An hour begins; with its time zone where that is another than an hour before."""

    at: float
    name: str


@frozen
class TalksDay:
    """All there is to draw. `previous`, `next`: days, as `2026-11-14`."""

    title: str
    timezone: str
    day: str
    name: str
    is_today: bool
    previous: str
    next: str
    begin: float
    end: float
    hours: tuple[Hour, ...]
    rooms: tuple[RoomDay, ...]
    note: str | None
    """Why there may be nothing to see."""


@frozen
class DayFacts:
    """What a day is made of. `rooms`: to their titles, in order; `kept`: by room, '' where none is
    known; `at_work`: (room, station, instance) of what runs now, and since when; `away`: stations
    of which nobody knows what they record.
    """

    title: str
    rooms: Mapping[str, str]
    has_schedule: bool
    talks: Sequence[tuple[str, ScheduledTalk]]
    kept: Mapping[str, Sequence[Kept]] = field(factory=dict)
    marks: Sequence[CutMark] = ()
    at_work: AtWork = field(factory=dict)
    away: frozenset[str] = frozenset()
    stands: Mapping[str, RoomNow] = field(factory=dict)
    """How it stands in each room."""

    def receipt(
        self, room: str, talk: ScheduledTalk, kept: Iterable[Kept], now: datetime
    ) -> Receipt:
        """What is known of a talk, of what was `kept` in its room."""
        return receipt(room, talk, kept, self.marks, now, self.stands.get(room, RoomNow()))


def day_of(talk: ScheduledTalk, zone: ZoneInfo) -> date:
    """The day to which a talk belongs: the schedule's where that is near."""
    own = day_at(talk.begin.astimezone(zone))
    try:
        said = date.fromisoformat(talk.date)
    except ValueError:
        return own
    return said if abs((said - own).days) <= 1 else own


def zone_of(now: datetime) -> ZoneInfo:
    """The time zone in which `now` is."""
    return now.tzinfo if isinstance(now.tzinfo, ZoneInfo) else ZoneInfo("UTC")


def whole_day(
    day: date, zone: ZoneInfo, talks: Iterable[tuple[str, ScheduledTalk]]
) -> tuple[datetime, datetime]:
    """Begin and end of a day, in UTC: from five to five, and further for its own talks."""
    begin = _change(day, zone)
    end = _change(day + timedelta(days=1), zone)
    own = [talk for _, talk in talks if day_of(talk, zone) == day]
    first = min((talk.begin for talk in own), default=begin)
    last = max((talk.end for talk in own), default=end)
    return max(min(begin, first), begin - _LATEST), min(max(end, last), end + _LATEST)


def _change(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, DAY_CHANGES, zone).astimezone(UTC)


def talks_day(day: date, facts: DayFacts, now: datetime) -> TalksDay:
    """The day as it stands; `now` in the conference's time zone."""
    zone = zone_of(now)
    begin, end = whole_day(day, zone, facts.talks)
    days = {day_of(talk, zone) for _, talk in facts.talks} | {day_at(now)}
    own = [one for one in facts.talks if one[1].begin < end and one[1].end > begin]
    kept = {
        room: [one for one in several if one.segment.begin < end and one.segment.end > begin]
        for room, several in facts.kept.items()
    }
    marks = [one for one in facts.marks if begin <= one.at < end]
    facts = evolve(facts, talks=own, kept=kept, marks=marks)
    begin, end = _shown(begin, end, facts, now)
    others = [*(room for room in kept if kept[room] and room not in facts.rooms)]
    rooms = {**facts.rooms, **{name: name or "No room" for name in sorted(others)[:_MOST_LINES]}}
    made = tuple(_room(name, rooms[name], facts, now) for name in rooms)
    return TalksDay(
        facts.title,
        str(zone),
        day.isoformat(),
        f"{day:%A} {day.day} {day:%B %Y}",
        day == day_at(now),
        max((one for one in days if one < day), default=_beside(day, -1)).isoformat(),
        min((one for one in days if one > day), default=_beside(day, 1)).isoformat(),
        begin.timestamp(),
        end.timestamp(),
        tuple(_hours(begin, end, zone)),
        made,
        _note(facts),
    )


def _beside(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return day


def _note(facts: DayFacts) -> str | None:
    if not facts.rooms:
        return "No room yet: apply a conference file."
    if not facts.has_schedule:
        return "There is no schedule: [schedule] in the conference file says where it is published."
    if not facts.talks:
        return "The schedule has no talk on this day."
    return None


def _shown(
    begin: datetime, end: datetime, facts: DayFacts, now: datetime
) -> tuple[datetime, datetime]:
    """What of a day is drawn, in whole hours: its talks and marks, else all that was recorded."""
    moments = [at for _, talk in facts.talks for at in (talk.begin - _BESIDE, talk.end + _BESIDE)]
    moments += [one.at for one in facts.marks]
    if not facts.talks:
        kept = [one.segment for several in facts.kept.values() for one in several]
        moments += [at for one in kept for at in (one.begin, one.end)]
        moments += [now] if begin <= now < end else []
    first = max(begin, min(moments, default=begin + _SHORTEST))
    last = min(end, max(moments, default=first))
    first = first.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    last = max(last.astimezone(UTC), first + _SHORTEST)
    hours = -((first - last) // timedelta(hours=1))
    return first, first + timedelta(hours=hours)


def _hours(begin: datetime, end: datetime, zone: ZoneInfo) -> Iterator[Hour]:
    local = begin.astimezone(zone)
    at = begin + timedelta(minutes=-local.minute % 60)  # zones may differ by half an hour
    before = None
    while at < end:
        local = at.astimezone(zone)
        named = f" {local:%Z}" if before is not None and local.utcoffset() != before else ""
        yield Hour(at.timestamp(), f"{local:%H:%M}{named}")
        at, before = at + timedelta(hours=1), local.utcoffset()


def _room(name: str, title: str, facts: DayFacts, now: datetime) -> RoomDay:
    mine = sorted(
        (talk for room, talk in facts.talks if room == name), key=lambda it: (it.begin, it.end)
    )
    ordered = sorted(facts.kept.get(name, ()), key=lambda it: it.segment.begin)
    receipts = list(_receipts(name, mine[:_MOST_TALKS], ordered, facts, now))
    blocks, rows = _blocks(receipts, now)
    of = of_instances(name, ordered, facts.at_work)
    lines = tuple(
        line(
            *(*whose, of[whose], receipts),
            facts.at_work.get((name, *whose)),
            whose[0] in facts.away,
            now,
        )
        for whose in sorted(sorted(of, key=lambda it: -len(of[it]))[:_MOST_LINES])
    )
    marks = [one for one in facts.marks if one.room == name]
    left_out = {
        "talk": len(mine) - len(blocks),
        "recording": len(of) - len(lines),
        "mark": len(marks) - _MOST_MARKS,
    }
    more = ", ".join(counted(count, what) for what, count in left_out.items() if count > 0)
    flags = tuple(_flag(one, now) for one in marks[:_MOST_MARKS])
    told = f"and {more}" if more else None
    return RoomDay(name, title, rows, blocks, lines, flags, told)


def _receipts(
    room: str,
    talks: Sequence[ScheduledTalk],
    ordered: Sequence[Kept],
    facts: DayFacts,
    now: datetime,
) -> Iterator[Receipt]:
    """One for each talk, of only those segments that have to do with it."""
    begins = [one.segment.begin for one in ordered]
    reached = list(accumulate((one.segment.end for one in ordered), max))
    last = max(ordered, key=lambda it: it.segment.end, default=None)
    before: dict[tuple[str, str], Kept] = {}
    over = deque(sorted(ordered, key=lambda it: it.segment.end))
    for talk in talks:
        while over and over[0].segment.end <= talk.begin:
            ended = over.popleft()
            before[ended.whose] = ended
        near = ordered[bisect_right(reached, talk.begin) : bisect_left(begins, talk.end)]
        also = [last] if last is not None and last not in near[-1:] else []
        yield facts.receipt(room, talk, [*before.values(), *near, *also], now)


def _blocks(receipts: Sequence[Receipt], now: datetime) -> tuple[tuple[TalkBlock, ...], int]:
    """The blocks, and how many rows they take; what has no place is left out."""
    ends: list[datetime] = []
    made = []
    for one in receipts:
        talk = one.talk
        row = next((at for at, end in enumerate(ends) if end <= talk.begin), len(ends))
        if row == _ROWS:
            continue
        ends[row : row + 1] = [talk.end]
        made.append(talk_block(one, row, now))
    return tuple(made), max(1, len(ends))


def talk_block(one: Receipt, row: int, now: datetime) -> TalkBlock:
    """A talk as it stands; `now` in the conference's time zone."""
    talk = one.talk
    begin, end = (at.astimezone(now.tzinfo) for at in (talk.begin, talk.end))
    best = one.coverage[0] if one.coverage else None
    opted = {"recorded": talk.do_not_record, "streamed": talk.do_not_stream}
    return TalkBlock(
        talk.guid,
        talk.title,
        talk.begin.timestamp(),
        talk.end.timestamp(),
        f"{begin:%H:%M}\N{EN DASH}{end:%H:%M}",
        row,
        one.verdict or ("out" if talk.do_not_record else "open"),
        one.why,
        f"{best.share:.1%} in {best.instance} of {best.station}" if best else "",
        tuple(f"not to be {what}" for what, is_so in opted.items() if is_so),
    )


def _flag(one: CutMark, now: datetime) -> MarkFlag:
    note = f": {one.note}" if one.note else ""
    at = one.at.astimezone(now.tzinfo)
    return MarkFlag(one.at.timestamp(), one.kind, f"{one.kind} {at:%H:%M:%S}, {one.by}{note}")
