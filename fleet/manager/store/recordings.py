"""SegmentList that stations told of, and marks that people set, as the store has them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa

from fleet.manager.store.tables import MARK, SEGMENT
from fleet.model import SHORT_OF_CPU, Segment
from fleet.operations import CutMark
from fleet.wire import dumps, encode, format_time, to_json

_STORED: Final = msgspec.json.Decoder(Segment)
"""Of what was checked before it was written: a tenth of the time that checking takes."""

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


def save(connection: sa.Connection, told: Iterable[tuple[str, Segment]]) -> None:
    """Keep each as it was told last; a segment is one row however often it is told.

    An index that a station began anew has the same files once more: they replace those of before.
    """
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


def _literally(text: str) -> str:
    """For a pattern."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def between(connection: sa.Connection, begin: datetime, end: datetime) -> list[tuple[str, Segment]]:
    """(station, segment) of those that begin in that time, by begin."""
    rows = connection.execute(
        sa.select(SEGMENT.c.station, SEGMENT.c.payload)
        .where(SEGMENT.c.begin >= format_time(begin), SEGMENT.c.begin < format_time(end))
        .order_by(SEGMENT.c.begin)
    )
    return [(row.station, _STORED.decode(row.payload)) for row in rows]


def known(connection: sa.Connection, station: str) -> Sequence[tuple[str, int, bool]]:
    """Index and number of all of a station's last index, and whether each was read back."""
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
        sa.select(SEGMENT.c.index, SEGMENT.c.number, sa.not_(unread))
        .where(SEGMENT.c.station == station, SEGMENT.c.index == last.scalar_subquery())
        .order_by(SEGMENT.c.number)
    )
    return [(index, number, bool(is_read)) for index, number, is_read in rows]


def mark(connection: sa.Connection, one: CutMark) -> None:
    """Keep a mark."""
    connection.execute(sa.insert(MARK).values(to_json(one)))


def marks(connection: sa.Connection, begin: datetime, end: datetime) -> list[CutMark]:
    """Those of that time, by time."""
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
