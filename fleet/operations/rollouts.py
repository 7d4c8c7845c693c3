"""Rollouts: how one is begun, how far it is, how it is stopped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

from attrs import frozen
from msgspec import Meta

from fleet.operations.plans import PlanResult

PATIENCE: Final = 60.0
"""Seconds a station has to do what is wanted, once it was told."""
STEADY: Final = 3.0
"""Seconds an instance stays failed before it is believed: the next try may go well."""

Batch = Annotated[int, Meta(ge=1)]
Settle = Annotated[float, Meta(ge=0, le=86400)]


@frozen
class ApplyArguments:
    """Operation `apply`.

    `room`, `station`: only this part of the file. `batch`: stations at once, None for all;
    `settle`: seconds they must be healthy before the next begin. `check_revision`: the number of
    the last rollout that is known of. `interrupt`: whether running recordings may be. `force`:
    also what stations would refuse.
    """

    text: str
    name: str
    message: str | None = None
    room: str | None = None
    station: str | None = None
    batch: Batch | None = None
    settle: Settle = 0.0
    check_revision: int | None = None
    interrupt: bool = True
    undo_on_failure: bool = False
    force: bool = False


@frozen
class ApplyResult:
    """What was applied: station id -> the revision now wanted, for those that were begun."""

    plan: PlanResult
    revisions: Mapping[str, int]
    rollout: int = 0
    """The number of the rollout, 0 for none."""


@frozen
class RollbackArguments:
    """Operation `rollback`: the roles of an earlier time under a new revision.

    `station`: a name or id, None for all. `to`: a revision of that station, or with all the
    number of the rollout after which things are to be again; None for what was before the last.
    `dry_run`: only the plan.
    """

    station: str | None
    to: int | None = None
    message: str | None = None
    interrupt: bool = True
    check_revision: int | None = None
    dry_run: bool = False


@frozen
class RolloutArguments:
    """Operation `rollout`: the rollout `number`, or the last one; `stop`: end it."""

    number: int | None = None
    stop: bool = False


@frozen
class TargetStatus:
    """What became of one station of a rollout."""

    id: str
    station: str
    room: str | None
    outcome: str
    """`waiting begun healthy pending rejected failed undone`."""
    revision: int | None
    """What it was given, None while it waits."""
    why: str | None


@frozen
class RolloutStatus:
    """How far a rollout is. `batch`, `settle`: as in `ApplyArguments`."""

    number: int
    kind: Literal["apply", "rollback"]
    file: str | None
    """What the conference file was called, None for a rollback."""
    at: datetime
    by: str
    message: str | None
    batch: int | None
    settle: float
    phase: str
    """`running done stopped undone`."""
    why: str | None
    """Why it was stopped."""
    targets: tuple[TargetStatus, ...]

    @property
    def settled(self) -> int:
        """How many stations are done with, well or not."""
        return sum(one.outcome not in ("waiting", "begun") for one in self.targets)


@frozen
class RolloutResult:
    """Operation `rollout`; None where there never was one. `timezone`: the conference's."""

    rollout: RolloutStatus | None
    timezone: str = "UTC"
