"""What was: revisions, acks, presence changes and rollouts, as the store has them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from fleet.manager.store import rows, schedules
from fleet.manager.store.database import Database
from fleet.manager.store.records import CALLED, AppliedFile, Deed, Issue, Past
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
from fleet.model import Ack, Error, Result, counted
from fleet.wire import decode, format_time

_MOST_DEEDS: Final = 100_000
"""What people did, of which the last are kept: by the manager's word, and by that of stations."""
_AT_ONCE: Final = 5000
"""Old rows that are forgotten in one transaction."""


class StoredHistory:
    """What was; acks and changes of presence are forgotten after a while."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revisions(self, wanted: Mapping[str, int]) -> dict[str, Issue]:
        """One revision of each of several stations; those that are there."""
        with self._database.reading() as connection:
            found: dict[str, Issue] = {}
            for station, number in wanted.items():
                one = _revision(connection, station, number)
                if one is not None:
                    found[station] = one
            return found

    def before(self, station: str, number: int) -> Issue | None:
        """The revision of a station that came before `number`."""
        with self._database.reading() as connection:
            earlier = (
                sa.select(sa.func.max(REVISION.c.revision))
                .where(REVISION.c.station == station, REVISION.c.revision < number)
                .scalar_subquery()
            )
            found = _issues(
                connection, REVISION.c.station == station, REVISION.c.revision == earlier
            )
            return next(found, None)

    def past(self, station: str | None, limit: int) -> list[Past]:
        """The last `limit` things that happened to a station, or rollouts and retirements, the
        oldest first.
        """
        with self._database.reading() as connection:
            if station is None:
                return _of_all(connection, limit)
            return _of_station(connection, station, limit)

    def rejected(self, numbers: Mapping[str, int]) -> frozenset[str]:
        """The stations that rejected the revision named, as far as that is remembered.

        Raises:
            BadStore: it could not be read.
        """
        with self._database.reading() as connection:
            acks = connection.execute(
                sa.select(ACK.c.station, ACK.c.revision, ACK.c.result)
                .where(ACK.c.station.in_(numbers))
                .order_by(ACK.c.number)
            )
            last = {row.station: row.result for row in acks if row.revision == numbers[row.station]}
        return frozenset(station for station, result in last.items() if result == Result.REJECTED)

    def note(
        self,
        acks: Sequence[tuple[str, datetime, Ack]],
        presences: Sequence[tuple[str, datetime, str, str | None]],
        called: Sequence[Deed] = (),
    ) -> None:
        """Keep acks (station, when heard, ack), changes of presence (station, at, state, boot), and
        what stations were told past the manager, each once.

        Raises:
            BadStore: it could not be written; nothing is kept.
        """
        with self._database.writing() as connection:
            if acks:
                connection.execute(sa.insert(ACK), [rows.ack_row(*ack) for ack in acks])
            if presences:
                connection.execute(
                    sa.insert(PRESENCE),
                    [
                        {"station": station, "at": format_time(at), "state": state, "boot": boot}
                        for station, at, state, boot in presences
                    ],
                )
            if called:
                note(connection, _new(connection, called))

    def prune(self, before: datetime) -> None:
        """Forget acks and presence changes older than `before`, but each station's last ack, and
        all deeds but the last 100,000, which those that stations tell of cannot push out.

        Raises:
            BadStore: it could not be written.
        """
        last = sa.select(sa.func.max(ACK.c.number)).group_by(ACK.c.station)
        time = format_time(before)
        old = sa.select(ACK.c.number).where(ACK.c.at < time, ACK.c.number.not_in(last))
        gone = sa.select(PRESENCE.c.number).where(PRESENCE.c.at < time)
        done = [_older(DEED.c.kind != CALLED), _older(DEED.c.kind == CALLED)]
        for table, which in ((ACK, old), (PRESENCE, gone), *((DEED, one) for one in done)):
            some = sa.delete(table).where(table.c.number.in_(which.limit(_AT_ONCE)))
            deleted = _AT_ONCE
            while deleted == _AT_ONCE:  # a long transaction would keep everybody else waiting
                with self._database.writing() as connection:
                    deleted = connection.execute(some).rowcount


def _older(which: sa.ColumnElement[bool]) -> sa.Select[tuple[int]]:
    """The numbers of such deeds, but of the last."""
    numbers = sa.select(DEED.c.number).where(which)
    first = numbers.order_by(DEED.c.number.desc()).offset(_MOST_DEEDS).limit(1).scalar_subquery()
    return numbers.where(DEED.c.number <= first)


def _revision(connection: sa.Connection, station: str, number: int) -> Issue | None:
    """One revision of a station, None where there is no such one."""
    return next(
        _issues(connection, REVISION.c.station == station, REVISION.c.revision == number), None
    )


def _of_station(connection: sa.Connection, station: str, limit: int) -> list[Past]:
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


def _of_all(connection: sa.Connection, limit: int) -> list[Past]:
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


def _new(connection: sa.Connection, deeds: Sequence[Deed]) -> list[Deed]:
    """Those that are not kept yet: a station says again and again what it was told."""
    columns = (DEED.c.station, DEED.c.at, DEED.c.by, DEED.c.text)
    kind, stations = DEED.c.kind == CALLED, DEED.c.station.in_({it.station for it in deeds})
    known = {tuple(row) for row in connection.execute(sa.select(*columns).where(kind, stations))}
    wanted = {(it.station, format_time(it.at), it.by, it.text): it for it in deeds}
    return [it for key, it in wanted.items() if key not in known]


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
