"""Who is let in, boxes and people, in memory and in step with the store.

As in the ledger, memory follows only after the commit.
"""

from collections.abc import Sequence

from fleet.manager.store import (
    AccessChange,
    KeptCredential,
    KeptPerson,
    KeptSignIn,
    KeptToken,
    PeopleChange,
)
from fleet.manager.store.keeper import StoreKeeper, readable


class LetIn:
    """Boxes and people; empty until it was read."""

    def __init__(self, keeper: StoreKeeper) -> None:
        self._keeper = keeper
        self.was_read = False
        """Whether the store was ever read: until then nobody knows who is let in."""
        self.tokens: dict[str, KeptToken] = {}
        self.credentials: dict[str, KeptCredential] = {}
        """By station."""
        self.people: dict[str, KeptPerson] = {}
        self.signed_in: dict[str, KeptSignIn] = {}
        """By the digest of the token that the browser has."""

    async def read(self) -> None:
        """Take what the store has.

        Raises:
            BadStore: it could not be read; nothing has changed.
        """
        run, store = self._keeper.run, self._keeper.opened
        people = await run(store.people.everybody)
        tokens = await run(readable, store.access.tokens, "the tokens") or []
        credentials = await run(readable, store.access.credentials, "the credentials") or []
        signed_in = await run(readable, store.people.signed_in, "who is signed in") or []
        self.people = {one.name: one for one in people}
        self.tokens = {one.id: one for one in tokens}
        self.credentials = {one.station: one for one in credentials}
        self.signed_in = {one.token: one for one in signed_in}
        self.was_read = True

    async def change_access(self, changed: AccessChange) -> None:
        """Go by it who is let in.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._keeper.change(self._keeper.opened.access.change, changed)
        for token in changed.gone_tokens:
            self.tokens.pop(token, None)
        self.tokens |= {one.id: one for one in changed.tokens}
        for station in changed.gone_credentials:
            self.credentials.pop(station, None)
        self.credentials |= {one.station: one for one in changed.credentials}

    async def change_people(self, changed: PeopleChange) -> None:
        """Go by it who may do what.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._keeper.change(self._keeper.opened.people.change, changed)
        for name in changed.gone:
            self.people.pop(name, None)
        self.people |= {one.name: one for one in changed.put}
        out = {key for key, one in self.signed_in.items() if one.name in changed.signed_out}
        for token in out:
            del self.signed_in[token]

    async def sign_in(self, one: KeptSignIn, gone: Sequence[str]) -> None:
        """Somebody is signed in; those of the tokens `gone` are no more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._keeper.change(self._keeper.opened.people.sign_in, one, gone)
        for token in gone:
            self.signed_in.pop(token, None)
        self.signed_in[one.token] = one

    async def sign_out(self, token: str) -> None:
        """Nobody is signed in with it any more, also where that could not be written.

        Raises:
            BadStore: it could not be written.
        """
        self.signed_in.pop(token, None)
        await self._keeper.change(self._keeper.opened.people.sign_out, [token])
