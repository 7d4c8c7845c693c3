"""What is wanted and what was heard, joined and judged, as people and Prometheus are shown it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve, fields, frozen

from fleet.manager.health import (
    NEVER,
    NOT_AGAIN,
    Judge,
    calm_until,
    is_well,
)
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.station_status import (
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
from fleet.model import PresenceState, natural
from fleet.operations import (
    HealthFinding,
    RoomStatus,
    RoomTalk,
    StatusResult,
)

_STEP: Final = 1.0
"""Seconds by which the machine's clock may wander before moments are counted anew."""
_WANTED: Final = attrgetter(*(one.name for one in fields(Entry)))
_HEARD: Final = attrgetter(*(it.name for it in fields(HeardStation) if it.name[0] != "_"))
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


@frozen
class _Calm:
    """A station with which nothing is wrong, `of` what was heard and wanted of it, `until` then."""

    station: StationState
    of: tuple[object, ...]
    until: float
    """In Unix seconds."""


class FleetReport:
    """Reads ledger, inventory and figures; its judge remembers when each finding began."""

    def __init__(
        self, ledger: Ledger, inventory: Inventory, figures: Figures, schedule: ScheduleWatch
    ) -> None:
        self.schedule = schedule
        self._more: list[Callable[[], Iterable[HealthFinding]]] = [schedule.findings]
        self._ledger = ledger
        self._inventory = inventory
        self._figures = figures
        self._judge = Judge()
        self._calm: dict[str, _Calm] = {}
        """By id: judged anew once something of it changes, or it is due."""
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
        zone = ZoneInfo(self._ledger.rooms.header.timezone or "UTC")
        return datetime.fromtimestamp(time.monotonic() + self.offset, zone)

    async def look(self) -> Overview:
        """Everything as it is now, in the order of names; a large fleet holds nobody up."""
        async with self._looking:
            now = self.now()
            uses = {name: self._use(name, now) for name in self._ledger.rooms.rooms}
            calm: dict[str, _Calm] = {}
            found: list[StationState] = []
            in_room: dict[str, list[StationState]] = {}
            for number, id_ in enumerate(stations(self._ledger, self._inventory)):
                if number % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)
                room = self._ledger[id_].facts.room or ""
                if room not in uses:
                    uses[room] = self._use(room, now)
                still = self._still_calm(id_, uses[room], now)
                if still is None:
                    one = self._judged(self._state(id_, now), uses[room], now)
                else:
                    calm[id_], one = still, still.station
                found.append(one)
                in_room.setdefault(room, []).append(one)
            findings = {
                room: tuple(self._judge.room(room, in_room.get(room, ()), use, now))
                for room, use in uses.items()
            }
            self._judge.looked()
            self._calm, self._uses = calm, uses
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

    def _still_calm(self, id_: str, use: RoomUse, now: datetime) -> _Calm | None:
        """The station, where nothing is wrong with it; not judged again before it has to be."""
        entry, heard = self._ledger[id_], self._inventory.get(id_)
        if heard is None or heard.state is not PresenceState.ONLINE:
            return None
        if id_ in self._ledger.stops or (heard.status is not None and heard.status.stops):
            return None
        latest = self._figures.latest(id_, time.monotonic())
        working = self._ledger.rooms.maintenance(id_, entry.facts.room, now.astimezone(UTC))
        credential = self._ledger.credentials.get(id_)
        around = (self._inventory.connected, working, credential, use, now.tzinfo, self._offset)
        # All that `_state` is made of, but for the time.
        of = (*_WANTED(entry), *_HEARD(heard), latest and latest[0], *around)
        before = self._calm.get(id_)
        if before is not None and now.timestamp() <= before.until and before.of == of:
            return before
        if any(one.rises for one in heard.instances.values()):
            return None  # that wears off with time
        one = self._state(id_, now)
        until = calm_until(one, use, now)
        return None if until is None else _Calm(one, of, until)

    def _judged(self, one: StationState, use: RoomUse, now: datetime) -> StationState:
        findings = tuple(self._judge.station(one, use, now))
        if not findings:
            return one
        status = one.status
        well = status.well if status.wanted is None else is_well(status.standing, findings)
        return evolve(one, status=evolve(status, well=well, findings=findings))

    def _state(self, id_: str, now: datetime) -> StationState:
        entry, heard = self._ledger[id_], self._inventory.get(id_)
        said = self._inventory.reported(id_, entry.heard)
        missing = None
        if heard is None and self._inventory.connected:
            missing = NOT_AGAIN if said.ever else NEVER
        latest = self._figures.latest(id_, time.monotonic())
        working = self._ledger.rooms.maintenance(id_, entry.facts.room, now.astimezone(UTC))
        notes = (note(entry, heard, missing), maintenance_note(working, now))
        monotonic = time.monotonic()
        noted = "; ".join(filter(None, notes)) or None
        status = station_status(id_, entry, heard, said, now, self._offset, noted)
        said_stops = heard.status.stops if heard and heard.status else None
        stops = self._ledger.stops.shown(id_, said_stops, now)
        status = with_stops(status, stops, now) if stops else status
        readings = Readings.of(latest[0], latest[1] + self._offset) if latest else Readings.none()
        return StationState(
            with_recorded(status, readings),
            entry.facts.seat,
            entry.facts.where,
            wanted_now(entry.config, status),
            readings,
            working is not None,
            missing,
            credential.ends if (credential := self._ledger.credentials.get(id_)) else None,
            {k: one.crashes(monotonic) for k, one in heard.instances.items() if one.rises}
            if heard
            else {},
        )


def _by_name(one: StationState) -> tuple[object, ...]:
    status = one.status
    return status.room is None, natural(status.room or ""), natural(status.name), status.id
