"""What was and what is wanted, as people read it: history, rollouts, show, diff, export."""

from collections import Counter
from typing import Any, Final

from fleet.manager.conference import export, plan
from fleet.manager.conference.masking import without_secrets
from fleet.manager.conference.wanted import DesiredState
from fleet.manager.operations.desk import Desk
from fleet.manager.rollouts.model import Rollout
from fleet.manager.store import CALLED, Issue, Past
from fleet.model import Config, InvalidArguments, Roles
from fleet.operations.history import (
    DiffArguments,
    DiffResult,
    Event,
    ExportResult,
    HistoryArguments,
    HistoryResult,
    ShowArguments,
    ShowResult,
)
from fleet.operations.plans import Action
from fleet.operations.rollouts import RolloutArguments, RolloutResult, RolloutStatus, TargetStatus
from fleet.wire import decode

_NO_ROLES: Roles = {}
_ACTIONS: Final[tuple[Action, ...]] = ("+", "~", "-")


async def history(desk: Desk, caller: str, asked: HistoryArguments) -> HistoryResult:  # noqa: ARG001
    """What happened to a station, or which rollouts and retirements there were."""
    if asked.station is None:
        past = await desk.ledger.history.past(None, asked.limit)
        names = (desk.name(one.station) if one.station else None for one in past)
        events = [
            _event(one, ": ".join(filter(None, (name, one.text))))
            for one, name in zip(past, names, strict=True)
        ]
        return HistoryResult(None, None, tuple(events), desk.timezone)
    station = desk.find(asked.station)
    events = []
    before: Roles | None = None
    for one in await desk.ledger.history.past(station, asked.limit):
        text = one.text or ""
        if one.payload is not None:
            config = decode(one.payload, Config)
            if before is None:
                earlier = await desk.ledger.history.before(station, config.revision)
                before = earlier[1].roles if earlier else _NO_ROLES
            text = "; ".join(filter(None, (_summary(desk, station, before, config.roles), text)))
            before = config.roles
        events.append(_event(one, text))
    return HistoryResult(station, desk.name(station), tuple(events), desk.timezone)


async def show(desk: Desk, caller: str, asked: ShowArguments) -> ShowResult:  # noqa: ARG001
    """One revision of a station."""
    station = desk.find(asked.station)
    issued, config = await _revision(desk, station, asked.revision)
    roles = without_secrets(config.roles, _said(desk, station))
    return ShowResult(
        station,
        config.name or desk.name(station),
        config.room,
        config.revision,
        issued.at,
        issued.by,
        issued.message,
        roles,
        export.roles_text(roles),
        desk.timezone,
        desk.stops(station) if asked.revision is None else (),
    )


async def diff(desk: Desk, caller: str, asked: DiffArguments) -> DiffResult:  # noqa: ARG001
    """What changed from one revision to another."""
    station = desk.find(asked.station)
    said = _said(desk, station)
    _, old = await _revision(desk, station, asked.old)
    _, new = await _revision(desk, station, asked.new)
    then = DesiredState(station, desk.ledger[station].facts, new.roles)
    changes = plan.changes(then, old.roles, {}, said)
    return DiffResult(station, desk.name(station), tuple(changes))


async def export_file(desk: Desk, caller: str, asked: Any) -> ExportResult:  # noqa: ARG001
    """A conference file of what is wanted now."""
    ledger = desk.ledger
    wanted = [
        DesiredState(id_, ledger[id_].facts, without_secrets(config.roles, _said(desk, id_)))
        for id_ in ledger
        if (config := ledger[id_].config) is not None and ledger[id_].replaced_by is None
    ]
    rooms = ledger.rooms
    text, left_out = export.conference(rooms.header, rooms.source, rooms.rooms, wanted)
    return ExportResult(text, tuple(left_out))


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


async def _revision(desk: Desk, station: str, number: int | None) -> tuple[Issue, Config]:
    name = desk.name(station)
    if number is None:
        config = desk.ledger[station].config
        if config is None:
            raise InvalidArguments(
                f"nothing is wanted of {name}; fleet history {name} shows what was"
            )
        number = config.revision
    found = await desk.ledger.history.revisions({station: number})
    if station not in found:
        raise InvalidArguments(
            f"{name} never had a revision {number}; fleet history {name} shows those it had"
        )
    return found[station]


def _said(desk: Desk, station: str) -> Any:
    heard = desk.inventory.get(station)
    return heard.registration if heard else None


def _event(one: Past, text: str | None) -> Event:
    said = " (the station says)" if one.kind == CALLED else ""
    return Event(one.at, one.kind, one.revision, one.by, f"{text or ''}{said}")


def _summary(desk: Desk, station: str, old: Roles, new: Roles) -> str:
    """`+1 ~2` instances."""
    wanted = DesiredState(station, desk.ledger[station].facts, new)
    counts = Counter(one.action for one in plan.changes(wanted, old, {}))
    return " ".join(f"{action}{counts[action]}" for action in _ACTIONS if counts[action])


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
