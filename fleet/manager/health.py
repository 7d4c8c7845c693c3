"""Judges health: what is wrong, since when, how bad it is, whom to send where, what to type. Pure.

Nobody else decides. Status, page, metrics, rollouts and doctor are given what is said here: where
a station stands on its way to what is wanted of it (`stand`), and what is wrong (`Judge`), of what
`findings` knows.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import evolve

from fleet.manager.findings import (
    CORE_SECONDS,
    LOUD_LUFS,
    LOW_LUFS,
    QUIET_LUFS,
    FindingKind,
    Judgement,
    Suspicion,
)
from fleet.manager.findings.instance import is_older, noted
from fleet.manager.findings.station import station_findings
from fleet.manager.findings.whole import room_findings
from fleet.manager.stations.state import ReportedState, RoomUse, StationState
from fleet.manager.stations.stops import is_stopped
from fleet.model import Ack, PresenceState, Problem, Result, Roles, State
from fleet.operations.health import HealthFinding, HealthLevel, Standing

FindingKey = tuple[str | None, str | None, str | None, str]
"""Room, station, instance, kind: what makes two sightings one finding."""

_BANDS: Final = {
    "silent": FindingKind.SILENCE,
    "low": FindingKind.LOW,
    "loud": FindingKind.LOUD,
}
NEVER: Final = "never heard of"
NOT_AGAIN: Final = "not heard since the manager was started"
_DONE: Final = (State.RUNNING, State.COMPLETED)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class Judge:
    """Remembers when each finding was first seen, as long as it is seen at each look.

    A station says when a state began, but not since when it has had a reason.
    """

    def __init__(self) -> None:
        self._first: dict[FindingKey, datetime] = {}
        self._next: dict[FindingKey, datetime] = {}

    def station(self, station: StationState, use: RoomUse, now: datetime) -> list[HealthFinding]:
        """What is wrong with a station, the worst first."""
        return self.lasting(suspected(station, use, now)[0], now)

    def room(
        self, room: str, stations: Sequence[StationState], use: RoomUse, now: datetime
    ) -> list[HealthFinding]:
        """What is wrong with a room as a whole."""
        return self.lasting(room_findings(room, stations, use), now)

    def looked(self) -> None:
        """All stations and rooms were looked at: what was not found again is over."""
        self._first, self._next = self._next, {}

    def lasting(self, suspicions: Iterable[Suspicion], now: datetime) -> list[HealthFinding]:
        """What of all that is suspected has lasted for long enough, the worst first."""
        found = []
        for one in suspicions:
            key = _key(one.finding)
            since = min(self._first.get(key, now), one.finding.since or now)
            self._next[key] = since
            if (now - since).total_seconds() >= one.after:
                told = since if one.dated else None
                same = one.finding.since == told
                found.append(one.finding if same else evolve(one.finding, since=told))
        return sorted(found, key=severity)


def suspected(
    station: StationState, use: RoomUse, now: datetime
) -> tuple[tuple[Suspicion, ...], float]:
    """What may be wrong with a station, and to when, in Unix seconds, that is so by the clock.

    What does not matter now is left out.
    """
    judged = Judgement(now)
    found = station_findings(station, use, judged)
    return tuple(one for one in found if one.finding.level is not HealthLevel.FINE), judged.until


def _key(finding: HealthFinding) -> FindingKey:
    return finding.room, finding.station, finding.instance, finding.kind


def severity(finding: HealthFinding) -> tuple[int, int, datetime]:
    """A key to sort by, the worst first."""
    return -finding.level.rank, FindingKind(finding.kind).rank, finding.since or _LATEST


def is_well(standing: Standing, findings: Iterable[HealthFinding]) -> bool:
    """Whether nobody needs to look after a station of which something is wanted."""
    return standing is Standing.IN_SYNC and not any(findings)


def lost_at_once(rooms: Iterable[tuple[str, Sequence[HealthFinding]]]) -> tuple[str, ...]:
    """The rooms that were lost together, so that one cause is likely; none where fewer than two.

    `rooms`: those in use, each with its findings, the worst first.
    """
    lost = sorted(
        (found[0].since, room)
        for room, found in rooms
        if found and found[0].kind == FindingKind.LOST and found[0].since is not None
    )
    together: list[str] = []
    for first, _ in lost:
        near = [room for at, room in lost if 0 <= (at - first).total_seconds() <= CORE_SECONDS]
        together = max(together, near, key=len)
    return tuple(together) if len(together) > 1 else ()


def stand(
    roles: Roles | None, revision: int | None, said: ReportedState
) -> tuple[Standing, str | None]:
    """Where a station stands of which this revision with these roles is wanted, and why.

    None for both: nothing is wanted. Only a status that names the revision counts, and in it only
    instances that do not name an older one: those speak of what ran before.
    """
    if revision is None or roles is None:
        runs = (said.ack and said.ack.in_force.roles) or (said.status and said.status.roles)
        if said.presence is PresenceState.ONLINE and not said.conflict and not runs:
            return Standing.IN_SYNC, None
        return Standing.WORKING, "nothing is wanted of it"
    if problems := rejections(revision, said.ack):
        return Standing.REJECTED, "; ".join(one.text for one in problems)
    if said.presence is not PresenceState.ONLINE:
        return Standing.PENDING, _away(said)
    if said.conflict:
        return Standing.PENDING, "two boxes use its id; it gets its config once one is left"
    if said.ack is None or (said.ack.revision, said.ack.result) != (revision, Result.ACCEPTED):
        running = running_revision(said)
        has = f"runs revision {running}" if running else "runs nothing"
        return Standing.WORKING, f"{has}, revision {revision} is wanted and not answered yet"
    if said.ack.in_force.roles != roles:
        return Standing.WORKING, f"runs something else under revision {revision}"
    if said.status is None or said.status.revision != revision:
        return Standing.WORKING, "has not said yet what runs"
    failed, ill = False, []
    for role, instances in roles.items():
        for name in instances:
            one = said.status.roles.get(role, {}).get(name)
            if one is None or is_older(one, revision):
                ill.append(f"{role}/{name} is not said to run yet")
            elif one.state is State.FAILED:
                failed = True
                ill.append(f"{role}/{name} {one.text}")
            elif one.state not in _DONE and not is_stopped(one):
                ill.append(f"{role}/{name} is {one.text}")
    if not ill:
        return Standing.IN_SYNC, None
    return Standing.FAILED if failed else Standing.WORKING, "; ".join(ill)


def _away(said: ReportedState) -> str:
    if said.presence is not PresenceState.UNKNOWN:
        return said.presence.value
    if not said.ever:
        return NEVER
    return NOT_AGAIN if said.ack is None and said.status is None else said.presence.value


def rejections(revision: int | None, ack: Ack | None) -> tuple[Problem, ...]:
    """Why the revision wanted was rejected; empty where it was not."""
    if revision is None or ack is None or ack.error is None:
        return ()
    if ack.result is not Result.REJECTED or ack.revision not in (revision, None):
        return ()
    error = ack.error
    return error.problems or (Problem(error.type, None, None, None, error.message),)


def running_revision(said: ReportedState) -> int | None:
    """The revision in force, as far as it was heard."""
    if said.status is not None:
        return said.status.revision
    return said.ack.in_force.revision if said.ack else None


def band(lufs: float | None, silent: bool = False) -> str:
    """A word for a loudness.

    >>> [band(lufs) for lufs in (-48.0, -31.0, -23.0, -13.0, None)]
    ['low', 'quiet', 'good', 'loud', 'unknown']
    """
    if lufs is None:
        return "unknown"
    if silent:
        return "silent"
    if lufs <= LOW_LUFS:
        return "low"
    return "quiet" if lufs < QUIET_LUFS else "good" if lufs <= LOUD_LUFS else "loud"


def heard_level(word: str, slides: bool, use: RoomUse) -> HealthLevel:
    """How bad a loudness is, by its `band`."""
    kind = _BANDS.get(word)
    return HealthLevel.FINE if kind is None else noted(kind, slides, use)
