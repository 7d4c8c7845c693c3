"""The store on a PostgreSQL server, where every wait has an end."""

import logging
import os
import socket
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa

from fleet.manager.store.database import PATIENCE, Database, cause
from fleet.manager.store.records import BadStore, StoreAway

log = logging.getLogger(__name__)

_EXAMPLE: Final = "postgresql+psycopg://fleet@db.example.org/fleet"
_STATEMENT: Final = 10
"""Seconds the server gives one statement."""
_ARGUMENTS: Final = {
    "connect_timeout": 5,
    "application_name": "fleet-manager",
    "tcp_user_timeout": _STATEMENT * 1000,
}
_SETTINGS: Final = (  # not as options of the connection, which a pooler may refuse
    f"SET statement_timeout = {_STATEMENT * 1000}; SET lock_timeout = {PATIENCE * 1000:.0f}; "
    "SET idle_in_transaction_session_timeout = 60000"
)
_BUSY: Final = ("55P03", "57014")
"""A lock, or a statement, that took too long."""
_FULL: Final = ("53100",)
_DENIED: Final = ("42501", "3F000", "42P01")
"""A right, a schema or a table that was taken away: history waits until it is given back."""
_DAMAGED: Final = "XX"
"""How the codes of what only the server's keeper can mend begin."""
_PASSING: Final = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
_READ_ONLY: Final = ("25006",)
"""So is a standby, and a server whose keeper has halted it, such as for want of space."""


def open_server(url: str) -> Database:
    """The store on a PostgreSQL server, its tables made or upgraded where needed.

    Raises:
        BadStore: the URL makes no sense, or the store is too new; a `StoreAway` where the server
            cannot be used for now.
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
    place = address.render_as_string()
    try:
        engine = sa.create_engine(
            address,
            pool_pre_ping=True,
            connect_args={
                name: value for name, value in _ARGUMENTS.items() if name not in address.query
            },
        )
    except ModuleNotFoundError:
        raise BadStore(
            "a store on PostgreSQL needs psycopg: install conference-fleet[postgresql]"
        ) from None
    lines = _Lines(engine)

    def explain(error: sa.exc.SQLAlchemyError, doing: str) -> BadStore:
        code = getattr(getattr(error, "orig", None), "sqlstate", None)
        if code in _FULL:
            return StoreAway(f"the disk of the store {place} is full: make room on it")
        if code in _READ_ONLY:
            return StoreAway(
                f"the server of the store {place} takes nothing (read-only): look for a full disk "
                "there, or for a standby in its place"
            )
        if code in _BUSY:
            return StoreAway(
                f"the store {place} is locked: another transaction does not end "
                f"(pg_stat_activity names it): {cause(error)}"
            )
        if code in _DENIED:
            return StoreAway(f"the server of the store {place} does not let us: {cause(error)}")
        if str(code).startswith(_DAMAGED):
            return StoreAway(
                f"the server of the store {place} says that what it has is damaged: look at its "
                f"disk, and put a dump back there: {cause(error)}"
            )
        if isinstance(error, _PASSING):
            return StoreAway(
                f"the store {place} cannot be {doing}: {cause(error)}",
                unsure=doing == "written",
            )
        return BadStore(f"the store could not be {doing}: {cause(error)}")

    database = Database(engine, explain, cut=lines.cut)
    try:
        database.migrate()
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise explain(error, "used") from None
    except BadStore:
        engine.dispose()
        raise
    return database


class _Lines:
    """The connections, so that one whose server says nothing more can be cut from outside.

    A server's timeouts end nothing where the server itself has stopped. What a cut one had begun
    is ended by the next connection, so that it cannot be committed later.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._open: dict[int, Any] = {}
        self._cut: set[int] = set()
        sa.event.listen(engine, "connect", self._connected)
        sa.event.listen(engine, "close", self._closed)

    def cut(self) -> None:
        """Break every connection; whoever waits for an answer gets an error."""
        for line in list(self._open.values()):
            with suppress(Exception):
                self._cut.add(line.info.backend_pid)
                with socket.socket(fileno=os.dup(line.fileno())) as end:
                    end.shutdown(socket.SHUT_RDWR)

    def _connected(self, line: Any, _: Any) -> None:
        self._open[id(line)] = line
        line.execute(_SETTINGS)
        line.commit()
        if self._cut:
            ended, self._cut = sorted(self._cut), set()
            line.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid = ANY(%s) AND usename = current_user",
                [ended],
            )
            line.commit()

    def _closed(self, line: Any, _: Any) -> None:
        self._open.pop(id(line), None)
