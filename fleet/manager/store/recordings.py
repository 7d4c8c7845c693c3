"""Segments that stations told of, and marks that people set, as the store has them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa

from fleet.manager.store.database import Database
from fleet.manager.store.records import TimeSpan
from fleet.manager.store.tables import MARK, SEGMENT
from fleet.model import GONE, SHORT_OF_CPU, Segment
from fleet.operations.recordings import CutMark
from fleet.wire import dumps, encode, format_time, to_json

_STORED: Final = msgspec.json.Decoder(Segment)
"""Of what was checked before it was written: a tenth of the time that checking takes."""

_IS_GONE: Final[sa.ColumnElement[bool]] = SEGMENT.c.payload.like(f'%"skipped":"{GONE}"%')
_STATION: Final = SEGMENT.c.station == sa.bindparam("its_station")
_ITSELF: Final = sa.delete(SEGMENT).where(
    _STATION,
    SEGMENT.c.index == sa.bindparam("its_index"),
    SEGMENT.c.number == sa.bindparam("its_number"),
)
_OF_BEFORE: Final = sa.delete(SEGMENT).where(
    SEGMENT.c.begin == sa.bindparam("its_begin"),
    _STATION,
    SEGMENT.c.index != sa.bindparam("its_index"),
    SEGMENT.c.payload.like(sa.bindparam("its_named"), escape="/"),
)
"""The same file in an index that the station has no more."""


class StoredRecordings:
    """Segments and marks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, told: Iterable[tuple[str, Segment]]) -> None:
        """Keep each as it was told last; a segment is one row however often it is told.

        An index that a station began anew has the same files once more: they replace those of
        before.

        Raises:
            BadStore: they could not be written; none is kept.
        """
        with self._database.writing() as connection:
            latest = {(station, one.index, one.number): one for station, one in told}
            rows = [
                {
                    "station": station,
                    "index": index,
                    "number": number,
                    "begin": format_time(one.begin),
                    "payload": encode(one).decode(),
                    "named": f'%"file":{_literally(dumps(one.file).decode())},%',
                }
                for (station, index, number), one in latest.items()
            ]
            if rows:
                keys = [{f"its_{key}": value for key, value in row.items()} for row in rows]
                connection.execute(_ITSELF, keys)
                connection.execute(_OF_BEFORE, keys)
                connection.execute(sa.insert(SEGMENT), [row for row in rows if row.pop("named")])

    def between(self, begin: datetime, end: datetime) -> list[tuple[str, Segment]]:
        """(station, segment) of those that begin in that time, by begin."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(SEGMENT.c.station, SEGMENT.c.payload)
                .where(SEGMENT.c.begin >= format_time(begin), SEGMENT.c.begin < format_time(end))
                .order_by(SEGMENT.c.begin)
            )
            return [(row.station, _STORED.decode(row.payload)) for row in rows]

    def known(self, station: str, long_ago: datetime) -> Sequence[tuple[str, int, bool, bool]]:
        """Index and number of all of a station's last index; whether each was read back, and
        whether it is gone and from before `long_ago`.
        """
        with self._database.reading() as connection:
            last = (
                sa.select(SEGMENT.c.index)
                .where(SEGMENT.c.station == station)
                .order_by(SEGMENT.c.begin.desc())
                .limit(1)
            )
            unread = sa.or_(
                SEGMENT.c.payload.like('%"check":null}'),
                SEGMENT.c.payload.like(f'%"skipped":"{SHORT_OF_CPU}"%'),
            )
            rows = connection.execute(
                sa.select(
                    *(SEGMENT.c.index, SEGMENT.c.number, sa.not_(unread)),
                    sa.and_(_IS_GONE, SEGMENT.c.begin < format_time(long_ago)),
                )
                .where(SEGMENT.c.station == station, SEGMENT.c.index == last.scalar_subquery())
                .order_by(SEGMENT.c.number)
            )
            return [
                (index, number, bool(is_read), bool(is_old))
                for index, number, is_read, is_old in rows
            ]

    def gone(
        self, station: str, index: str | None, spans: Sequence[TimeSpan]
    ) -> list[tuple[str, int, str]]:
        """(index, number, file) of what began in one of the spans, and is on the station no more:
        it says so, or has another index now, where that is known.
        """
        with self._database.reading() as connection:
            is_gone = _IS_GONE if index is None else sa.or_(_IS_GONE, SEGMENT.c.index != index)
            rows = connection.execute(
                sa.select(SEGMENT.c.index, SEGMENT.c.number, SEGMENT.c.payload)
                .where(SEGMENT.c.station == station, is_gone, _within(SEGMENT.c.begin, spans))
                .order_by(SEGMENT.c.begin)
            )
            return [(its, number, _STORED.decode(payload).file) for its, number, payload in rows]

    def recorders(self) -> list[str]:
        """The stations of which segments are known."""
        with self._database.reading() as connection:
            return list(connection.execute(sa.select(SEGMENT.c.station).distinct()).scalars())

    def forget(self, station: str, which: Iterable[tuple[str, int]]) -> None:
        """Forget segments by index and number.

        Raises:
            BadStore: it could not be written; all are known still.
        """
        with self._database.writing() as connection:
            keys = [
                {"its_station": station, "its_index": index, "its_number": number}
                for index, number in which
            ]
            if keys:
                connection.execute(_ITSELF, keys)

    def forget_marks(self, spans: Sequence[TimeSpan]) -> None:
        """Forget the marks of those times.

        Raises:
            BadStore: it could not be written; all are known still.
        """
        with self._database.writing() as connection:
            connection.execute(sa.delete(MARK).where(_within(MARK.c.at, spans)))

    def mark(self, one: CutMark) -> None:
        """Keep a mark.

        Raises:
            BadStore: it could not be written.
        """
        with self._database.in_time() as connection:
            connection.execute(sa.insert(MARK).values(to_json(one)))

    def marks(self, begin: datetime, end: datetime) -> list[CutMark]:
        """Those of that time, by time."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(MARK)
                .where(MARK.c.at >= format_time(begin), MARK.c.at < format_time(end))
                .order_by(MARK.c.at, MARK.c.number)
            )
            return [
                CutMark(
                    row.room,
                    row.kind,
                    datetime.fromisoformat(row.at),
                    row.by,
                    datetime.fromisoformat(row.set_at),
                    row.note,
                )
                for row in rows
            ]


def _literally(text: str) -> str:
    """For a pattern."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _within(column: "sa.Column[str]", spans: Sequence[TimeSpan]) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.false(),
        *(sa.and_(column >= format_time(begin), column < format_time(end)) for begin, end in spans),
    )
