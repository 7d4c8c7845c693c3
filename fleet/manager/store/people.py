"""The people and who is signed in, as the store has them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from fleet.manager.store import history
from fleet.manager.store.records import KeptPerson, KeptSignIn, PeopleChange
from fleet.manager.store.tables import PERSON, SIGN_IN
from fleet.wire import format_time


def change(connection: sa.Connection, changed: PeopleChange) -> None:
    """Keep what changed, and tell it to the history."""
    names = [*(one.name for one in changed.put), *changed.gone]
    connection.execute(sa.delete(PERSON).where(PERSON.c.name.in_(names)))
    for one in changed.put:
        connection.execute(
            sa.insert(PERSON).values(
                name=one.name,
                rights=one.rights,
                password=one.password,
                at=format_time(one.at),
                by=one.by,
            )
        )
    connection.execute(sa.delete(SIGN_IN).where(SIGN_IN.c.name.in_(changed.signed_out)))
    history.note(connection, changed.deeds)


def everybody(connection: sa.Connection) -> list[KeptPerson]:
    """All of them."""
    return [
        KeptPerson(row.name, row.rights, row.password, _time(row.at), row.by)
        for row in connection.execute(sa.select(PERSON))
    ]


def sign_in(connection: sa.Connection, one: KeptSignIn, gone: Iterable[str]) -> None:
    """Keep that somebody is signed in, and forget those of the tokens `gone`."""
    sign_out(connection, gone)
    connection.execute(
        sa.insert(SIGN_IN).values(token=one.token, name=one.name, until=format_time(one.until))
    )


def sign_out(connection: sa.Connection, tokens: Iterable[str]) -> None:
    """Forget those who have these tokens."""
    connection.execute(sa.delete(SIGN_IN).where(SIGN_IN.c.token.in_(list(tokens))))


def signed_in(connection: sa.Connection) -> list[KeptSignIn]:
    """Who is signed in."""
    return [
        KeptSignIn(row.token, row.name, datetime.fromisoformat(row.until))
        for row in connection.execute(sa.select(SIGN_IN))
    ]


def _time(text: str) -> datetime:
    """A garbled one is no reason to know nobody."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
