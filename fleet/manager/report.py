"""What is wanted and what was heard, joined and judged, as people and Prometheus are shown it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve, fields, frozen

from fleet.manager.conference.hours import Override
from fleet.manager.health import (
    NEVER,
    NOT_AGAIN,
    Judge,
    calm_until,
    is_well,
    rejections,
    running_revision,
    stand,
)
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.stations.instances import InstanceMemory
from fleet.manager.stations.inventory import HeardStation, Inventory
from fleet.manager.stations.state import Readings, ReportedState, RoomUse, StationState, is_live
from fleet.manager.stations.stops import is_stopped, to_run
from fleet.manager.stations.telemetry import Figures
from fleet.manager.store.ledger import Entry, Ledger
from fleet.model import Config, InstanceStatus, PresenceState, Roles, State, StopByHand, natural
from fleet.operations import (
    HealthFinding,
    InstanceReport,
    RoomStatus,
    RoomTalk,
    Standing,
    StationStatus,
    StatusResult,
)

_AT_WORK: Final = (State.STARTING, State.RUNNING, State.BACKOFF, State.STOPPING)
_STEP: Final = 1.0
"""Seconds by which the machine's clock may wander before moments are counted anew."""
_CLOCK_OFF: Final = 1.0
"""Seconds a station's clock may differ before the moments it names are corrected."""
_NOT_OFF: Final = timedelta(0)
_MOST_BYTES: Final = 2.0**63
"""A figure above is nonsense."""
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
        notes = (note(entry, heard, missing), _maintenance(working, now))
        monotonic = time.monotonic()
        noted = "; ".join(filter(None, notes)) or None
        status = station_status(id_, entry, heard, said, now, self._offset, noted)
        said_stops = heard.status.stops if heard and heard.status else None
        stops = self._ledger.stops.shown(id_, said_stops, now)
        status = _with_stops(status, stops, now) if stops else status
        readings = Readings.of(latest[0], latest[1] + self._offset) if latest else Readings.none()
        return StationState(
            _with_recorded(status, readings),
            entry.facts.seat,
            entry.facts.where,
            _wanted(entry.config, status),
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


def station_status(
    id_: str,
    entry: Entry,
    heard: HeardStation | None,
    said: ReportedState,
    at: datetime,
    offset: float,
    noted: str | None,
) -> StationStatus:
    """One station, as if nothing were found; `offset` makes Unix seconds of monotonic ones."""
    config = entry.config
    standing, why = stand(
        config.roles if config else None, config.revision if config else None, said
    )
    return StationStatus(
        id_,
        entry.facts.name or id_,
        entry.facts.room,
        said.presence,
        config.revision if config else None,
        running_revision(said),
        standing is Standing.IN_SYNC,
        rejections(config.revision if config else None, said.ack),
        instances(config, heard, said.presence, at),
        config.by if config else None,
        noted,
        conflict=said.conflict,
        presence_since=_presence_since(heard, said.presence, at, offset),
        standing=standing,
        why=why,
        well=is_well(standing, ())
        or (config is None and said.presence is not PresenceState.ONLINE),
    )


def _presence_since(
    heard: HeardStation | None, presence: PresenceState, at: datetime, offset: float
) -> datetime | None:
    if heard is None or presence is PresenceState.UNKNOWN:
        return None
    if heard.since is not None:
        return datetime.fromtimestamp(heard.since + offset, UTC)
    if presence is PresenceState.ONLINE or heard.said_at is None:
        return None
    # It was so before we listened: what it said last is the best that is known.
    return min(heard.said_at, at)


def _maintenance(said: Override | None, now: datetime) -> str | None:
    """`maintenance of the room hall1 until 11:30 CET, says ann`."""
    if said is None:
        return None
    of = f" of the room {said.name}" if said.kind == "room" else ""
    until = f" until {said.until.astimezone(now.tzinfo):%H:%M %Z}" if said.until else ""
    return f"maintenance{of}{until}, says {said.by}"


def instances(
    wanted: Config | None, heard: HeardStation | None, presence: PresenceState, at: datetime
) -> dict[str, dict[str, InstanceReport]]:
    """Every instance that is wanted or was last said to run."""
    said = heard.status.roles if heard and heard.status else {}
    memory = heard.instances if heard else {}
    ahead = (heard.clock_offset if heard else None) or 0.0
    off = timedelta(seconds=ahead) if abs(ahead) >= _CLOCK_OFF else _NOT_OFF
    now = time.monotonic()
    shown = {
        role: {
            name: _believed(_report(one, memory.get((role, name)), off, now), presence)
            for name, one in instances.items()
        }
        for role, instances in said.items()
    }
    absent = State.STOPPED
    if presence in (PresenceState.LOST, PresenceState.UNKNOWN):
        absent = State.UNKNOWN
    since = (wanted.at if wanted else None) or at.astimezone(UTC)
    for role, wanted_instances in wanted.roles.items() if wanted else ():
        there = shown.setdefault(role, {})
        for name, settings in wanted_instances.items():
            if name not in there:
                there[name] = InstanceReport(absent, since, 0, None, None)
            if (live := is_live(role, settings, there[name])) is not None:
                there[name] = evolve(there[name], live=live)
    return shown


def _report(
    one: InstanceStatus, memory: InstanceMemory | None, off: timedelta, now: float
) -> InstanceReport:
    since, hour = one.since, 0
    if memory is not None:
        since, hour = memory.since, memory.restarts(now)
    return InstanceReport(
        one.state, since - off, one.restarts, one.reason, one.message, one.revision, hour
    )


def _wanted(config: Config | None, status: StationStatus) -> Roles:
    """What is to run now."""
    if config is None:
        return {}
    return to_run(config.roles, status.roles) if status.stops else config.roles


def _with_stops(
    status: StationStatus, stops: tuple[StopByHand, ...], now: datetime
) -> StationStatus:
    """With what is stopped there, and with until when in the conference's time zone."""
    texts = {one.key: one.text(now.tzinfo or UTC) for one in stops}
    roles = {
        role: {
            name: evolve(one, message=texts[role, name])
            if is_stopped(one) and (role, name) in texts
            else one
            for name, one in named.items()
        }
        for role, named in status.roles.items()
    }
    return evolve(status, stops=stops, roles=roles)


def _with_recorded(status: StationStatus, readings: Readings) -> StationStatus:
    """With what each recording has written."""
    found = {
        name: evolve(one, recorded_bytes=int(size))
        for name, one in status.roles.get("record", {}).items()
        if (size := readings.value("fleet_recording_bytes", "record", name)) is not None
        and 0 <= size < _MOST_BYTES
    }
    if not found:
        return status
    record = {**status.roles["record"], **found}
    return evolve(status, roles={**status.roles, "record": record})


def _believed(said: InstanceReport, presence: PresenceState) -> InstanceReport:
    """What an instance does, given whether its station can be reached."""
    if presence in (PresenceState.LOST, PresenceState.UNKNOWN):
        return evolve(said, state=State.UNKNOWN)
    if presence is PresenceState.OFFLINE and said.state in _AT_WORK:
        return evolve(said, state=State.STOPPED)  # a station stops everything before it leaves
    return said


def note(entry: Entry, heard: HeardStation | None, missing: str | None) -> str | None:
    """What a person should know of a station besides."""
    if heard is None:
        if missing is None:
            return "nothing is known: there is no connection to the broker"
        return f"{missing}; its config waits"
    if heard.conflict:
        return f"conflict: two boxes, {' and '.join(heard.hostnames)}, use this id"
    if entry.replaced_by is not None:
        return f"{entry.replaced_by} replaces it: it goes on until that one has accepted"
    if entry.retired:
        return "new: it was retired, and nothing is wanted of it; fleet adopt keeps what it runs"
    if entry.config is None:
        return "new: nothing is wanted of it"
    return None
