"""Tokens to join with, and the stations' credentials, as the store has them."""

from datetime import datetime

import sqlalchemy as sa

from fleet.manager.store import history
from fleet.manager.store.records import AccessChange, KeptCredential, KeptToken
from fleet.manager.store.tables import CREDENTIAL, TOKEN
from fleet.wire import format_time


def change(connection: sa.Connection, changed: AccessChange) -> None:
    """Keep what changed, and tell it to the history."""
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


def tokens(connection: sa.Connection) -> list[KeptToken]:
    """All of them."""
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


def credentials(connection: sa.Connection) -> list[KeptCredential]:
    """All of them."""
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
