"""What was: revisions, acks, presence changes and rollouts, as the store has them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import sqlalchemy as sa

from fleet.manager.store import schedules
from fleet.manager.store.records import AppliedFile, Deed, Issue, Past
from fleet.manager.store.tables import (
    ACK,
    CONFERENCE,
    DEED,
    PRESENCE,
    RETIREMENT,
    REVISION,
    ROLLOUT,
    TARGET,
)
from fleet.model import Error, counted
from fleet.wire import decode, format_time


def revision(connection: sa.Connection, station: str, number: int) -> Issue | None:
    """One revision of a station, None where there is no such one."""
    return next(
        _issues(connection, REVISION.c.station == station, REVISION.c.revision == number), None
    )


def revisions(connection: sa.Connection, wanted: Mapping[str, int]) -> dict[str, Issue]:
    """One revision of each of several stations; those that are there."""
    found: dict[str, Issue] = {}
    for station, number in wanted.items():
        one = revision(connection, station, number)
        if one is not None:
            found[station] = one
    return found


def before(connection: sa.Connection, station: str, number: int) -> Issue | None:
    """The revision of a station that came before `number`."""
    earlier = (
        sa.select(sa.func.max(REVISION.c.revision))
        .where(REVISION.c.station == station, REVISION.c.revision < number)
        .scalar_subquery()
    )
    found = _issues(connection, REVISION.c.station == station, REVISION.c.revision == earlier)
    return next(found, None)


def of_station(connection: sa.Connection, station: str, limit: int) -> list[Past]:
    """The last `limit` things that happened to a station, the oldest first."""
    issued = [
        Past(one.at, "revision", one.revision, one.by, one.message, one.payload)
        for one in _issues(connection, REVISION.c.station == station, limit=limit)
    ]
    acks = connection.execute(
        sa.select(ACK)
        .where(ACK.c.station == station, ACK.c.result.is_not(None))
        .order_by(ACK.c.number.desc())
        .limit(limit)
    )
    answered = [
        Past(
            datetime.fromisoformat(row.at),
            row.result,
            row.revision,
            None,
            decode(row.error.encode(), Error).message if row.error else None,
        )
        for row in acks
    ]
    changes = connection.execute(
        sa.select(PRESENCE)
        .where(PRESENCE.c.station == station)
        .order_by(PRESENCE.c.number.desc())
        .limit(limit)
    )
    seen = [Past(datetime.fromisoformat(row.at), row.state, None, None, None) for row in changes]
    gone = _retired(connection, RETIREMENT.c.station == station, limit=limit)
    done = _deeds(connection, DEED.c.station == station, limit=limit)
    past = [*issued[::-1], *answered[::-1], *seen[::-1], *gone, *done]
    return sorted(past, key=lambda one: one.at)[-limit:]


def of_all(connection: sa.Connection, limit: int) -> list[Past]:
    """The last `limit` things that happened to all of them, the oldest first."""
    count = (
        sa.select(TARGET.c.rollout, sa.func.count().label("stations"))
        .group_by(TARGET.c.rollout)
        .subquery()
    )
    rows = connection.execute(
        sa.select(ROLLOUT, count.c.stations)
        .join_from(ROLLOUT, count, count.c.rollout == ROLLOUT.c.number, isouter=True)
        .order_by(ROLLOUT.c.number.desc())
        .limit(limit)
    )
    found = []
    for row in rows:
        said = (row.file, counted(row.stations or 0, "station"), row.phase, row.why, row.message)
        text = ", ".join(part for part in said if part)
        found.append(Past(datetime.fromisoformat(row.at), row.kind, row.number, row.by, text))
    gone = _retired(connection, limit=limit)
    done = _deeds(connection, limit=limit)
    past = [*found[::-1], *gone, *done, *schedules.changes(connection, limit)]
    return sorted(past, key=lambda one: one.at)[-limit:]


def _retired(
    connection: sa.Connection, *which: sa.ColumnElement[bool], limit: int
) -> Iterator[Past]:
    rows = connection.execute(
        sa.select(RETIREMENT).where(*which).order_by(RETIREMENT.c.number.desc()).limit(limit)
    )
    for row in reversed(rows.all()):
        at = datetime.fromisoformat(row.at)
        yield Past(at, "retired", None, row.by, None, station=row.station)


def note(connection: sa.Connection, deeds: Iterable[Deed]) -> None:
    """Keep what people did."""
    for one in deeds:
        row = {"at": format_time(one.at), "kind": one.kind, "by": one.by, "text": one.text}
        connection.execute(sa.insert(DEED).values(row | {"station": one.station}))


def _deeds(connection: sa.Connection, *which: sa.ColumnElement[bool], limit: int) -> Iterator[Past]:
    rows = connection.execute(
        sa.select(DEED).where(*which).order_by(DEED.c.number.desc()).limit(limit)
    )
    for row in reversed(rows.all()):
        at = datetime.fromisoformat(row.at)
        yield Past(at, row.kind, None, row.by, row.text, station=row.station)


def conference(connection: sa.Connection) -> AppliedFile | None:
    """The conference file applied last."""
    row = connection.execute(
        sa.select(CONFERENCE).order_by(CONFERENCE.c.number.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return None
    return AppliedFile(datetime.fromisoformat(row.at), row.by, row.name, row.message, row.text)


def _issues(
    connection: sa.Connection, *which: sa.ColumnElement[bool], limit: int | None = None
) -> Iterator[Issue]:
    rows = connection.execute(
        sa.select(REVISION).where(*which).order_by(REVISION.c.revision.desc()).limit(limit)
    )
    for row in rows:
        yield Issue(
            row.station,
            row.revision,
            datetime.fromisoformat(row.at),
            row.by,
            row.message,
            row.config.encode(),
        )
