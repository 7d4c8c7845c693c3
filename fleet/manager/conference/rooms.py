"""What is known of the rooms: their hours, talks, and where somebody works. Pure."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from attrs import define, field

from fleet.manager.conference import file
from fleet.manager.conference.hours import Override, OverrideKind, Talk, in_use, open_until
from fleet.manager.conference.talks import RoomTalks, TalksNow
from fleet.manager.conference.wanted import ConferenceFile, Header, Room, ScheduleSource
from fleet.schedule import Matched, Schedule, ScheduledTalk, match

log = logging.getLogger(__name__)

TALK_HOLDS: Final = timedelta(hours=12)
"""How long a word about a talk holds: one forgotten in the evening calls nobody at night."""
_NO_HEADER: Final = Header()
_NO_ROOM: Final = Room()
_NOTHING: Final = Matched()


@define
class Rooms:
    """The conference file's rooms, their talks, and what was said of rooms and stations since."""

    header: Header = _NO_HEADER
    rooms: dict[str, Room] = field(factory=dict)
    source: ScheduleSource | None = None
    """Where the talks are published."""
    schedule: Schedule | None = None
    """The last one that was good."""
    matched: Matched = _NOTHING
    _talks: dict[str, RoomTalks] = field(factory=dict)
    _overrides: dict[tuple[OverrideKind, str], Override] = field(factory=dict)

    def learn(self, applied: ConferenceFile) -> None:
        """A conference file was applied."""
        self.header, self.rooms = applied.header, dict(applied.rooms)
        self.source = applied.schedule
        self.go_by(self.schedule)

    def go_by(self, schedule: Schedule | None) -> None:
        """A schedule was published; None where there is none to go by."""
        if schedule is None or self.source is None:
            self.schedule, self.matched, self._talks = None, _NOTHING, {}
            return
        self.schedule = schedule
        self.matched = match(schedule, self.names)
        before = timedelta(seconds=self.source.before)
        after = timedelta(seconds=self.source.after)
        self._talks = {
            ours: RoomTalks.of((one for one in schedule.talks if one.room in theirs), before, after)
            for ours, theirs in self.matched.rooms.items()
        }

    @property
    def timezone(self) -> str:
        """The conference's, in which people are told the time."""
        return self.header.timezone or "UTC"

    @property
    def zone(self) -> ZoneInfo:
        """The same, to reckon with."""
        return ZoneInfo(self.timezone)

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Each room -> what the schedule may call it."""
        return {key: room.called(key) for key, room in self.rooms.items()}

    def override(self, kind: OverrideKind, name: str, override: Override | None) -> None:
        """Override what a room or station goes by; None takes it back."""
        self._overrides.pop((kind, name), None)
        if override is not None:
            self._overrides[kind, name] = override

    def override_all(self, overrides: Iterable[Override]) -> None:
        """Exactly these hold."""
        self._overrides = {(one.kind, one.name): one for one in overrides}

    def holding(self, kind: OverrideKind, name: str, at: datetime) -> Override | None:
        """What was said and holds at `at`."""
        override = self._overrides.get((kind, name))
        return override if override is not None and override.holds(at) else None

    def talk(self, room: str, at: datetime) -> Talk:
        """Whether somebody said that a talk is on or off; `auto` where nobody did."""
        said = self.holding("talk", room, at)
        return said.state if said else "auto"

    def talk_on(self, room: str, at: datetime) -> bool:
        """Whether a talk is on: as somebody said, or by the schedule, or while it is in use."""
        said = self.talk(room, at)
        if said != "auto":
            return said == "on"
        if room in self._talks:
            return self._talks[room].now(at).on is not None
        return self.in_use(room, at)

    def talks(self, room: str, at: datetime) -> TalksNow | None:
        """What the schedule says of the room, whatever somebody said; None where it knows none."""
        return self._talks[room].now(at) if room in self._talks else None

    def talk_until(self, room: str, at: datetime) -> datetime | None:
        """When the talk that is on ends; None where none is on, or nobody knows."""
        if not self.talk_on(room, at):
            return None
        if override := self.holding("talk", room, at):
            return override.until
        if room in self._talks:
            talk = self._talks[room].now(at).on
            return talk.end if talk else None
        return open_until(self._hours(room), self.header.timezone, at)

    def all_talks(self) -> Iterator[tuple[str, ScheduledTalk]]:
        """(room, talk) of every talk in a room that the schedule knows."""
        if self.schedule is None:
            return
        ours = {theirs: room for room, several in self.matched.rooms.items() for theirs in several}
        for talk in self.schedule.talks:
            if talk.room in ours:
                yield ours[talk.room], talk

    def in_use(self, room: str, at: datetime) -> bool:
        """Whether the room's hours have `at` in them."""
        return in_use(self._hours(room), self.header.timezone, at)

    def maintenance(self, station: str, room: str | None, at: datetime) -> Override | None:
        """Whether somebody works on the station (its id) or its room."""
        own = self.holding("station", station, at)
        return own or (self.holding("room", room, at) if room else None)

    def _hours(self, room: str) -> tuple[str, ...]:
        return self.rooms.get(room, _NO_ROOM).hours


def rooms_of(text: str) -> ConferenceFile:
    """What a file that was applied says; what this release cannot read of it is left out."""
    found = file.examine(text)
    if found.problems:
        told = "; ".join(": ".join(filter(None, (one.path, one.message))) for one in found.problems)
        log.warning("the conference file applied last would be refused now: %s", told)
    return found
