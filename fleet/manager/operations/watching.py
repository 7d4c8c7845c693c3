"""How far a rollout is, and its end before its time."""

from fleet.manager.operations.desk import Desk
from fleet.manager.rollouts.model import Rollout
from fleet.model import InvalidArguments
from fleet.operations import RolloutArguments, RolloutResult, RolloutStatus, TargetStatus


async def rollout(desk: Desk, caller: str, asked: RolloutArguments) -> RolloutResult:
    """The rollout asked for, or the last one."""
    if asked.stop:
        await desk.rollouts.stop(caller)
    if asked.number is None:
        found = desk.ledger.rollout
    else:
        found = await desk.ledger.rollout_of(asked.number)
        if found is None:
            raise InvalidArguments(
                f"there is no rollout {asked.number}; fleet history shows those there were"
            )
    return RolloutResult(_status(found) if found else None, desk.timezone)


def _status(one: Rollout) -> RolloutStatus:
    targets = tuple(
        TargetStatus(
            target.station,
            target.facts.name or target.station,
            target.facts.room,
            target.outcome.value,
            target.revision,
            target.why,
        )
        for target in one.targets
    )
    return RolloutStatus(
        one.number,
        one.kind,
        one.file,
        one.at,
        one.by,
        one.message,
        one.batch,
        one.settle,
        one.phase.value,
        one.why,
        targets,
    )
