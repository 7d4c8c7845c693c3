"""Judges stations: which are as wanted, which lag, and why; pure.

What `in_sync` means is the manager's to say; this adds the reasons, in words for people.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from attrs import frozen

from fleet.model import InstanceStatus, PresenceState, Problem, State
from fleet.operations import StationStatus

WELL = (State.RUNNING, State.COMPLETED)


class Standing(Enum):
    """Where a station stands on its way to what is wanted of it."""

    IN_SYNC = "in sync"
    WORKING = "working"
    FAILED = "failed"
    REJECTED = "rejected"
    PENDING = "pending"
    """It is not online: its config waits for it."""


@frozen
class Verdict:
    """A station's standing, and why it is not in sync (None where it is)."""

    station: StationStatus
    standing: Standing
    why: str | None

    def __str__(self) -> str:
        return f"{self.station.name}: {self.why or self.standing.value}"


def judge(station: StationStatus) -> Verdict:
    """Where `station` stands."""
    if station.problems:
        why = "; ".join(map(problem_text, station.problems))
        return Verdict(station, Standing.REJECTED, f"rejected revision {station.wanted}: {why}")
    if station.presence is not PresenceState.ONLINE:
        return Verdict(station, Standing.PENDING, _absent(station))
    if station.in_sync:
        return Verdict(station, Standing.IN_SYNC, None)
    if station.running != station.wanted:
        has = f"runs revision {station.running}" if station.running else "runs nothing"
        why = f"{has}, revision {station.wanted} is wanted and not answered yet"
        return Verdict(station, Standing.WORKING, why)
    ill = list(_ill(station))
    why = "; ".join(f"{name} {instance_text(one)}" for name, one in ill)
    failed = any(one.state is State.FAILED for _, one in ill)
    return Verdict(
        station,
        Standing.FAILED if failed else Standing.WORKING,
        why or "has not said yet what runs",
    )


def judge_all(stations: Iterable[StationStatus]) -> tuple[Verdict, ...]:
    """The verdicts on all stations something is wanted of."""
    return tuple(judge(station) for station in stations if station.wanted is not None)


def is_healthy(station: StationStatus) -> bool:
    """Whether nobody needs to look after `station`."""
    if station.wanted is None:
        return station.in_sync or station.presence is not PresenceState.ONLINE
    noted = any(one.reason for roles in station.roles.values() for one in roles.values())
    return station.in_sync and station.presence is PresenceState.ONLINE and not noted


def matching(stations: Sequence[StationStatus], name: str) -> tuple[StationStatus, ...]:
    """The stations in the room called `name`, or with this name or id."""
    return tuple(one for one in stations if name in (one.room, one.name, one.id))


def worst_first(stations: Iterable[StationStatus]) -> tuple[StationStatus, ...]:
    """Those that need somebody first, otherwise by room and name."""
    return tuple(sorted(stations, key=lambda one: (is_healthy(one), one.room or "~", one.name)))


def problem_text(problem: Problem) -> str:
    """`InvalidConfiguration record/main /segment_seconds: expected 1 to 86400, got 0`."""
    instance = "/".join(filter(None, (problem.role, problem.instance)))
    where = " ".join(filter(None, (problem.type, instance, problem.path)))
    return f"{where}: {problem.message}"


def instance_text(one: InstanceStatus) -> str:
    """`backoff (DeviceMissing: there is no /dev/video0)`."""
    reason = reason_text(one)
    return f"{one.state.value} ({reason})" if reason else one.state.value


def reason_text(one: InstanceStatus) -> str:
    """`DeviceMissing: there is no /dev/video0`, empty where all is well."""
    return ": ".join(filter(None, (one.reason, one.message)))


def _ill(station: StationStatus) -> Iterator[tuple[str, InstanceStatus]]:
    for role, instances in station.roles.items():
        for instance, one in instances.items():
            if one.state not in WELL:
                yield f"{role}/{instance} is", one


def _absent(station: StationStatus) -> str:
    if station.presence is PresenceState.UNKNOWN:
        return "never heard of" if station.running is None else "unknown"
    return station.presence.value
