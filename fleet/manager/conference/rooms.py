"""What is known of the rooms: their hours, talks, and where somebody works. Pure."""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from fleet.manager.conference import file
from fleet.manager.conference.hours import Override, OverrideKind, Talk, in_use, talk_on
from fleet.manager.conference.wanted import Header, Room

log = logging.getLogger(__name__)

TALK_HOLDS: Final = timedelta(hours=12)
"""How long a word about a talk holds: one forgotten in the evening calls nobody at night."""
_NO_HEADER: Final = Header()
_NO_ROOM: Final = Room()


@define
class Rooms:
    """The conference file's rooms, and what was said of rooms and stations since."""

    header: Header = _NO_HEADER
    rooms: dict[str, Room] = field(factory=dict)
    _said: dict[tuple[OverrideKind, str], Override] = field(factory=dict)

    def learn(self, header: Header, rooms: Mapping[str, Room]) -> None:
        """A conference file was applied."""
        self.header, self.rooms = header, dict(rooms)

    def say(self, kind: OverrideKind, name: str, said: Override | None) -> None:
        """Somebody said something of a room or station; None takes it back."""
        self._said.pop((kind, name), None)
        if said is not None:
            self._said[kind, name] = said

    def all_said(self, said: Iterable[Override]) -> None:
        """All that was said before."""
        self._said = {(one.kind, one.name): one for one in said}

    def holding(self, kind: OverrideKind, name: str, at: datetime) -> Override | None:
        """What was said and holds at `at`."""
        said = self._said.get((kind, name))
        return said if said is not None and said.holds(at) else None

    def talk(self, room: str, at: datetime) -> Talk:
        """Whether somebody said that a talk is on or off; `auto` where nobody did."""
        said = self.holding("talk", room, at)
        return said.state if said else "auto"

    def talk_on(self, room: str, at: datetime) -> bool:
        """Whether a talk is on."""
        return talk_on(self.talk(room, at), self._hours(room), self.header.timezone, at)

    def in_use(self, room: str, at: datetime) -> bool:
        """Whether the room's hours have `at` in them."""
        return in_use(self._hours(room), self.header.timezone, at)

    def maintenance(self, station: str, room: str | None, at: datetime) -> Override | None:
        """Whether somebody works on the station (its id) or its room."""
        own = self.holding("station", station, at)
        return own or (self.holding("room", room, at) if room else None)

    def _hours(self, room: str) -> tuple[str, ...]:
        return self.rooms.get(room, _NO_ROOM).hours


def rooms_of(text: str) -> tuple[Header, Mapping[str, Room]]:
    """Header and rooms of a file that was applied; what this release cannot read is left out."""
    found = file.examine(text)
    if found.problems:
        told = "; ".join(": ".join(filter(None, (one.path, one.message))) for one in found.problems)
        log.warning("the conference file applied last would be refused now: %s", told)
    return found.header, found.rooms
