"""What the manager must not forget: what is wanted of every station, with its history.

Plain blocking calls on SQLite (in WAL, synchronous) or PostgreSQL; `ledger` runs them in a
thread of their own. A revision's config is kept as the very bytes that travel, so that one
number always means the same bytes. Revisions are never deleted.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import sqlalchemy as sa

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Rollout
from fleet.manager.store import (
    access,
    history,
    people,
    recordings,
    rollouts,
    rows,
    schedules,
    stops,
)
from fleet.manager.store.database import Database
from fleet.manager.store.postgresql import open_server
from fleet.manager.store.records import (
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
from fleet.manager.store.sqlite import open_file
from fleet.manager.store.tables import (
    ACK,
    DEED,
    KEEPER,
    PRESENCE,
    RETIREMENT,
    REVISION,
    SAID,
    STATION,
)
from fleet.model import Ack, DeadlineExceeded, Result, Segment, StopByHand
from fleet.operations import CutMark
from fleet.wire import format_time, to_json

__all__ = [
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
MOST_DEEDS: Final = 100_000
"""What people did, of which the last are kept."""
_AT_ONCE: Final = 5000
"""Old rows that are forgotten in one transaction."""


DEADLINE: Final[ContextVar[float]] = ContextVar("deadline", default=math.inf)
"""Monotonic seconds after which nothing is written for whoever asked: they were told it failed."""


class ManagerStore:
    """An open store. Every method is one transaction, and blocks.

    `marker`: a file beside the database that knows how often it was written, so that an older
    copy put in its place is known for one.
    """

    def __init__(self, database: Database, marker: Path | None = None) -> None:
        self._database = database
        self._marker = marker
        self._reading = database.reading
        self._writing = database.writing

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
        try:
            alive = datetime.fromisoformat(row.alive or "")
        except ValueError:
            alive = None
        return LastUse(alive, newer=self._marked() > row.written)

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
        with self._reading() as connection:
            highest_of = {row.station: row.highest for row in connection.execute(highest)}
            answerers = set(connection.execute(answered).scalars())
            heard = set(connection.execute(sa.select(PRESENCE.c.station).distinct()).scalars())
            heard |= set(connection.execute(sa.select(ACK.c.station).distinct()).scalars())
            return {
                row.station: Known(
                    Facts(row.name, row.room, row.seat, row.where, row.address),
                    row.retired,
                    highest_of.get(row.station, 0),
                    None if row.config is None else row.config.encode(),
                    row.station in answerers,
                    row.replaced_by,
                    row.station in heard,
                )
                for row in connection.execute(wanted)
            }

    def write(self, writing: Writing) -> None:
        """Make each issue what is wanted of its station, and note the rest: all or nothing.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._writing() as connection:
            conference = writing.conference
            number = rows.insert_conference(connection, conference) if conference else None
            rows.upsert_stations(connection, writing.issues, dict(writing.facts))
            rows.mark_replaced(connection, writing.replaced)
            if writing.issues:
                given = [rows.revision_row(issue, number) for issue in writing.issues]
                connection.execute(sa.insert(REVISION), given)
            if writing.rollout is not None:
                rollouts.save(connection, writing.rollout, writing.targets)
            connection.execute(sa.update(KEEPER).values(written=KEEPER.c.written + 1))
            written = connection.execute(sa.select(KEEPER.c.written)).scalar()
            _in_time()
        self._mark(written or 0)

    def retire(self, station: str, at: datetime, by: str) -> None:
        """Want nothing of a station any more; its history stays, and tells when and by whom.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        values = {"retired": True, "wanted": None, "replaced_by": None}
        with self._writing() as connection:
            rows.upsert_stations(connection, (), {station: None})
            connection.execute(
                sa.update(STATION).where(STATION.c.station == station).values(values)
            )
            retirement = {"station": station, "at": format_time(at), "by": by}
            connection.execute(sa.insert(RETIREMENT).values(retirement))
            stops.forget(connection, station)
            _in_time()

    def stop(self, station: str, held: Sequence[StopByHand], deed: Deed | None) -> None:
        """Keep stops of a station, each in place of the last of its instance, and who did it.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._writing() as connection:
            stops.save(connection, station, held)
            if deed is not None:
                history.note(connection, [deed])
            _in_time()

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
        with self._writing() as connection:
            connection.execute(sa.delete(SAID).where(SAID.c.kind == kind, SAID.c.name == name))
            if said is not None:
                connection.execute(sa.insert(SAID).values(to_json(said)))
            if deed is not None:
                history.note(connection, [deed])
            _in_time()

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

    def publish(self, published: PublishedSchedule, change: str | None) -> None:
        """Keep a good schedule in place of the last; `change`: what is different, for the history.

        Raises:
            BadStore: it could not be written; the last one is still there.
        """
        with self._writing() as connection:
            schedules.save(connection, published, change)
            _in_time()

    def published(self) -> PublishedSchedule | None:
        """The last good schedule."""
        with self._reading() as connection:
            return schedules.load(connection)

    def record(self, told: Sequence[tuple[str, Segment]]) -> None:
        """Keep segments (station, segment); one that is told again is one still.

        Raises:
            BadStore: they could not be written; none is kept.
        """
        with self._writing() as connection:
            recordings.save(connection, told)

    def recorded(self, begin: datetime, end: datetime) -> list[tuple[str, Segment]]:
        """(station, segment) of those that begin in that time."""
        with self._reading() as connection:
            return recordings.between(connection, begin, end)

    def recorded_of(
        self, station: str, long_ago: datetime
    ) -> Sequence[tuple[str, int, bool, bool]]:
        """Index and number of all segments of a station; whether each was read back, and whether
        it is gone and from before `long_ago`.
        """
        with self._reading() as connection:
            return recordings.known(connection, station, long_ago)

    def recorders(self) -> list[str]:
        """The stations of which segments are known."""
        with self._reading() as connection:
            return recordings.recorders(connection)

    def recorded_and_gone(
        self, station: str, index: str | None, spans: Sequence[TimeSpan]
    ) -> list[tuple[str, int, str]]:
        """(index, number, file) of what began in one of the spans, and is on the station no more:
        it says so, or `index` is what it has now.
        """
        with self._reading() as connection:
            return recordings.gone(connection, station, index, spans)

    def forget_recorded(self, station: str, which: Sequence[tuple[str, int]]) -> None:
        """Forget segments by index and number.

        Raises:
            BadStore: it could not be written; all are known still.
        """
        with self._writing() as connection:
            recordings.forget(connection, station, which)

    def forget_marks(self, spans: Sequence[TimeSpan]) -> None:
        """Forget the marks of those times.

        Raises:
            BadStore: it could not be written; all are known still.
        """
        with self._writing() as connection:
            recordings.forget_marks(connection, spans)

    def mark(self, mark: CutMark) -> None:
        """Keep a mark.

        Raises:
            BadStore: it could not be written.
        """
        with self._writing() as connection:
            recordings.mark(connection, mark)
            _in_time()

    def marks(self, begin: datetime, end: datetime) -> list[CutMark]:
        """The marks of that time."""
        with self._reading() as connection:
            return recordings.marks(connection, begin, end)

    def change_people(self, changed: PeopleChange) -> None:
        """Keep who may do what from now on, and tell the history.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._writing() as connection:
            people.change(connection, changed)
            _in_time()

    def change_access(self, changed: AccessChange) -> None:
        """Keep who is let in from now on, and tell the history.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._writing() as connection:
            access.change(connection, changed)
            _in_time()

    def tokens(self) -> list[KeptToken]:
        """All of them."""
        with self._reading() as connection:
            return access.tokens(connection)

    def credentials(self) -> list[KeptCredential]:
        """All of them."""
        with self._reading() as connection:
            return access.credentials(connection)

    def people(self) -> list[KeptPerson]:
        """All of them."""
        with self._reading() as connection:
            return people.everybody(connection)

    def sign_in(self, one: KeptSignIn, gone: Sequence[str]) -> None:
        """Keep that somebody is signed in, and forget those of the tokens `gone`.

        Raises:
            BadStore: it could not be written.
        """
        with self._writing() as connection:
            people.sign_in(connection, one, gone)

    def sign_out(self, tokens: Sequence[str]) -> None:
        """Forget those who have these tokens.

        Raises:
            BadStore: it could not be written.
        """
        with self._writing() as connection:
            people.sign_out(connection, tokens)

    def signed_in(self) -> list[KeptSignIn]:
        """Who is signed in."""
        with self._reading() as connection:
            return people.signed_in(connection)

    def rollout(self, number: int | None = None) -> Rollout | None:
        """The rollout `number`, or the last one."""
        with self._reading() as connection:
            return rollouts.load(connection, number)

    def befores(self, since: int) -> dict[str, tuple[int | None, int]]:
        """Station -> (the revision wanted before rollout `since` or later, the one given then)."""
        with self._reading() as connection:
            return rollouts.befores(connection, since)

    def revisions(self, numbers: Mapping[str, int]) -> dict[str, Issue]:
        """One revision of each station, as far as they exist."""
        with self._reading() as connection:
            return history.revisions(connection, numbers)

    def before(self, station: str, revision: int) -> Issue | None:
        """The revision that came before this one."""
        with self._reading() as connection:
            return history.before(connection, station, revision)

    def past(self, station: str | None, limit: int) -> list[Past]:
        """The last `limit` things that happened to a station, or rollouts and retirements."""
        with self._reading() as connection:
            if station is None:
                return history.of_all(connection, limit)
            return history.of_station(connection, station, limit)

    def rejected(self, numbers: Mapping[str, int]) -> frozenset[str]:
        """The stations that rejected the revision named, as far as that is remembered.

        Raises:
            BadStore: it could not be read.
        """
        with self._reading() as connection:
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
    ) -> None:
        """Keep acks (station, when heard, ack) and changes of presence (station, at, state, boot).

        Raises:
            BadStore: it could not be written; nothing is kept.
        """
        with self._writing() as connection:
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

    def prune(self, before: datetime) -> None:
        """Forget acks and presence changes older than `before`, but each station's last ack, and
        all deeds but the last 100,000.

        Raises:
            BadStore: it could not be written.
        """
        last = sa.select(sa.func.max(ACK.c.number)).group_by(ACK.c.station)
        time = format_time(before)
        old = sa.select(ACK.c.number).where(ACK.c.at < time, ACK.c.number.not_in(last))
        gone = sa.select(PRESENCE.c.number).where(PRESENCE.c.at < time)
        latest = sa.select(sa.func.max(DEED.c.number)).scalar_subquery()
        done = sa.select(DEED.c.number).where(DEED.c.number <= latest - MOST_DEEDS)
        for table, which in ((ACK, old), (PRESENCE, gone), (DEED, done)):
            some = sa.delete(table).where(table.c.number.in_(which.limit(_AT_ONCE)))
            deleted = _AT_ONCE
            while deleted == _AT_ONCE:  # a long transaction would keep everybody else waiting
                with self._writing() as connection:
                    deleted = connection.execute(some).rowcount

    def _mark(self, written: int) -> None:
        if self._marker is None:
            return
        new = self._marker.with_suffix(".new")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(f"{written}\n")
            new.replace(self._marker)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._marker, error.strerror or error)

    def _marked(self) -> int:
        """How often it was written as far as the marker knows; 0 where that says nothing."""
        if self._marker is None:
            return 0
        try:
            return int(self._marker.read_bytes()[:32])
        except (OSError, ValueError):
            return 0


def _in_time() -> None:
    """The last word in a transaction: what comes too late is taken back."""
    if time.monotonic() > DEADLINE.get():
        raise DeadlineExceeded("it took too long; nothing was changed")
