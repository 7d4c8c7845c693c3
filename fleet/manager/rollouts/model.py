"""How a change is rolled out: batches, health, what comes next. Pure: time is passed in.

A rollout holds a target for each station it changes. A station's wanted revision changes only
when its batch begins; the next batch begins when every station of this one is healthy, for
`settle` seconds without a break, or cannot be waited for. The first rejection or failure stops
it, and undoes it where that was asked for.

    waiting ──► begun ──► healthy
                  │  └──► pending    not online: it has its config and is not waited for
                  ├─────► rejected ┐
                  └─────► failed   ┴─ the rollout stops; with roll back: ──► undone
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from attrs import evolve, frozen

from fleet.manager.conference.wanted import Facts
from fleet.manager.health import stand
from fleet.manager.stations.state import ReportedState
from fleet.model import Roles
from fleet.operations.health import Standing
from fleet.operations.rollouts import PATIENCE, STEADY

RolloutKind = Literal["apply", "rollback"]
_NOWHERE: Final = Facts()


class Phase(StrEnum):
    """How far a rollout is."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    UNDONE = "undone"
    """Stopped, and what it changed was put back."""


class Outcome(StrEnum):
    """What became of one target."""

    WAITING = "waiting"
    BEGUN = "begun"
    HEALTHY = "healthy"
    PENDING = "pending"
    REJECTED = "rejected"
    FAILED = "failed"
    UNDONE = "undone"


_OUTCOMES: Final = {
    Standing.IN_SYNC: Outcome.HEALTHY,
    Standing.WORKING: Outcome.BEGUN,
    Standing.FAILED: Outcome.FAILED,
    Standing.REJECTED: Outcome.REJECTED,
    Standing.PENDING: Outcome.PENDING,
}
BROKEN: Final = frozenset((Outcome.REJECTED, Outcome.FAILED))


@frozen
class RolloutTarget:
    """What one station shall have, and what it had. `before`: None where nothing was wanted."""

    station: str
    facts: Facts
    roles: Roles
    before: int | None
    """The revision wanted before, whose config is put back by an undo."""
    facts_before: Facts = _NOWHERE
    replaces: str | None = None
    """The box whose name it takes over."""
    replaced: int | None = None
    """What was wanted of that box."""
    revision: int | None = None
    """Its number, once its batch has begun."""
    outcome: Outcome = Outcome.WAITING
    why: str | None = None


@frozen
class Rollout:
    """One rollout. `batch`: stations at once, None for all; `settle`: seconds."""

    number: int
    at: datetime
    by: str
    message: str | None
    targets: tuple[RolloutTarget, ...]
    batch: int | None = None
    settle: float = 0.0
    undo_on_failure: bool = False
    phase: Phase = Phase.RUNNING
    kind: RolloutKind = "apply"
    file: str | None = None
    """What the conference file was called."""
    why: str | None = None
    """Why it was stopped."""

    def with_targets(self, changed: Iterable[RolloutTarget]) -> "Rollout":
        """The same with these targets in place of those of the same stations."""
        by_station = {target.station: target for target in changed}
        return evolve(self, targets=tuple(by_station.get(one.station, one) for one in self.targets))


@frozen
class Wait:
    """Nothing to do before something is heard, or `until` (monotonic seconds)."""

    until: float | None = None


@frozen
class Begin:
    """The next batch: give these stations their config."""

    targets: tuple[RolloutTarget, ...]


@frozen
class Undo:
    """Put back what these stations had."""

    targets: tuple[RolloutTarget, ...]


@frozen
class End:
    """The rollout is over."""

    phase: Phase


Next = Wait | Begin | Undo | End


Judgement = tuple[Outcome, str | None]


def judge(target: RolloutTarget, said: ReportedState) -> Judgement:
    """What became of a target that was begun, and why, as far as can be said now."""
    standing, why = stand(target.roles, target.revision, said)
    if standing is Standing.REJECTED and said.ack is not None and said.ack.revision is None:
        return Outcome.BEGUN, why  # what could not be read may have been another's
    return _OUTCOMES[standing], why


def _at_once(_: str, outcome: Outcome, why: str | None) -> Judgement:
    return outcome, why


def look(
    rollout: Rollout,
    see: Callable[[str], ReportedState],
    believe: Callable[[str, Outcome, str | None], Judgement] = _at_once,
) -> Rollout:
    """The rollout with the outcome of every target that was begun brought up to date.

    `believe` turns (station, outcome, why) as seen into what is taken for true.
    """
    changed = []
    for target in rollout.targets:
        if target.outcome in (Outcome.BEGUN, Outcome.HEALTHY, Outcome.PENDING):
            outcome, why = believe(target.station, *judge(target, see(target.station)))
            if (outcome, why) != (target.outcome, target.why):
                changed.append(evolve(target, outcome=outcome, why=why))
    return rollout.with_targets(changed) if changed else rollout


def what_next(rollout: Rollout, healthy_since: Mapping[str, float], now: float) -> Next:
    """The next step of a running rollout whose targets are up to date.

    `healthy_since`: since when (monotonic seconds) each healthy target has been so.
    """
    begun = [one for one in rollout.targets if one.outcome is not Outcome.WAITING]
    waiting = [one for one in rollout.targets if one.outcome is Outcome.WAITING]
    if any(one.outcome in BROKEN for one in begun):
        if not rollout.undo_on_failure:
            return End(Phase.STOPPED)
        back = tuple(one for one in begun if one.outcome is not Outcome.UNDONE)
        return Undo(back) if back else End(Phase.UNDONE)
    if any(one.outcome is Outcome.UNDONE for one in begun):
        return End(Phase.UNDONE)
    if any(one.outcome is Outcome.BEGUN for one in begun):
        return Wait()
    settled = max(
        (
            healthy_since.get(one.station, now) + rollout.settle
            for one in begun
            if one.outcome is Outcome.HEALTHY
        ),
        default=now,
    )
    if now < settled:
        return Wait(settled)
    if not waiting:
        return End(Phase.DONE)
    return Begin(tuple(waiting[: rollout.batch]))


class Calm:
    """Since when each station of a rollout has been as it is; a restart begins anew."""

    def __init__(self) -> None:
        self.since: dict[str, float] = {}
        """Since when a station has been healthy without a break."""
        self._failed: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def believe(self, now: float, station: str, outcome: Outcome, why: str | None) -> Judgement:
        """A failure counts once it is steady, and slowness once it is too long."""
        if outcome is not Outcome.FAILED:
            self._failed.pop(station, None)
        elif now - self._failed.setdefault(station, now) < STEADY:
            outcome = Outcome.BEGUN
        if outcome is not Outcome.BEGUN:
            self._begun.pop(station, None)
        elif now - self._begun.setdefault(station, now) >= PATIENCE:
            return Outcome.FAILED, f"not healthy after {PATIENCE:.0f} s: {why}"
        return outcome, why

    def note(self, rollout: Rollout, now: float) -> None:
        """Look at the outcomes as they are now."""
        healthy = {one.station for one in rollout.targets if one.outcome is Outcome.HEALTHY}
        self.since = {station: self.since.get(station, now) for station in healthy}
