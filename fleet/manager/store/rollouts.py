"""Rollouts in the store: written with the revisions they begin, read back by a new manager."""

import logging
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Outcome, Phase, Rollout, RolloutTarget
from fleet.manager.store.tables import REVISION, ROLLOUT, TARGET
from fleet.model import Config
from fleet.strict import Mistakes, structure
from fleet.wire import Undecodable, decode, dumps, format_time, loads, to_json

log = logging.getLogger(__name__)

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PROGRESS: Final = ("roles", "before", "replaced", "revision", "outcome", "why")
# Made once: to make and to recognise them takes longer than to run them.
_BEGIN: Final = sa.insert(ROLLOUT)
_AIM: Final = sa.insert(TARGET)
_GO_ON: Final = (
    sa.update(ROLLOUT)
    .where(ROLLOUT.c.number == sa.bindparam("of_rollout"))
    .values(phase=sa.bindparam("new_phase"), why=sa.bindparam("new_why"))
)
_PROCEED: Final = (
    sa.update(TARGET)
    .where(
        TARGET.c.rollout == sa.bindparam("of_rollout"),
        TARGET.c.station == sa.bindparam("of_station"),
    )
    .values({name: sa.bindparam(f"new_{name}") for name in _PROGRESS})
)


def save(connection: sa.Connection, rollout: Rollout, targets: frozenset[str] | None) -> None:
    """Write a new rollout (`targets` None), or what has changed of one."""
    if targets is None:
        connection.execute(_BEGIN, _row(rollout))
        rows = [
            {"rollout": rollout.number, "station": one.station, "position": position, **_fixed(one)}
            | _progress(one)
            for position, one in enumerate(rollout.targets)
        ]
        if rows:
            connection.execute(_AIM, rows)
        return
    which = {"of_rollout": rollout.number}
    now = {"new_phase": rollout.phase, "new_why": rollout.why}
    connection.execute(_GO_ON, which | now)
    rows = [
        which
        | {"of_station": one.station}
        | {f"new_{name}": value for name, value in _progress(one).items()}
        for one in rollout.targets
        if one.station in targets
    ]
    if rows:
        connection.execute(_PROCEED, rows)


def load(connection: sa.Connection, number: int | None = None) -> Rollout | None:
    """The rollout `number`, or the last one; None where there is none."""
    if number is None:
        number = connection.execute(sa.select(sa.func.max(ROLLOUT.c.number))).scalar()
    row = connection.execute(sa.select(ROLLOUT).where(ROLLOUT.c.number == number)).one_or_none()
    if row is None:
        return None
    wanted = sa.and_(
        REVISION.c.station == TARGET.c.station, REVISION.c.revision == TARGET.c.revision
    )
    targets = connection.execute(
        sa.select(TARGET, REVISION.c.config)
        .join_from(TARGET, REVISION, wanted, isouter=True)
        .where(TARGET.c.rollout == number)
        .order_by(TARGET.c.position)
    )
    try:
        return Rollout(
            row.number,
            datetime.fromisoformat(row.at),
            row.by,
            row.message,
            tuple(_target(one) for one in targets),
            row.batch,
            row.settle,
            row.undo,
            Phase(row.phase),
            row.kind,
            row.file,
            row.why,
        )
    except (ValueError, TypeError, Undecodable, Mistakes) as error:
        log.error("rollout %d cannot be read from the store: %s", number, error)
        why = "the store has garbled it"
        return Rollout(row.number, _LONG_AGO, "", None, (), phase=Phase.STOPPED, why=why)


def befores(connection: sa.Connection, since: int) -> dict[str, tuple[int | None, int]]:
    """Station -> (the revision wanted before rollout `since` or later, the one it was given)."""
    rows = connection.execute(
        sa.select(TARGET.c.station, TARGET.c.before, TARGET.c.revision)
        .where(TARGET.c.rollout >= since, TARGET.c.revision.is_not(None))
        .order_by(TARGET.c.rollout)
    )
    found: dict[str, tuple[int | None, int]] = {}
    for row in rows:
        found.setdefault(row.station, (row.before, row.revision))
    return found


def _row(rollout: Rollout) -> dict[str, Any]:
    return {
        "number": rollout.number,
        "kind": rollout.kind,
        "at": format_time(rollout.at),
        "by": rollout.by,
        "file": rollout.file,
        "message": rollout.message,
        "batch": rollout.batch,
        "settle": rollout.settle,
        "undo": rollout.undo_on_failure,
        "phase": rollout.phase,
        "why": rollout.why,
    }


def _fixed(target: RolloutTarget) -> dict[str, Any]:
    facts = before = _text(target.facts)
    if target.facts_before != target.facts:
        before = _text(target.facts_before)
    return {"facts": facts, "facts_before": before, "replaces": target.replaces}


def _text(facts: Facts) -> str:
    return dumps(to_json(facts)).decode()


def _progress(target: RolloutTarget) -> dict[str, Any]:
    # Once there is a revision, it has the roles.
    waits = target.revision is None
    return {name: getattr(target, name) for name in _PROGRESS} | {
        "roles": dumps(target.roles).decode() if waits else None
    }


def _target(row: Any) -> RolloutTarget:
    if row.roles is not None:
        roles = loads(row.roles.encode())
    else:
        roles = decode(row.config.encode(), Config).roles if row.config else {}
    return RolloutTarget(
        row.station,
        structure(loads(row.facts.encode()), Facts),
        roles,
        row.before,
        structure(loads(row.facts_before.encode()), Facts),
        row.replaces,
        row.replaced,
        row.revision,
        Outcome(row.outcome),
        row.why,
    )
