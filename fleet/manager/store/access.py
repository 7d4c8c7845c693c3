"""Tokens to join with, and the stations' credentials, as the store has them."""

from datetime import datetime

import sqlalchemy as sa

from fleet.manager.store import history
from fleet.manager.store.database import Database
from fleet.manager.store.records import AccessChange, KeptCredential, KeptToken
from fleet.manager.store.tables import CREDENTIAL, TOKEN
from fleet.wire import format_time


class StoredAccess:
    """What lets a new box ask, and what a station that joined comes in with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(self, changed: AccessChange) -> None:
        """Keep what changed, and tell it to the history.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._database.in_time() as connection:
            gone = [*changed.gone_tokens, *(one.id for one in changed.tokens)]
            connection.execute(sa.delete(TOKEN).where(TOKEN.c.token.in_(gone)))
            for one in changed.tokens:
                connection.execute(
                    sa.insert(TOKEN).values(
                        token=one.id,
                        until=format_time(one.until),
                        uses=one.uses,
                        used=one.used,
                        room=one.room,
                        approve=one.approve,
                        at=format_time(one.at),
                        by=one.by,
                    )
                )
            stations = [*changed.gone_credentials, *(one.station for one in changed.credentials)]
            connection.execute(sa.delete(CREDENTIAL).where(CREDENTIAL.c.station.in_(stations)))
            for kept in changed.credentials:
                connection.execute(
                    sa.insert(CREDENTIAL).values(
                        station=kept.station,
                        public_key=kept.public_key,
                        at=format_time(kept.at),
                        ends=format_time(kept.ends),
                        token=kept.token,
                    )
                )
            history.note(connection, changed.deeds)

    def tokens(self) -> list[KeptToken]:
        """All of them."""
        with self._database.reading() as connection:
            return [
                KeptToken(
                    row.token,
                    datetime.fromisoformat(row.until),
                    row.uses,
                    row.used,
                    row.room,
                    row.approve,
                    datetime.fromisoformat(row.at),
                    row.by,
                )
                for row in connection.execute(sa.select(TOKEN))
            ]

    def credentials(self) -> list[KeptCredential]:
        """All of them."""
        with self._database.reading() as connection:
            return [
                KeptCredential(
                    row.station,
                    row.public_key,
                    datetime.fromisoformat(row.at),
                    datetime.fromisoformat(row.ends),
                    row.token,
                )
                for row in connection.execute(sa.select(CREDENTIAL))
            ]
