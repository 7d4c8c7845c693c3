"""What the manager must not forget: what is wanted of every station, with its history.

Plain blocking calls on SQLite (in WAL, synchronous) or another database SQLAlchemy knows;
`ledger` runs them in a thread of their own. A revision's config is kept as the very bytes that
travel, so that one number always means the same bytes. Revisions are never deleted.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from attrs import frozen

from fleet.manager.tables import ACK, CONFERENCE, PRESENCE, REVISION, STATION
from fleet.manager.wanted import Facts
from fleet.model import Ack
from fleet.wire import dumps, format_time, to_json

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class BadStore(Exception):
    """The store cannot be used; the text says why and what to do."""


@frozen
class Conference:
    """A conference file that was applied."""

    at: datetime
    by: str
    name: str
    message: str | None
    text: str


@frozen
class Issue:
    """A new revision of a station's config. `payload` is what travels."""

    station: str
    revision: int
    at: datetime
    by: str
    message: str | None
    payload: bytes


@frozen
class Known:
    """What the store knows of one station."""

    facts: Facts
    retired: bool
    highest: int
    """Its highest revision, 0 if it has none."""
    payload: bytes | None
    """The config wanted, as it travels."""
    answered: bool
    """Whether it has ever acked a revision of this store."""


class Store:
    """An open store. Every method is one transaction, and blocks."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    @classmethod
    def in_directory(cls, state_dir: Path) -> Self:
        """The SQLite store in `state_dir`, made or upgraded where needed.

        Raises:
            BadStore: the directory cannot be written, the file is damaged or too new.
        """
        path = state_dir / "manager.sqlite"
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            raise BadStore(
                f"the store {path} cannot be written: {error.strerror or error}; "
                "give another --state-dir or make it writable"
            ) from None
        engine = sa.create_engine(f"sqlite:///{path}")
        sa.event.listen(engine, "connect", _prepare_sqlite)
        try:
            with engine.connect() as connection:
                found = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar()
                if found != "ok":
                    raise BadStore(_damaged(path, found))
            _migrate(engine)
        except sa.exc.DatabaseError as error:
            engine.dispose()
            raise BadStore(_damaged(path, error.orig or error)) from None
        except BadStore:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close it; nothing is pending."""
        self._engine.dispose()

    def check(self) -> None:
        """Make sure that it answers.

        Raises:
            BadStore: it does not.
        """
        try:
            with self._engine.connect() as connection:
                connection.execute(sa.select(STATION.c.station).limit(1)).all()
        except sa.exc.SQLAlchemyError as error:
            raise BadStore(f"the store does not answer: {_cause(error)}") from None

    def load(self) -> dict[str, Known]:
        """Everything that is known, by station."""
        highest = sa.select(
            REVISION.c.station, sa.func.max(REVISION.c.revision).label("highest")
        ).group_by(REVISION.c.station)
        wanted = sa.select(STATION, REVISION.c.config).join_from(
            STATION,
            REVISION,
            sa.and_(
                REVISION.c.station == STATION.c.station,
                REVISION.c.revision == STATION.c.wanted,
            ),
            isouter=True,
        )
        answered = (
            sa.select(ACK.c.station)
            .distinct()
            .where(
                ACK.c.revision >= 1,
                sa.exists().where(
                    REVISION.c.station == ACK.c.station, REVISION.c.revision == ACK.c.revision
                ),
            )
        )
        with self._engine.connect() as connection:
            highest_of = {row.station: row.highest for row in connection.execute(highest)}
            answerers = set(connection.execute(answered).scalars())
            return {
                row.station: Known(
                    Facts(row.name, row.room, row.seat, row.where, row.address),
                    row.retired,
                    highest_of.get(row.station, 0),
                    None if row.config is None else row.config.encode(),
                    row.station in answerers,
                )
                for row in connection.execute(wanted)
            }

    def issue(
        self,
        issues: Sequence[Issue],
        facts: Iterable[tuple[str, Facts]] = (),
        conference: Conference | None = None,
    ) -> None:
        """Make each of `issues` what is wanted of its station, and note `facts`: all or nothing.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._writing() as connection:
            number = _insert_conference(connection, conference) if conference else None
            _upsert_stations(connection, issues, dict(facts))
            if issues:
                rows = [_revision_row(issue, number) for issue in issues]
                connection.execute(sa.insert(REVISION), rows)

    def note(
        self,
        acks: Sequence[tuple[str, Ack]],
        presences: Sequence[tuple[str, datetime, str, str | None]],
    ) -> None:
        """Keep acks (station, ack) and changes of presence (station, at, state, boot).

        Raises:
            BadStore: it could not be written; nothing is kept.
        """
        with self._writing() as connection:
            if acks:
                connection.execute(sa.insert(ACK), [_ack_row(*ack) for ack in acks])
            if presences:
                connection.execute(
                    sa.insert(PRESENCE),
                    [
                        {"station": station, "at": format_time(at), "state": state, "boot": boot}
                        for station, at, state, boot in presences
                    ],
                )

    def prune(self, before: datetime) -> None:
        """Forget acks and presence changes older than `before`, but each station's last ack.

        Raises:
            BadStore: it could not be written.
        """
        last = sa.select(sa.func.max(ACK.c.number)).group_by(ACK.c.station)
        time = format_time(before)
        with self._writing() as connection:
            connection.execute(sa.delete(ACK).where(ACK.c.at < time, ACK.c.number.not_in(last)))
            connection.execute(sa.delete(PRESENCE).where(PRESENCE.c.at < time))

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise BadStore(f"the store could not be written: {_cause(error)}") from None


def _insert_conference(connection: sa.Connection, conference: Conference) -> int:
    row = to_json(conference)
    inserted = connection.execute(sa.insert(CONFERENCE).values(row)).inserted_primary_key
    assert inserted is not None  # noqa: S101 (an insert of one row always has one)
    return int(inserted[0])


def _upsert_stations(
    connection: sa.Connection, issues: Sequence[Issue], facts: dict[str, Facts]
) -> None:
    # Insert what is new, then update: the same on every database.
    ids = {issue.station for issue in issues} | facts.keys()
    known = set(connection.execute(sa.select(STATION.c.station)).scalars())
    new = [{"station": station, "retired": False} for station in sorted(ids - known)]
    if new:
        connection.execute(sa.insert(STATION), new)
    station = STATION.c.station == sa.bindparam("id")
    if issues:
        update = sa.update(STATION).where(station).values(wanted=sa.bindparam("new"))
        connection.execute(update, [{"id": i.station, "new": i.revision} for i in issues])
    if facts:
        update = (
            sa.update(STATION)
            .where(station)
            .values({name: sa.bindparam(f"new_{name}") for name in _FACTS})
        )
        rows = [
            {"id": id_} | {f"new_{name}": getattr(one, name) for name in _FACTS}
            for id_, one in facts.items()
        ]
        connection.execute(update, rows)


_FACTS: Final = ("name", "room", "seat", "where", "address")


def _revision_row(issue: Issue, conference: int | None) -> dict[str, Any]:
    return {
        "station": issue.station,
        "revision": issue.revision,
        "at": format_time(issue.at),
        "by": issue.by,
        "message": issue.message,
        "conference": conference,
        "config": issue.payload.decode(),
    }


def _ack_row(station: str, ack: Ack) -> dict[str, Any]:
    return {
        "station": station,
        "at": format_time(ack.at),
        "revision": ack.revision,
        "in_force": ack.in_force.revision,
        "result": ack.result,
        "error": dumps(to_json(ack.error)).decode() if ack.error else None,
    }


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(engine: sa.Engine) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise BadStore(
                f"the store is not one this release can read ({error}); "
                "it was last used by a newer fleet-manager: install that one"
            ) from None


def _damaged(path: Path, why: object) -> str:
    return (
        f"the store {path} is damaged ({why}); move it away and put a backup in its place, or "
        "start without one: what runs is then adopted"
    )


def _cause(error: sa.exc.SQLAlchemyError) -> object:
    return getattr(error, "orig", None) or error
