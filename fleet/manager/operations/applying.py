"""Plan, validate, apply, roll back: from a file, or from the past, to a rollout."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from fleet.manager import report
from fleet.manager.conference import file as conference
from fleet.manager.conference import plan
from fleet.manager.conference.problems import dotted, not_told
from fleet.manager.conference.wanted import ConferenceFile, DesiredState
from fleet.manager.operations.comparing import Comparison, compare, cuts, out_of_reach
from fleet.manager.operations.desk import Desk
from fleet.manager.rollouts.model import Rollout, RolloutKind, RolloutTarget
from fleet.manager.store import AppliedFile
from fleet.model import (
    CommandFailed,
    Config,
    InvalidArguments,
    InvalidConfiguration,
    Problem,
    Registration,
    counted,
)
from fleet.operations.plans import (
    Change,
    Doubt,
    PlanArguments,
    PlanResult,
    ValidateArguments,
    ValidateResult,
)
from fleet.operations.rollouts import ApplyArguments, ApplyResult, RollbackArguments

log = logging.getLogger(__name__)


async def plan_file(desk: Desk, caller: str, asked: PlanArguments) -> PlanResult:  # noqa: ARG001
    """What applying the file would change."""
    file = await _read(desk, asked.text, asked.name)
    return compare(desk, file, asked.room, asked.station).plan


async def validate(desk: Desk, caller: str, asked: ValidateArguments) -> ValidateResult:  # noqa: ARG001
    """What the stations, as they describe themselves, would refuse."""
    file = await _read(desk, asked.text, asked.name)
    unheard = (one.name for one in file.stations.values() if _said(desk, one) is None)
    return ValidateResult(tuple(_doubts(desk, file)), tuple(unheard), len(file.stations))


async def apply(desk: Desk, caller: str, asked: ApplyArguments) -> ApplyResult:
    """Begin to roll the file out."""
    file = await _read(desk, asked.text, asked.name)
    async with desk.ledger.writing:
        await _may_begin(desk, asked.check_revision)
        found = compare(desk, file, asked.room, asked.station)
        _refuse_doubts(found.plan, asked)
        _spare_recordings(found.plan, interrupt=asked.interrupt)
        at = datetime.now(UTC)
        rollout = _new(
            desk,
            found.targets,
            caller,
            at,
            "apply",
            file=asked.name,
            message=asked.message,
            batch=asked.batch,
            settle=asked.settle,
            undo_on_failure=asked.undo_on_failure,
        )
        applied = AppliedFile(at, caller, asked.name, asked.message, asked.text)
        revisions = await desk.rollouts.begin(rollout, found.facts, found.replaced, applied)
        desk.ledger.learn(file)
    changed = counted(len(found.targets), "station")
    log.info("%s applied %s: %s to change", caller, asked.name, changed)
    return ApplyResult(found.plan, revisions, rollout.number)


async def rollback(desk: Desk, caller: str, asked: RollbackArguments) -> ApplyResult:
    """Begin to put back the roles of an earlier time."""
    async with desk.ledger.writing:
        if not asked.dry_run:
            await _may_begin(desk, asked.check_revision)
        if asked.station is None:
            then = await _revisions_after(desk, asked.to)
        else:
            then = await _revision_of(desk, desk.find(asked.station), asked.to)
        numbers = {id_: one.revision for id_, one in then.items() if one is not None}
        found = _back(desk, then, await desk.ledger.history.rejected(numbers))
        if asked.dry_run:
            return ApplyResult(found.plan, {}, 0)
        _spare_recordings(found.plan, interrupt=asked.interrupt)
        at = datetime.now(UTC)
        rollout = _new(desk, found.targets, caller, at, "rollback", message=asked.message)
        revisions = await desk.rollouts.begin(rollout, {}, {}, None)
    back = counted(len(revisions), "station")
    log.info("%s rolled %s back: %s", caller, asked.station or "all", back)
    return ApplyResult(found.plan, revisions, rollout.number)


async def _read(desk: Desk, text: str, name: str) -> ConferenceFile:
    """The conference file `text`; `name` is what to call it in messages.

    Raises:
        InvalidConfiguration: with every mistake as a problem, `path` being the dotted path; also
            with what stations would refuse, so that one kind of mistake hides no other.
    """
    file = await asyncio.to_thread(conference.examine, text)
    problems = (*file.problems, *plan.misnamed(file, _names(desk)))
    if not problems:
        return file
    refused = {_in_file(doubt): None for doubt in _doubts(desk, file)}
    told = (*problems, *not_told(refused, problems))
    raise InvalidConfiguration(
        f"{name} has {counted(len(told), 'mistake')}; nothing was applied", told
    )


def _names(desk: Desk) -> Mapping[str, str | None]:
    """What each box is called, by id; without those that another has replaced."""
    entries = {id_: desk.ledger[id_] for id_ in report.stations(desk.ledger, desk.inventory)}
    return {id_: one.facts.name for id_, one in entries.items() if one.replaced_by is None}


def _doubts(desk: Desk, file: ConferenceFile) -> Iterator[Doubt]:
    for one in file.stations.values():
        yield from plan.doubts(one, _said(desk, one))


def _said(desk: Desk, one: DesiredState) -> Registration | None:
    heard = desk.inventory.get(one.id)
    return heard.registration if heard else None


async def _may_begin(desk: Desk, check_revision: int | None) -> None:
    await desk.rollouts.refuse_another()
    last = desk.ledger.rollout
    number = last.number if last else 0
    if check_revision is not None and check_revision != number:
        whose = f"the last rollout is {number}, by {last.by}" if last else "there was none"
        raise CommandFailed(
            f"somebody applied in between: {whose}, not {check_revision}; look at fleet history "
            "and at fleet plan again"
        )


def _refuse_doubts(planned: PlanResult, asked: ApplyArguments) -> None:
    if planned.doubts and not asked.force:
        raise InvalidConfiguration(
            f"stations would refuse {asked.name}, so nothing was applied; only --force applies it",
            tuple(_in_file(one) for one in planned.doubts),
        )


def _in_file(doubt: Doubt) -> Problem:
    """A doubt where the file says it."""
    problem = doubt.problem
    keys = [key.replace("~1", "/").replace("~0", "~") for key in (problem.path or "").split("/")]
    path = ("stations", doubt.station, "roles", problem.role, problem.instance, *keys)
    where = dotted(*filter(None, path))
    return Problem(problem.type, None, None, where, problem.message)


def _spare_recordings(planned: PlanResult, *, interrupt: bool) -> None:
    if planned.interrupted and not interrupt:
        raise CommandFailed(
            f"this would interrupt what is recording now: {', '.join(planned.interrupted)}; add "
            "--interrupt if it may"
        )


def _new(
    desk: Desk,
    targets: tuple[RolloutTarget, ...],
    caller: str,
    at: datetime,
    kind: RolloutKind,
    *,
    message: str | None,
    file: str | None = None,
    batch: int | None = None,
    settle: float = 0.0,
    undo_on_failure: bool = False,
) -> Rollout:
    last = desk.ledger.rollout
    return Rollout(
        last.number + 1 if last else 1,
        at,
        caller,
        message,
        targets,
        batch,
        settle,
        undo_on_failure,
        kind=kind,
        file=file,
    )


Then = Mapping[str, Config | None]
"""What each station shall have again, None where nothing was wanted."""


async def _revision_of(desk: Desk, station: str, to: int | None) -> Then:
    name, config = desk.name(station), desk.ledger[station].config
    if config is None:
        raise InvalidArguments(f"nothing is wanted of {name}, so nothing can be put back")
    if to is None:
        found = await desk.ledger.history.before(station, config.revision)
        if found is None:
            raise InvalidArguments(
                f"{name} has no revision before {config.revision}, the one wanted now"
            )
        return {station: found[1]}
    revisions = await desk.ledger.history.revisions({station: to})
    if station not in revisions:
        raise InvalidArguments(
            f"{name} never had a revision {to}; fleet history {name} shows those it had"
        )
    return {station: revisions[station][1]}


async def _revisions_after(desk: Desk, number: int | None) -> Then:
    """What every station shall have as it was after the rollout `number`."""
    last = desk.ledger.rollout
    if last is None:
        raise InvalidArguments("nothing was ever rolled out, so nothing can be put back")
    to = await _last_change(desk, last.number) - 1 if number is None else number
    if not 0 <= to <= last.number:
        raise InvalidArguments(f"there is no rollout {to}; fleet history shows those there were")
    befores = await desk.ledger.history.befores(to + 1)
    there = {id_: one for id_, one in befores.items() if not desk.retired(id_)}
    old = await desk.ledger.history.revisions({id_: one for id_, (one, _) in there.items() if one})
    return {id_: old[id_][1] if id_ in old else None for id_ in there}


async def _last_change(desk: Desk, number: int) -> int:
    """The number of the last rollout, from `number` down, that gave a station anything new."""
    while number > 1:
        rollout = await desk.ledger.rollout_of(number)
        if rollout is None or any(one.revision is not None for one in rollout.targets):
            break
        number -= 1
    return number


def _back(desk: Desk, revisions: Then, rejected: frozenset[str]) -> Comparison:
    changes: list[Change] = []
    warnings: list[str] = []
    targets: list[RolloutTarget] = []
    for station, config in revisions.items():
        then = config.roles if config else {}
        entry, heard = desk.ledger[station], desk.inventory.get(station)
        wanted = DesiredState(station, entry.facts, then)
        now = entry.config.roles if entry.config else {}
        said = heard.registration if heard else None
        own = list(plan.changes(wanted, now, desk.running(station), said))
        if own:
            before = entry.config.revision if entry.config else None
            targets.append(RolloutTarget(station, entry.facts, then, before, entry.facts))
        changes += own
        warnings += map(plan.warning, plan.doubts(wanted, said))
        if own and config is not None and station in rejected:
            warnings.append(f"{desk.name(station)} rejected this as revision {config.revision}")
    warnings += out_of_reach(desk, changes)
    last = desk.ledger.rollout
    planned = PlanResult(
        tuple(changes),
        tuple(warnings),
        (),
        (),
        tuple(desk.recording()),
        last.number if last else 0,
        cuts=cuts(desk, changes),
    )
    return Comparison(planned, tuple(targets), {}, {})
