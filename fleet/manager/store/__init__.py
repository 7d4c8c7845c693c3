"""What the manager must not forget: what is wanted of every station, with its history.

Plain blocking calls on SQLite (in WAL, synchronous) or PostgreSQL; `ledger` runs them in a
thread of their own. A revision's config is kept as the very bytes that travel, so that one
number always means the same bytes. Revisions are never deleted.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa

from fleet import kept
from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Rollout
from fleet.manager.store import history, rollouts, rows, stops
from fleet.manager.store.access import StoredAccess
from fleet.manager.store.database import DEADLINE, Database
from fleet.manager.store.history import StoredHistory
from fleet.manager.store.people import StoredPeople
from fleet.manager.store.postgresql import open_server
from fleet.manager.store.recordings import StoredRecordings
from fleet.manager.store.records import (
    CALLED,
    AccessChange,
    AppliedFile,
    BadStore,
    Deed,
    Issue,
    KeptCredential,
    KeptPerson,
    KeptSignIn,
    KeptToken,
    Known,
    LastUse,
    Past,
    PeopleChange,
    PublishedSchedule,
    StoreAway,
    TimeSpan,
    Writing,
)
from fleet.manager.store.schedules import StoredSchedule
from fleet.manager.store.signing import Signing
from fleet.manager.store.sqlite import open_file
from fleet.manager.store.tables import (
    ACK,
    KEEPER,
    PRESENCE,
    RETIREMENT,
    REVISION,
    SAID,
    STATION,
)
from fleet.model import StopByHand, plain
from fleet.wire import format_time, to_json

__all__ = [
    "CALLED",
    "DEADLINE",
    "AccessChange",
    "AppliedFile",
    "BadStore",
    "Deed",
    "Issue",
    "KeptCredential",
    "KeptPerson",
    "KeptSignIn",
    "KeptToken",
    "Known",
    "LastUse",
    "ManagerStore",
    "Past",
    "PeopleChange",
    "PublishedSchedule",
    "StoreAway",
    "TimeSpan",
    "Writing",
]

log = logging.getLogger(__name__)

_MARKER: Final = "manager.written"
_MARK_LENGTH: Final = 32
"""Bytes in it: it is written over, which is done at once or not at all."""
_GIVE: Final = sa.insert(REVISION)
_COUNT: Final = sa.update(KEEPER).values(written=KEEPER.c.written + 1).returning(KEEPER.c.written)


class ManagerStore:
    """An open store. Every method, also of its parts, is one transaction, and blocks.

    `marker`: a file beside the database that knows how often it was written, so that an older
    copy put in its place is known for one.
    """

    def __init__(self, database: Database, marker: Path | None = None) -> None:
        self._database = database
        self._marker = marker
        self._reading = database.reading
        self._writing = database.writing
        self._in_time = database.in_time
        self.written: int | None = None
        """How often what is wanted was changed in it when it was read last; None before that."""
        self.access = StoredAccess(database)
        self.history = StoredHistory(database)
        self.people = StoredPeople(database)
        self.recordings = StoredRecordings(database)
        self.schedule = StoredSchedule(database)

    @classmethod
    def in_directory(cls, state_dir: Path) -> Self:
        """The SQLite store in `state_dir`, made or upgraded where needed.

        Raises:
            BadStore: the directory cannot be written, or the file is too new; a `StoreAway` if it
                only cannot be used for now.
        """
        return cls(open_file(state_dir / "manager.sqlite"), state_dir / _MARKER)

    @classmethod
    def at(cls, url: str, state_dir: Path | None = None) -> Self:
        """The store on a PostgreSQL server, `postgresql+psycopg://fleet@host/fleet`.

        Raises:
            BadStore: the URL makes no sense or the store is too new; a `StoreAway` if the server
                cannot be used for now.
        """
        return cls(open_server(url), state_dir / _MARKER if state_dir else None)

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._database.place

    def close(self) -> None:
        """Close it; nothing is pending."""
        self._database.close()

    def give_up(self) -> None:
        """Have the call that hangs in another thread end without a change."""
        self._database.give_up()

    def check(self, at: datetime) -> None:
        """Make sure that it can be written, and note that it is in use at `at`.

        Raises:
            BadStore: it cannot be.
        """
        with self._writing() as connection:
            connection.execute(sa.update(KEEPER).values(alive=format_time(at)))

    def last_use(self) -> LastUse:
        """When it was in use last, before this manager.

        Raises:
            BadStore: it could not be read.
        """
        with self._reading() as connection:
            row = connection.execute(sa.select(KEEPER)).one_or_none()
        if row is None:
            return LastUse(None, newer=False)
        self.written = row.written
        try:
            alive = datetime.fromisoformat(row.alive or "")
        except ValueError:
            alive = None
        return LastUse(alive, newer=self._marked() > row.written)

    def signing(self) -> Signing:
        """How its configs are signed.

        Raises:
            BadStore: it could not be read.
        """
        with self._reading() as connection:
            key = connection.execute(sa.select(KEEPER.c.signing_key)).scalar_one_or_none()
        return Signing.by(key or "")

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
        signed = sa.select(ACK.c.station).distinct().where(ACK.c.signed)
        with self._reading() as connection:
            # First, so that what is changed while we read is noticed.
            self.written = connection.execute(sa.select(KEEPER.c.written)).scalar() or 0
            highest_of = {row.station: row.highest for row in connection.execute(highest)}
            answerers = set(connection.execute(answered).scalars())
            heard = set(connection.execute(sa.select(PRESENCE.c.station).distinct()).scalars())
            heard |= set(connection.execute(sa.select(ACK.c.station).distinct()).scalars())
            signers = set(connection.execute(signed).scalars())
            return {
                row.station: Known(
                    Facts(row.name, row.room, row.seat, row.where, row.address),
                    row.retired,
                    highest_of.get(row.station, 0),
                    None if row.config is None else row.config.encode(),
                    row.station in answerers,
                    row.replaced_by,
                    row.station in heard,
                    row.station in signers,
                )
                for row in connection.execute(wanted)
            }

    def write(self, writing: Writing) -> None:
        """Make each issue what is wanted of its station, and note the rest: all or nothing.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._changing() as connection:
            conference = writing.conference
            number = rows.insert_conference(connection, conference) if conference else None
            rows.upsert_stations(connection, writing.issues, dict(writing.facts))
            rows.mark_replaced(connection, writing.replaced)
            if writing.issues:
                given = [rows.revision_row(issue, number) for issue in writing.issues]
                connection.execute(_GIVE, given)
            if writing.rollout is not None:
                rollouts.save(connection, writing.rollout, writing.targets)

    def retire(self, station: str, at: datetime, by: str) -> None:
        """Want nothing of a station any more; its history stays, and tells when and by whom.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        values = {"retired": True, "wanted": None, "replaced_by": None}
        with self._changing() as connection:
            rows.upsert_stations(connection, (), {station: None})
            connection.execute(
                sa.update(STATION).where(STATION.c.station == station).values(values)
            )
            retirement = {"station": station, "at": format_time(at), "by": by}
            connection.execute(sa.insert(RETIREMENT).values(retirement))
            stops.forget(connection, station)

    def stop(self, station: str, held: Sequence[StopByHand], deed: Deed | None) -> None:
        """Keep stops of a station, each in place of the last of its instance, and who did it.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._changing() as connection:
            stops.save(connection, station, held)
            if deed is not None:
                history.note(connection, [deed])

    def stops(self) -> list[tuple[str, StopByHand]]:
        """(station, stop) of every instance that was ever stopped: the last of each."""
        with self._reading() as connection:
            return stops.load(connection)

    def do(self, deed: Deed) -> None:
        """Keep what somebody did.

        Raises:
            BadStore: it could not be written.
        """
        with self._writing() as connection:
            history.note(connection, [deed])

    def say(
        self, kind: OverrideKind, name: str, said: Override | None, deed: Deed | None = None
    ) -> None:
        """Keep what was said of a room or station, and who did; None: nothing holds any more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._changing() as connection:
            connection.execute(sa.delete(SAID).where(SAID.c.kind == kind, SAID.c.name == name))
            if said is not None:
                connection.execute(sa.insert(SAID).values(to_json(said)))
            if deed is not None:
                history.note(connection, [deed])

    def said(self) -> list[Override]:
        """All that was said, also what is over."""
        with self._reading() as connection:
            return [
                Override(
                    row.kind,
                    row.name,
                    row.state,
                    row.by,
                    datetime.fromisoformat(row.since),
                    datetime.fromisoformat(row.until) if row.until else None,
                )
                for row in connection.execute(sa.select(SAID))
            ]

    def conference(self) -> AppliedFile | None:
        """The conference file applied last."""
        with self._reading() as connection:
            return history.conference(connection)

    def rollout(self, number: int | None = None) -> Rollout | None:
        """The rollout `number`, or the last one."""
        with self._reading() as connection:
            return rollouts.load(connection, number)

    def befores(self, since: int) -> dict[str, tuple[int | None, int]]:
        """Station -> (the revision wanted before rollout `since` or later, the one given then)."""
        with self._reading() as connection:
            return rollouts.befores(connection, since)

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """One transaction that changes what is wanted, counted: whoever else does is noticed."""
        with self._in_time() as connection:
            yield connection
            written = connection.execute(_COUNT).scalar() or 0
            if written and self.written is not None and written != self.written + 1:
                raise StoreAway(
                    f"another program changed the store {self.place}, or put it back: it is read "
                    "anew, try again",
                    unsure=True,
                )
        self.written = written
        self._mark(written)

    def _mark(self, written: int) -> None:
        if self._marker is None:
            return
        line = f"{written:{_MARK_LENGTH - 1}}\n".encode()  # of one length: no rest of another
        try:
            kept.make_way(self._marker)
            try:
                file = os.open(self._marker, os.O_WRONLY | os.O_CREAT, 0o666)
            except FileNotFoundError:
                self._marker.parent.mkdir(parents=True)
                file = os.open(self._marker, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                os.pwrite(file, line, 0)
            finally:
                os.close(file)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._marker, plain(error))

    def _marked(self) -> int:
        """How often it was written as far as the marker knows; 0 where that says nothing."""
        if self._marker is None:
            return 0
        try:
            return kept.read(self._marker, int, _MARK_LENGTH) or 0
        except (OSError, ValueError):
            return 0
