"""What is wanted and what was heard, joined into what people and Prometheus are shown. Pure."""

from collections.abc import Iterator
from datetime import datetime

from attrs import evolve

from fleet.manager.conference.hours import Override
from fleet.manager.stations.inventory import Heard, Inventory
from fleet.manager.store.ledger import Entry, Ledger
from fleet.model import (
    Ack,
    Config,
    InstanceStatus,
    PresenceState,
    Problem,
    Result,
    State,
)
from fleet.operations import StationStatus, StatusResult

_AT_WORK = (State.STARTING, State.RUNNING, State.BACKOFF, State.STOPPING)
_DONE = (State.RUNNING, State.COMPLETED)


def stations(ledger: Ledger, inventory: Inventory) -> list[str]:
    """Every station that is known: wanted, heard or both; a retired one only once it is back."""
    named = (id_ for id_ in ledger if not ledger[id_].retired)
    return sorted(inventory.stations.keys() | set(named))


def shown(ledger: Ledger, inventory: Inventory) -> Iterator[str]:
    """Every station but the retired ones, unless such a one is back."""
    for id_ in stations(ledger, inventory):
        if not ledger[id_].retired or inventory.presence(id_) is PresenceState.ONLINE:
            yield id_


def status(ledger: Ledger, inventory: Inventory, at: datetime) -> StatusResult:
    """All stations, by room and name."""
    shown = []
    for id_ in stations(ledger, inventory):
        entry = ledger[id_]
        one = station_status(id_, entry, inventory.get(id_), inventory.presence(id_), at)
        said = maintenance(ledger.rooms.maintenance(id_, entry.facts.room, at))
        shown.append(evolve(one, note="; ".join(filter(None, (one.note, said)))) if said else one)
    shown.sort(key=lambda one: (one.room is None, one.room or "", one.name, one.id))
    return StatusResult(all(one.in_sync for one in shown), tuple(shown), at)


def station_status(
    id_: str, entry: Entry, heard: Heard | None, presence: PresenceState, at: datetime
) -> StationStatus:
    """One station; `at` is now."""
    return StationStatus(
        id_,
        entry.facts.name or id_,
        entry.facts.room,
        presence,
        entry.config.revision if entry.config else None,
        running_revision(heard),
        in_sync(entry.config, heard, presence),
        problems(entry.config, heard.ack if heard else None),
        instances(entry.config, heard, presence, at),
        entry.config.by if entry.config else None,
        note(entry, heard),
    )


def maintenance(said: Override | None) -> str | None:
    """`maintenance of the room hall1 until 10:30Z, says ann`."""
    if said is None:
        return None
    of = f" of the room {said.name}" if said.kind == "room" else ""
    until = f" until {said.until:%H:%M}Z" if said.until else ""
    return f"maintenance{of}{until}, says {said.by}"


def running_revision(heard: Heard | None) -> int | None:
    """The revision in force, as far as it was heard."""
    if heard is None:
        return None
    if heard.status is not None:
        return heard.status.revision
    return heard.ack.in_force.revision if heard.ack else None


def in_sync(wanted: Config | None, heard: Heard | None, presence: PresenceState) -> bool:
    """Whether the station runs exactly what is wanted of it."""
    if heard is None or presence is not PresenceState.ONLINE or heard.conflict:
        return False
    ack, status = heard.ack, heard.status
    if wanted is None:
        return not (ack and ack.in_force.roles) and not (status and status.roles)
    if ack is None or ack.result is not Result.ACCEPTED or ack.revision != wanted.revision:
        return False
    if status is None or status.revision != wanted.revision:
        return False
    return all(
        (one := status.roles.get(role, {}).get(instance)) is not None and one.state in _DONE
        for role, instances in wanted.roles.items()
        for instance in instances
    )


def problems(wanted: Config | None, ack: Ack | None) -> tuple[Problem, ...]:
    """Why the revision wanted was rejected; empty where it was not."""
    if wanted is None or ack is None or ack.error is None:
        return ()
    if ack.result is not Result.REJECTED or ack.revision not in (wanted.revision, None):
        return ()
    error = ack.error
    return error.problems or (Problem(error.type, None, None, None, error.message),)


def instances(
    wanted: Config | None, heard: Heard | None, presence: PresenceState, at: datetime
) -> dict[str, dict[str, InstanceStatus]]:
    """Every instance that is wanted or was last said to run."""
    said = heard.status.roles if heard and heard.status else {}
    shown = {
        role: {name: _believed(one, presence) for name, one in instances.items()}
        for role, instances in said.items()
    }
    absent = State.STOPPED
    if presence in (PresenceState.LOST, PresenceState.UNKNOWN):
        absent = State.UNKNOWN
    since = (wanted.at if wanted else None) or at
    for role, wanted_instances in wanted.roles.items() if wanted else ():
        for name in wanted_instances:
            one = InstanceStatus(absent, since, 0, None, None)
            shown.setdefault(role, {}).setdefault(name, one)
    return shown


def _believed(said: InstanceStatus, presence: PresenceState) -> InstanceStatus:
    """What an instance does, given whether its station can be reached."""
    if presence in (PresenceState.LOST, PresenceState.UNKNOWN):
        return evolve(said, state=State.UNKNOWN)
    if presence is PresenceState.OFFLINE and said.state in _AT_WORK:
        return evolve(said, state=State.STOPPED)  # a station stops everything before it leaves
    return said


def note(entry: Entry, heard: Heard | None) -> str | None:
    """What a person should know of a station besides."""
    if heard is None:
        return "never heard of; its config waits"
    if heard.conflict:
        return f"conflict: two boxes, {' and '.join(heard.hostnames)}, use this id"
    if entry.replaced_by is not None:
        return f"{entry.replaced_by} replaces it: it goes on until that one has accepted"
    if entry.retired:
        return "new: it was retired, and nothing is wanted of it; fleet adopt keeps what it runs"
    if entry.config is None:
        return "new: nothing is wanted of it"
    return None
