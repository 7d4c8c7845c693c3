"""The store as a file: opened, checked, set aside where it is damaged."""

import errno
import logging
import shutil
import sqlite3
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from fleet.manager.store.database import PATIENCE, Database, cause
from fleet.manager.store.records import BadStore, StoreAway
from fleet.model import plain

log = logging.getLogger(__name__)

_FULL: Final = 2**16
"""A disk with fewer free bytes is full, whatever SQLite calls it."""
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class _Damaged(Exception):
    pass


def open_file(path: Path) -> Database:
    """The SQLite store at `path`, made or upgraded where needed.

    A damaged one is set aside, and an empty one begun: what runs is then adopted.

    Raises:
        BadStore: it cannot be written, or is too new; a `StoreAway` if only for now.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for part in _parts(path):
            if part.exists() and not part.is_file():
                _set_aside(path, f"{part.name} is not a file")
        path.touch(mode=0o600)
    except OSError as error:
        kind = StoreAway if error.errno in _PASSING else BadStore
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreAway(_full(path)) from None
        raise kind(
            f"the store {path} cannot be written: {plain(error)}; "
            "give another --state-dir or make it writable"
        ) from None
    try:
        return _open(path)
    except _Damaged as error:
        try:
            _set_aside(path, str(error))
            return _open(path)
        except (_Damaged, OSError) as again:
            raise BadStore(
                f"the store {path} is damaged ({error}) and cannot be set aside ({again}); "
                "give another --state-dir"
            ) from None


def _open(path: Path) -> Database:
    engine = sa.create_engine(f"sqlite:///{path}")
    logs: list[int | None] = []
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "connect", lambda *_: logs.append(_inode(_log_of(path))))
    sa.event.listen(engine, "begin", _begin)
    explain = partial(_explain, path)
    try:
        with engine.connect() as connection:
            found = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar()
            if found != "ok":
                raise _Damaged(" ".join(str(found).split()))
        opened = path.stat().st_ino
        database = Database(engine, explain, partial(_look, path, opened, logs))
        database.migrate()
    except sa.exc.DatabaseError as error:
        engine.dispose()
        if _code(error) in _DAMAGED:
            raise _Damaged(cause(error)) from None
        raise explain(error, "opened") from None
    except (BadStore, _Damaged):
        engine.dispose()
        raise
    return database


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # Python's own would run each step of a migration alone
    connection.text_factory = lambda text: text.decode(errors="replace")  # one row, not all of it
    connection.execute(f"PRAGMA busy_timeout={PATIENCE * 1000:.0f}")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # opens its log too


def _begin(connection: sa.Connection) -> None:
    # Who reads first and then writes may not wait for a lock halfway.
    writing = connection.get_execution_options().get("writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _look(path: Path, opened: int, logs: list[int | None], connection: sa.Connection) -> None:
    """Make sure that what is open is still what lies at its place: the file, and the last of the
    `logs`, which SQLite writes first.
    """
    try:
        there = path.stat().st_ino
    except OSError as error:
        raise StoreAway(
            f"the store {path} is gone ({error.strerror}); put it back, or restart fleet-manager: "
            "it begins an empty one, and adopts what runs"
        ) from None
    if there != opened:
        raise StoreAway(
            f"another file lies in the place of the store {path}; restart fleet-manager to use it"
        )
    if _inode(_log_of(path)) != logs[-1]:
        connection.invalidate()  # closing takes all that is in it into the store's file
        raise StoreAway(f"somebody took {_log_of(path)} away: the store is opened again, try again")


def _explain(path: Path, error: sa.exc.SQLAlchemyError, doing: str) -> BadStore:
    code = _code(error)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreAway(_full(path))
    if code in _LOCKED:
        return StoreAway(
            f"the store {path} is locked by another program: end that one (fuser {path} names it)"
        )
    if code in _DAMAGED:
        return BadStore(
            f"the store {path} is damaged ({cause(error)}); restart fleet-manager: it sets the "
            "file aside, and adopts what runs"
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        where = "; its directory is gone" if not path.parent.is_dir() else ""
        return StoreAway(
            f"the store {path} cannot be {doing}: {cause(error)}{where}; look at its disk",
            unsure=code == sqlite3.SQLITE_IOERR,
        )
    return BadStore(f"the store could not be {doing}: {cause(error)}")


def _code(error: sa.exc.SQLAlchemyError) -> int:
    """SQLite's primary result code."""
    code: int = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    return code & 0xFF


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _FULL
    except OSError:
        return False


def _full(path: Path) -> str:
    return (
        f"the disk of the store {path} is full: make room on it; what is in the store stays, and "
        "nothing new can be wanted until then"
    )


def _parts(path: Path) -> list[Path]:
    """The store's file and what SQLite keeps beside it."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def _log_of(path: Path) -> Path:
    return _parts(path)[1]


def _inode(path: Path) -> int | None:
    """Where the file lies, None where there is none: not each disk lets SQLite have a log."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _set_aside(path: Path, why: str) -> None:
    aside = f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for part in _parts(path):
        if part.exists():
            part.rename(f"{part}.{aside}")
    log.error(
        "the store %s is damaged (%s): it is kept as %s.%s, and an empty one is begun; what runs "
        "is adopted, names and rooms come back with: fleet apply",
        *(path, why, path, aside),
    )
