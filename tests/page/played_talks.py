"""A day of talks that is played for the page: what goes well, and everything that can go wrong."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.recordings.coverage import Kept
from fleet.manager.recordings.receipts import RoomNow
from fleet.manager.web.page.days import DayLook
from fleet.manager.web.page.recording_lines import AtWork
from fleet.manager.web.page.talks import DayFacts
from fleet.model import Segment, SegmentCheck, Span
from fleet.operations.recordings import CutMark
from fleet.schedule import ScheduledRoom, ScheduledTalk

ZONE: Final = ZoneInfo("Europe/Brussels")
DAY: Final = date(2026, 11, 14)
NAMES: Final = (
    "Opening",
    "Ten years of capturing talks, and what we would do otherwise",
    "Sound that one understands in the last row",
    "<b>HTML</b> is not a talk",
    "כמה מילים על הקלטות",
    "Lightning talks 🎤",
    "Who watches the watchers?",
    "Streaming to 40 countries from one church",
    "Closing",
)
_FINE: Final = SegmentCheck(datetime(2026, 11, 14, 12, tzinfo=UTC))
_FILE: Final = timedelta(minutes=3)


def at(hour: float) -> datetime:
    """A moment of the day, in UTC; 25.5 is half past one at night."""
    return datetime(2026, 11, 14, tzinfo=ZONE).astimezone(UTC) + timedelta(hours=hour)


class PlayedDay(DayLook):
    """A day in place of the manager's own knowledge; the rooms have `names`."""

    def __init__(self, rooms: dict[str, str], bad: bool = True) -> None:
        self.rooms = rooms
        self.bad = bad
        self.changes = 0
        self.moment = at(16.4)

    def now(self) -> datetime:
        return self.moment.astimezone(ZONE)

    @property
    def talks(self) -> tuple[tuple[str, ScheduledTalk], ...]:
        return tuple(
            one for number, room in enumerate(self.rooms) for one in _talks(number, room, self.bad)
        )

    @property
    def state(self) -> object:
        return self.changes

    async def facts(self, day: date) -> DayFacts:
        kept = {
            room: list(_kept(number, room, self.bad, self.moment))
            for number, room in enumerate(self.rooms)
        }
        first = next(iter(self.rooms))
        marks = [
            CutMark(first, "start", at(10.05), "ann", at(10.05), "after the applause"),
            CutMark(first, "cut", at(11.5), "bob", at(11.6), "the fire alarm"),
            CutMark(first, "end", at(12.0), "ann", at(12.0)),
        ]
        work: AtWork = {
            (room, f"{room}-{seat}", "record/main"): at(9.5)
            for number, room in enumerate(self.rooms)
            for seat in ("cam", "mix", "slides")[: 2 + number % 2]
            if number % 5 != 4 or not self.bad
        }
        stands = {room: RoomNow((), any(of == room for of, *_ in work)) for room in self.rooms}
        return DayFacts(
            *("DemoCon 26", self.rooms, True, self.talks, kept, marks, work), stands=stands
        )


def _talks(number: int, room: str, bad: bool) -> Iterator[tuple[str, ScheduledTalk]]:
    hour = 10.0 + number % 3 * 0.25
    for index in range(9):
        length = (0.5, 0.75, 0.75, 0.5, 1.0, 0.25, 0.75, 1.0, 0.5)[(index + number) % 9]
        title = NAMES[(index + number * 2) % len(NAMES)]
        one = ScheduledTalk(
            *(f"{room}-{index}", ScheduledRoom(room), title, at(hour), at(hour + length), 1),
            *(DAY.isoformat(), None, None, None, "en", ("A. Speaker",)),
        )
        if bad and number == 1 and index == 2:
            one = evolve(one, do_not_record=True, do_not_stream=True)
        yield room, one
        hour += length + (0.25 if index != 3 else 1.0)
    if number == 0:
        night = ScheduledTalk(
            *(f"{room}-night", ScheduledRoom(room), "Hacker Jeopardy", at(23), at(25.5), 1),
            DAY.isoformat(),
        )
        yield room, night


def _kept(number: int, room: str, bad: bool, until: datetime) -> Iterator[Kept]:
    for seat in ("cam", "mix", "slides")[: 2 + number % 2]:
        begin = at(9.5)
        while begin + _FILE < until:
            one = _segment(room, seat, begin, 0)
            left = _hurt(number, seat, one) if bad else one
            if left is not None:
                yield Kept(f"{room}-{seat}", left, True)
            begin += _FILE


def _segment(room: str, seat: str, begin: datetime, number: int, **more: Any) -> Segment:
    file = f"{room}/{seat}/{begin:%Y-%m-%dT%H%M%SZ}.ts"
    return Segment(
        *("index", 1 + number, file, room, "record", "main", begin, begin + _FILE),
        *(180_000_000, (), 4500, None, 0.0, "full"),
        check=_FINE,
    )


def _hurt(number: int, seat: str, one: Segment) -> Segment | None:
    """What became of a segment where things go wrong, None where it is lost."""
    begin, end = one.begin, one.end
    match number % 5, seat:
        case 0, "cam" if at(11.2) <= begin < at(11.45):
            return None
        case 0, "cam" if begin < at(11.2) <= end:
            return evolve(one, ended="crash")
        case 1, _ if at(15.5) <= begin < at(15.8):
            return evolve(one, check=evolve(_FINE, silences=(Span(begin, end, "track 1 left"),)))
        case 1, "mix" if at(15) <= begin < at(15.1):
            return evolve(one, check=evolve(_FINE, error="invalid NAL unit size"))
        case 2, _ if at(12) <= begin < at(13.1):
            return None
        case 2, "cam" if at(15.5) <= begin < at(15.6):
            return evolve(one, check=evolve(_FINE, frozen=(Span(begin, end),), missing=12))
        case 3, "mix" if begin >= at(16.2):
            return evolve(one, check=None)
        case 3, "cam" if at(10.5) <= begin < at(10.7):
            return evolve(one, check=evolve(_FINE, black=(Span(begin, end),)))
        case 4, _ if begin >= at(14.6):
            return None
        case 4, _ if begin < at(14.6) <= end:
            return evolve(one, ended="source lost")
    return one
