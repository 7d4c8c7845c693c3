"""What is wanted of one station and what was heard of it, joined as people are shown it. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import evolve

from fleet.manager.conference.hours import Override
from fleet.manager.health import is_well, rejections, running_revision, stand
from fleet.manager.stations.instances import InstanceMemory
from fleet.manager.stations.inventory import HeardStation
from fleet.manager.stations.state import AT_WORK, Readings, ReportedState, is_live
from fleet.manager.stations.stops import is_stopped, to_run
from fleet.manager.store.ledger import Entry
from fleet.model import Config, InstanceStatus, PresenceState, Roles, State, StopByHand, clock
from fleet.operations.health import Standing
from fleet.operations.stations import InstanceReport, StationStatus

_CLOCK_OFF: Final = 1.0
"""Seconds a station's clock may differ before the moments it names are corrected."""
_NOT_OFF: Final = timedelta(0)
_MOST_BYTES: Final = 2.0**63
"""A figure above is nonsense."""


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
        instances(config, heard, said.presence, at, at.timestamp() - offset),
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


def maintenance_note(said: Override | None, now: datetime) -> str | None:
    """`maintenance of the room hall1 until 11:30 CET, says ann`."""
    if said is None:
        return None
    of = f" of the room {said.name}" if said.kind == "room" else ""
    until = f" until {clock(said.until, now)}" if said.until else ""
    return f"maintenance{of}{until}, says {said.by}"


def instances(
    wanted: Config | None,
    heard: HeardStation | None,
    presence: PresenceState,
    at: datetime,
    now: float,
) -> dict[str, dict[str, InstanceReport]]:
    """Every instance that is wanted or was last said to run; `now`: `at`, in monotonic seconds."""
    said = heard.status.roles if heard and heard.status else {}
    memory = heard.instances if heard else {}
    off = clock_off(heard)
    shown = {
        role: {
            name: _believed(_report(one, memory.get((role, name)), off, now, presence), presence)
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


def clock_off(heard: HeardStation | None) -> timedelta:
    """By how much the moments that a station names are corrected."""
    ahead = (heard.clock_offset if heard else None) or 0.0
    return timedelta(seconds=ahead) if abs(ahead) >= _CLOCK_OFF else _NOT_OFF


def _report(
    one: InstanceStatus,
    memory: InstanceMemory | None,
    off: timedelta,
    now: float,
    presence: PresenceState,
) -> InstanceReport:
    # A manager that was restarted saw none of them, an agent that was only those since.
    since = one.since
    hour = one.restarts_last_hour if presence is PresenceState.ONLINE else 0
    if memory is not None:
        since, hour = memory.since, max(hour, memory.restarts(now))
    return InstanceReport(
        one.state, since - off, one.restarts, one.reason, one.message, one.revision, hour
    )


def wanted_now(config: Config | None, status: StationStatus) -> Roles:
    """What is to run now."""
    if config is None:
        return {}
    return to_run(config.roles, status.roles) if status.stops else config.roles


def with_stops(
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


def with_recorded(status: StationStatus, readings: Readings) -> StationStatus:
    """With what each recording has written since it runs."""
    found = {
        name: evolve(one, recorded_bytes=int(size))
        for name, one in status.roles.get("record", {}).items()
        if (size := readings.value("fleet_recording_bytes", "record", name)) is not None
        and 0 <= size < _MOST_BYTES
        and one.since.timestamp() <= readings.heard  # else the run before this one wrote it
    }
    if not found:
        return status
    record = {**status.roles["record"], **found}
    return evolve(status, roles={**status.roles, "record": record})


def _believed(said: InstanceReport, presence: PresenceState) -> InstanceReport:
    """What an instance does, given whether its station can be reached."""
    if presence in (PresenceState.LOST, PresenceState.UNKNOWN):
        return evolve(said, state=State.UNKNOWN)
    if presence is PresenceState.OFFLINE and said.state in AT_WORK:
        return evolve(said, state=State.STOPPED)  # a station stops everything before it leaves
    return said


def note(
    entry: Entry, heard: HeardStation | None, missing: str | None, *, outside: bool
) -> str | None:
    """What a person should know of a station besides.

    `outside`: whether the broker lets it in no more, or never did.
    """
    if heard is None and missing is None:
        return "nothing is known: there is no connection to the broker"
    if outside:
        was = missing or "not let in"
        return f"{was}: it has not joined, or was cut off; fleet token prints the line to join by"
    if heard is None:
        return f"{missing}; its config waits" if entry.config is not None else missing
    if heard.conflict:
        return f"conflict: two boxes, {' and '.join(heard.hostnames)}, use this id"
    if entry.replaced_by is not None:
        return f"{entry.replaced_by} replaces it: it goes on until that one has accepted"
    if entry.retired:
        return "new: it was retired, and nothing is wanted of it; fleet adopt keeps what it runs"
    if entry.config is None:
        return "new: nothing is wanted of it"
    return None
