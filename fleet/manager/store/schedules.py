"""The last good schedule as the store has it, and how it changed from time to time."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from fleet.manager.store.database import Database
from fleet.manager.store.records import Past, PublishedSchedule
from fleet.manager.store.tables import SCHEDULE, SCHEDULE_CHANGE
from fleet.wire import format_time

_ONLY: Final = 1


class StoredSchedule:
    """The last good schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, published: PublishedSchedule, change: str | None) -> None:
        """Keep it in place of the one before; `change`: what is different, for the history.

        Raises:
            BadStore: it could not be written; the last one is still there.
        """
        with self._database.in_time() as connection:
            at = format_time(published.at)
            connection.execute(sa.delete(SCHEDULE))
            connection.execute(
                sa.insert(SCHEDULE).values(
                    number=_ONLY,
                    place=published.place,
                    etag=published.etag,
                    modified=published.modified,
                    at=at,
                    content=published.content,
                )
            )
            if change:
                connection.execute(sa.insert(SCHEDULE_CHANGE).values(at=at, text=change))

    def load(self) -> PublishedSchedule | None:
        """The last good one."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(SCHEDULE)).one_or_none()
            if row is None:
                return None
            at = datetime.fromisoformat(row.at)
            return PublishedSchedule(row.place, row.etag, row.modified, at, bytes(row.content))


def changes(connection: sa.Connection, limit: int) -> Iterator[Past]:
    """The last `limit` changes, the oldest first."""
    rows = connection.execute(
        sa.select(SCHEDULE_CHANGE).order_by(SCHEDULE_CHANGE.c.number.desc()).limit(limit)
    )
    for row in reversed(rows.all()):
        yield Past(datetime.fromisoformat(row.at), "schedule", None, None, row.text)
