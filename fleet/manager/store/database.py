"""Opens the database, a file or a server, and brings it to the newest shape."""

import sqlite3
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from fleet.manager.store.records import BadStore

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_EXAMPLE: Final = "postgresql+psycopg://fleet@db.example.org/fleet"


def open_file(path: Path) -> sa.Engine:
    """The SQLite store at `path`, made or upgraded where needed.

    Raises:
        BadStore: it cannot be written, is damaged or too new.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
    return engine


def open_server(url: str) -> sa.Engine:
    """The store on a PostgreSQL server, its tables made or upgraded where needed.

    Raises:
        BadStore: the URL makes no sense, the server cannot be used or the store is too new.
    """
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise BadStore(f"--store takes a URL such as {_EXAMPLE}") from None
    if address.drivername != "postgresql+psycopg":
        raise BadStore(
            f"--store takes a URL such as {_EXAMPLE}, not one of {address.drivername}; "
            "without it the store is a file in --state-dir"
        )
    try:
        engine = sa.create_engine(
            address,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "application_name": "fleet-manager"},
        )
    except ModuleNotFoundError:
        raise BadStore(
            "a store on PostgreSQL needs psycopg: install conference-fleet[postgresql]"
        ) from None
    try:
        _migrate(engine)
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise BadStore(
            f"the store {address.render_as_string()} cannot be used: {cause(error)}"
        ) from None
    except BadStore:
        engine.dispose()
        raise
    return engine


def cause(error: sa.exc.SQLAlchemyError) -> str:
    """What the database itself says, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


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
