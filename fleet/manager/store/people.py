"""The people and who is signed in, as the store has them."""

from collections.abc import Iterable
from datetime import UTC, datetime

import sqlalchemy as sa

from fleet.manager.store import history
from fleet.manager.store.database import Database
from fleet.manager.store.records import KeptPerson, KeptSignIn, PeopleChange
from fleet.manager.store.tables import PERSON, SIGN_IN
from fleet.wire import format_time


class StoredPeople:
    """Who may do what, and who is signed in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(self, changed: PeopleChange) -> None:
        """Keep what changed, and tell it to the history.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        with self._database.in_time() as connection:
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

    def everybody(self) -> list[KeptPerson]:
        """All of them."""
        with self._database.reading() as connection:
            return [
                KeptPerson(row.name, row.rights, row.password, _time(row.at), row.by)
                for row in connection.execute(sa.select(PERSON))
            ]

    def sign_in(self, one: KeptSignIn, gone: Iterable[str]) -> None:
        """Keep that somebody is signed in, and forget those of the tokens `gone`.

        Raises:
            BadStore: it could not be written.
        """
        with self._database.writing() as connection:
            _forget(connection, gone)
            connection.execute(
                sa.insert(SIGN_IN).values(
                    token=one.token, name=one.name, until=format_time(one.until)
                )
            )

    def sign_out(self, tokens: Iterable[str]) -> None:
        """Forget those who have these tokens.

        Raises:
            BadStore: it could not be written.
        """
        with self._database.writing() as connection:
            _forget(connection, tokens)

    def signed_in(self) -> list[KeptSignIn]:
        """Who is signed in."""
        with self._database.reading() as connection:
            return [
                KeptSignIn(row.token, row.name, datetime.fromisoformat(row.until))
                for row in connection.execute(sa.select(SIGN_IN))
            ]


def _forget(connection: sa.Connection, tokens: Iterable[str]) -> None:
    connection.execute(sa.delete(SIGN_IN).where(SIGN_IN.c.token.in_(list(tokens))))


def _time(text: str) -> datetime:
    """A garbled one is no reason to know nobody."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
