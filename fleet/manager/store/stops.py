"""What people stopped by hand, as the store has it."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from fleet.manager.store.tables import STOP
from fleet.model import StopByHand
from fleet.wire import to_json


def save(connection: sa.Connection, station: str, stops: Sequence[StopByHand]) -> None:
    """Keep stops of a station, each in place of the one before of its instance."""
    for one in stops:
        same = (STOP.c.station == station, STOP.c.role == one.role)
        connection.execute(sa.delete(STOP).where(*same, STOP.c.instance == one.instance))
        connection.execute(sa.insert(STOP).values(station=station, **to_json(one)))


def load(connection: sa.Connection) -> list[tuple[str, StopByHand]]:
    """(station, stop) of every instance that was ever stopped: the last of each."""
    return [
        (
            row.station,
            StopByHand(
                row.role,
                row.instance,
                row.by,
                row.why,
                datetime.fromisoformat(row.at),
                datetime.fromisoformat(row.until) if row.until else None,
            ),
        )
        for row in connection.execute(sa.select(STOP))
    ]


def forget(connection: sa.Connection, station: str) -> None:
    """Have nothing stopped on a station."""
    connection.execute(sa.delete(STOP).where(STOP.c.station == station))
