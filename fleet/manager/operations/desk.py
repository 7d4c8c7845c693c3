"""What every operation works with, and how it finds the station or room that a person names."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from fleet.manager.access.joining import Joining
from fleet.manager.asking import StationAsker
from fleet.manager.conference.readers import records
from fleet.manager.conference.wanted import Facts
from fleet.manager.mixers import Mixers
from fleet.manager.notifications.keeper import Notifications
from fleet.manager.people.keeper import People
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.report import FleetReport, stations
from fleet.manager.rollouts.engine import Rollouts
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store.ledger import Entry, Ledger
from fleet.model import (
    InvalidArguments,
    PresenceState,
    Roles,
    State,
    StopByHand,
    meant_station_id,
    natural,
)
from fleet.strict import close_match

_MOST: Final = 20
"""Names that are listed before `and 5 more`."""
_AT_WORK = (State.STARTING, State.RUNNING, State.BACKOFF)


@frozen
class Desk:
    """`publish` is given the stations whose wanted config has changed; `clear` removes all that
    the broker keeps of one; `boot` is this manager's.
    """

    ledger: Ledger
    inventory: Inventory
    report: FleetReport
    rollouts: Rollouts
    publish: Callable[[Iterable[str]], None]
    clear: Callable[[str], Awaitable[None]]
    boot: str
    asker: StationAsker
    recordings: Recordings
    people: People
    mixers: Mixers
    notifications: Notifications
    tell_stops: Callable[[], None]
    """Tells stations what is stopped on them, where that has changed."""
    joining: Joining | None
    """None where somebody edits the broker's accounts there."""

    @property
    def timezone(self) -> str:
        """The conference's, in which people are told the time."""
        return self.ledger.rooms.timezone

    @property
    def wanted(self) -> dict[str, tuple[Facts, Roles]]:
        """Of each station of which anything is wanted (by id), what it is called and what it is."""
        return {
            id_: (entry.facts, entry.config.roles)
            for id_ in self.ledger
            if (entry := self.ledger[id_]).config is not None
        }

    def name(self, station: str) -> str:
        """What people call a station."""
        return self.ledger[station].facts.name or station

    def find(self, text: str) -> str:
        """The id of the station called `text`, or with this id.

        A name that two boxes have is that of the newer, and of a retired box only if of no other;
        a box whose name another has taken over may have had it as its id.

        Raises:
            InvalidArguments: there is none.
        """
        called = [text] if text in self.ledger or text in self.inventory.stations else []
        called += [id_ for id_ in self.ledger if self.ledger[id_].facts.name == text]
        if called:
            return min(called, key=lambda id_: _stale(self.ledger[id_]))
        names = {self.name(id_) for id_ in stations(self.ledger, self.inventory)}
        meant = meant_station_id(text)
        if meant is not None and (meant in self.ledger or meant in self.inventory.stations):
            raise InvalidArguments(f"there is no station {text!r} (did you mean {meant!r}?)")
        raise InvalidArguments(f"there is no station {text!r}{_hint(text, names)}")

    def stops(self, station: str) -> tuple[StopByHand, ...]:
        """What people have stopped there, also what only the station knows of."""
        heard = self.inventory.get(station)
        said = heard.status.stops if heard is not None and heard.status is not None else None
        return self.ledger.stops.shown(station, said, datetime.now(UTC))

    def rooms(self) -> set[str]:
        """Every room: of the file applied last, and where a station is."""
        known = {self.ledger[id_].facts.room for id_ in self.ledger if not self.retired(id_)}
        return {*self.ledger.rooms.rooms, *filter(None, known)}

    def find_room(self, text: str) -> str:
        """The room called `text`.

        Raises:
            InvalidArguments: there is none.
        """
        rooms = self.rooms()
        if text not in rooms:
            raise InvalidArguments(f"there is no room {text!r}{_hint(text, rooms)}")
        return text

    def touched(self, asked: Any) -> set[str | None]:
        """The rooms that arguments name, themselves or by a station in them; None for no room.

        Raises:
            InvalidArguments: there is no such station.
        """
        found: set[str | None] = set()
        room, station, target = (
            getattr(asked, name, None) for name in ("room", "station", "target")
        )
        if room is not None:
            found.add(room)
        if target is not None and target in self.rooms():
            found.add(target)
        elif target is not None:
            found.add(self.ledger[self.find(target)].facts.room)
        if station is not None:
            found.add(self.ledger[self.find(station)].facts.room)
        return found or {None}

    def retired(self, station: str) -> bool:
        """Whether nothing is to be known of it."""
        return self.ledger[station].retired

    def running(self, station: str) -> dict[tuple[str, str], State]:
        """The instances, (role, name), that are at work on a station that can be reached."""
        is_online = self.inventory.presence(station) is PresenceState.ONLINE
        return self._said_to_run(station) if is_online else {}

    def may_run(self, station: str) -> dict[tuple[str, str], State]:
        """Those that ran on a station that was lost: it may be well, and only its network gone."""
        is_lost = self.inventory.presence(station) is PresenceState.LOST
        return self._said_to_run(station) if is_lost else {}

    def _said_to_run(self, station: str) -> dict[tuple[str, str], State]:
        heard = self.inventory.get(station)
        if heard is None or heard.status is None:
            return {}
        return {
            (role, name): one.state
            for role, instances in heard.status.roles.items()
            for name, one in instances.items()
            if one.state in _AT_WORK
        }

    def recording(self, names: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
        """Everything that records right now: `hall1-cam record/main`.

        `names`: what stations are called from now on, by id.
        """
        for station in stations(self.ledger, self.inventory):
            for (role, instance), state in sorted(self.running(station).items()):
                if state is State.RUNNING and self.records(station, role, instance):
                    yield f"{names.get(station) or self.name(station)} {role}/{instance}"

    def records(self, station: str, role: str, instance: str) -> bool:
        """Whether an instance, as it is wanted now, records on its box."""
        config = self.ledger[station].config
        return records(role, config.roles.get(role, {}).get(instance, {}) if config else {})


def _stale(entry: Entry) -> tuple[bool, bool]:
    return entry.retired, entry.replaced_by is not None


def _hint(text: str, known: Iterable[str]) -> str:
    known = sorted(known, key=natural)
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    there = ", ".join(known[:_MOST]) or "none"
    return close_match(text, known) or f" (there are: {there}{more})"
