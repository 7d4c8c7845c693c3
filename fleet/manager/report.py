"""What is wanted and what was heard, joined and judged, as people and Prometheus are shown it."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final

from attrs import define, evolve, fields, frozen

from fleet.manager.conference.hours import Override
from fleet.manager.findings import Suspicion
from fleet.manager.health import (
    NEVER,
    NOT_AGAIN,
    Judge,
    is_well,
    suspected,
)
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.station_status import (
    clock_off,
    maintenance_note,
    note,
    station_status,
    wanted_now,
    with_recorded,
    with_stops,
)
from fleet.manager.stations.inventory import HeardStation, Inventory
from fleet.manager.stations.state import Readings, RoomUse, StationState
from fleet.manager.stations.telemetry import Figures
from fleet.manager.store.ledger import Entry, Ledger
from fleet.model import PresenceState, StopByHand, Telemetry, natural
from fleet.operations.health import HealthFinding
from fleet.operations.schedule import RoomTalk
from fleet.operations.stations import RoomStatus, StatusResult

_STEP: Final = 1.0
"""Seconds by which the machine's clock may wander before moments are counted anew."""
_WANTED: Final = attrgetter(*(one.name for one in fields(Entry)))
_DATED: Final = ("status", "clock_offset", "registration")
"""What of a station is new with each heartbeat, or nothing of a state is made of."""
_HEARD: Final = attrgetter(
    *(it.name for it in fields(HeardStation) if it.name[0] != "_" and it.name not in _DATED)
)
_LOOK: Final = 5.0
_BREATH: Final = 100
"""Stations after which others get their turn."""


def stations(ledger: Ledger, inventory: Inventory) -> list[str]:
    """Every station that is known: wanted, heard or both; a retired one only once it is back."""
    named = (id_ for id_ in ledger if not ledger[id_].retired)
    return sorted(inventory.stations.keys() | set(named))


def shown(ledger: Ledger, inventory: Inventory) -> Iterator[str]:
    """Every station but the retired ones, unless such a one is back."""
    for id_ in stations(ledger, inventory):
        if not ledger[id_].retired or inventory.presence(id_) is PresenceState.ONLINE:
            yield id_


@frozen
class Overview:
    """All that is known at one moment; `rooms`: '' for stations without one."""

    at: datetime
    """In the conference's time zone."""
    stations: tuple[StationState, ...]
    rooms: dict[str, RoomUse]
    findings: dict[str, tuple[HealthFinding, ...]]
    """By room: those of the room as a whole."""


@define
class _Seen:
    """A station as it was at a look, and may be shown again; moments are Unix seconds."""

    of: tuple[object, ...]
    """All that `state` is made of, except for the time."""
    state: StationState
    """As if it had measured nothing."""
    holds: float
    """To when `state` is so by the clock."""
    telemetry: Telemetry | None
    measured: StationState
    suspicions: tuple[Suspicion, ...]
    until: float
    """To when all of it is so by the clock."""
    shown: StationState
    """With what was found."""


class FleetReport:
    """Reads ledger, inventory and figures; its judge remembers when each finding began."""

    def __init__(
        self,
        ledger: Ledger,
        inventory: Inventory,
        figures: Figures,
        schedule: ScheduleWatch,
        *,
        accounts: bool,
    ) -> None:
        """`accounts`: whether the broker lets in only stations that have joined."""
        self._accounts = accounts
        self.schedule = schedule
        self._more: list[Callable[[], Iterable[HealthFinding]]] = [schedule.findings]
        self._ledger = ledger
        self._inventory = inventory
        self._figures = figures
        self._judge = Judge()
        self._seen: dict[str, _Seen] = {}
        """By id: made anew once something of it changes, or it is due."""
        self._uses: dict[str, RoomUse] = {}
        self._looking = asyncio.Lock()
        self._offset = time.time() - time.monotonic()

    def also(self, findings: Callable[[], Iterable[HealthFinding]]) -> None:
        """Tell from now on what these find, of no room or station."""
        self._more.append(findings)

    def whole(self) -> tuple[HealthFinding, ...]:
        """What is wrong, or to be told, of no room or station."""
        return tuple(one for of in self._more for one in of())

    @property
    def connected(self) -> bool:
        """Whether stations can be heard."""
        return self._inventory.connected

    @property
    def offset(self) -> float:
        """What makes Unix seconds of the monotonic ones in which everything was heard."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > _STEP:
            self._offset = offset
        return self._offset

    def now(self) -> datetime:
        """The moment, in the conference's time zone and in step with the monotonic clock."""
        zone = self._ledger.rooms.zone
        return datetime.fromtimestamp(time.monotonic() + self.offset, zone)

    async def keep(self) -> None:
        """Look for ever, also while nobody asks: some things are wrong only once they last."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK)

    async def look(self) -> Overview:
        """Everything as it is now, in the order of names; a large fleet holds nobody up."""
        async with self._looking:
            now = self.now()
            uses = {name: self._use(name, now) for name in self._ledger.rooms.rooms}
            seen: dict[str, _Seen] = {}
            found: list[StationState] = []
            in_room: dict[str, list[StationState]] = {}
            for number, id_ in enumerate(stations(self._ledger, self._inventory)):
                if number % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)
                room = self._ledger[id_].facts.room or ""
                if room not in uses:
                    uses[room] = self._use(room, now)
                seen[id_] = self._look_at(id_, uses[room], now)
                one = self._judged(seen[id_], now)
                found.append(one)
                in_room.setdefault(room, []).append(one)
            findings = {
                room: tuple(self._judge.room(room, in_room.get(room, ()), use, now))
                for room, use in uses.items()
            }
            self._judge.looked()
            self._seen, self._uses = seen, uses
        found.sort(key=_by_name)
        return Overview(now, tuple(found), uses, findings)

    async def status(self) -> StatusResult:
        """All stations, by room and name."""
        seen = await self.look()
        of_rooms = sorted(filter(None, seen.rooms), key=natural)
        return StatusResult(
            all(one.status.in_sync for one in seen.stations),
            tuple(one.status for one in seen.stations),
            seen.at.astimezone(UTC),
            str(seen.at.tzinfo),
            tuple(RoomStatus(room, found) for room in of_rooms if (found := seen.findings[room])),
            self.whole(),
            tuple(
                RoomTalk(
                    room,
                    talks.on,
                    talks.next,
                    self._ledger.rooms.holding("optout", room, seen.at.astimezone(UTC)) is not None,
                )
                for room in of_rooms
                if (talks := seen.rooms[room].talks) is not None
            ),
        )

    def _use(self, room: str, now: datetime) -> RoomUse:
        """What happens there; the same object as at the last look, where it is the same."""
        use, before = self._used(room, now), self._uses.get(room)
        return before if before == use else use

    def _used(self, room: str, now: datetime) -> RoomUse:
        if not room:
            return RoomUse(in_use=True, talk=False)
        rooms, at = self._ledger.rooms, now.astimezone(UTC)
        talk, talks = rooms.talk_on(room, at), rooms.talks(room, at)
        named = room in rooms.rooms and bool(rooms.rooms[room].schedule)
        unscheduled = named and talks is None and rooms.schedule is not None
        private = talks is not None and talks.private is not None
        blank = private and rooms.source is not None and rooms.source.blank_optouts
        return RoomUse(talk or rooms.in_use(room, at), talk, talks, unscheduled, blank)

    def measured(self, id_: str) -> None:
        """A station sent figures: judge them now, so that a look finds a large fleet judged."""
        use = self._uses.get(self._ledger[id_].facts.room or "")
        if use is not None:
            self._seen[id_] = self._look_at(id_, use, self.now())

    def _look_at(self, id_: str, use: RoomUse, now: datetime) -> _Seen:
        """A station; nothing of it is made or judged again before it has to be."""
        at = now.timestamp()
        entry, heard = self._ledger[id_], self._inventory.get(id_)
        latest = self._figures.latest(id_, at - self._offset)
        telemetry = latest[0] if latest else None
        working = self._ledger.rooms.maintenance(id_, entry.facts.room, now.astimezone(UTC))
        stops = self._stops(id_, heard, now)
        credential = self._ledger.let_in.credentials.get(id_)
        around = (self._inventory.connected, working, stops, credential, use, now.tzinfo)
        of = (*_WANTED(entry), *_said(heard), *around, self._offset)
        seen = self._seen.get(id_)
        if seen is not None and at <= seen.holds and of == seen.of:
            seen.of = of  # the same objects are compared faster
            if telemetry is seen.telemetry and at <= seen.until:
                return seen
            state, holds = seen.state, seen.holds
        else:
            state = self._state(id_, working, stops, now)
            holds = _holds(entry, heard, at, self._offset)
        measured = state
        if latest is not None:
            readings = Readings.of(latest[0], latest[1] + self._offset)
            status = with_recorded(state.status, readings)
            measured = evolve(state, status=status, readings=readings)
        suspicions, until = suspected(measured, use, now)
        return _Seen(of, state, holds, telemetry, measured, suspicions, min(holds, until), measured)

    def _stops(self, id_: str, heard: HeardStation | None, now: datetime) -> tuple[StopByHand, ...]:
        said = heard.status.stops if heard and heard.status else None
        return self._ledger.stops.shown(id_, said, now) if said or id_ in self._ledger.stops else ()

    def _judged(self, seen: _Seen, now: datetime) -> StationState:
        """A station with what is wrong with it now."""
        findings = tuple(self._judge.lasting(seen.suspicions, now)) if seen.suspicions else ()
        if findings != seen.shown.status.findings:
            status = seen.measured.status
            is_new = status.wanted is None
            well = status.well and not findings if is_new else is_well(status.standing, findings)
            status = evolve(status, well=well, findings=findings)
            seen.shown = evolve(seen.measured, status=status) if findings else seen.measured
        return seen.shown

    def _state(
        self,
        id_: str,
        working: Override | None,
        stops: tuple[StopByHand, ...],
        now: datetime,
    ) -> StationState:
        """A station as if it had measured nothing, and nothing were found."""
        entry, heard = self._ledger[id_], self._inventory.get(id_)
        said = self._inventory.reported(id_, entry.heard)
        missing = None
        if heard is None and self._inventory.connected:
            missing = NOT_AGAIN if said.ever else NEVER
        outside = (
            self._accounts
            and self._ledger.let_in.was_read
            and id_ not in self._ledger.let_in.credentials
            and said.presence is not PresenceState.ONLINE
        )
        notes = note(entry, heard, missing, outside=outside), maintenance_note(working, now)
        noted = "; ".join(filter(None, notes)) or None
        status = station_status(id_, entry, heard, said, now, self._offset, noted)
        status = with_stops(status, stops, now) if stops else status
        monotonic = now.timestamp() - self._offset
        return StationState(
            status,
            entry.facts.seat,
            entry.facts.where,
            wanted_now(entry.config, status),
            Readings.none(),
            working is not None,
            missing,
            credential.ends if (credential := self._ledger.let_in.credentials.get(id_)) else None,
            {k: one.crashes(monotonic) for k, one in heard.instances.items() if one.rises}
            if heard
            else {},
        )


def _said(heard: HeardStation | None) -> tuple[object, ...]:
    """What was heard of a station, except for when it said so."""
    if heard is None:
        return ()
    status = heard.status
    return (
        *_HEARD(heard),
        heard.hostnames if heard.conflict else (),
        clock_off(heard),
        *((status.revision, status.roles, status.stops) if status else ()),
    )


def _holds(entry: Entry, heard: HeardStation | None, at: float, offset: float) -> float:
    """To when, in Unix seconds, a station that says nothing more is the same by the clock."""
    if entry.config is not None and entry.config.at is None:
        return at  # what is not there is so since now
    if heard is None:
        return math.inf
    if heard.since is None and heard.state is not PresenceState.ONLINE:
        return at  # its own clock says since when, if that is no time to come
    return offset + min(
        (one.wears_off(at - offset) for one in heard.instances.values()), default=math.inf
    )


def _by_name(one: StationState) -> tuple[object, ...]:
    status = one.status
    return status.room is None, natural(status.room or ""), natural(status.name), status.id
