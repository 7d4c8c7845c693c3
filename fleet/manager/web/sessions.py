"""Who is signed in on the page: a random token in the browser, its digest in the store.

A restart of the manager signs nobody out, and whoever reads the store cannot be anybody.
"""

import hashlib
import hmac
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final

from fleet.manager.people.keeper import People
from fleet.manager.store import BadStore, KeptSignIn
from fleet.manager.store.let_in import LetIn

log = logging.getLogger(__name__)

LASTS: Final = timedelta(days=14)
"""A conference with the days to build it up; then people say their password again."""
_MOST: Final = 20
"""Browsers of one person; one more signs out the one that ends first."""
_LONGEST: Final = 100
"""Characters of a token that is looked at."""


class Sessions:
    """All that are signed in."""

    def __init__(self, let_in: LetIn, people: People) -> None:
        self._let_in = let_in
        self._people = people

    def name_of(self, token: str) -> str | None:
        """Who has this token; None where nobody has, any more."""
        if not 0 < len(token) <= _LONGEST:
            return None
        found = self._let_in.signed_in.get(_digest(token))
        if found is None or found.until <= datetime.now(UTC):
            return None
        return found.name if found.name in self._let_in.people else None

    async def begin(self, name: str, before: str = "") -> str:
        """The token of somebody who has just said their password; `before` is over, whose it was.

        Raises:
            BadStore: it could not be kept.
        """
        now, token = datetime.now(UTC), secrets.token_urlsafe(32)
        signed_in = self._let_in.signed_in.values()
        theirs = sorted((one for one in signed_in if one.name == name), key=lambda one: one.until)
        gone = {one.token for one in signed_in if one.until <= now}
        gone |= {one.token for one in theirs[: max(0, len(theirs) - _MOST + 1)]}
        gone.add(_digest(before))
        one = KeptSignIn(_digest(token), name, now + LASTS)
        await self._let_in.sign_in(one, sorted(gone))
        return token

    async def end(self, token: str) -> None:
        """Nobody has this token any more."""
        try:
            await self._let_in.sign_out(_digest(token))
        except BadStore as error:
            log.error("who signed out is signed in again after a restart: %s", error)


def proof(token: str) -> str:
    """What a page of ours sends along with what it asks for, and no other page can know."""
    return hmac.new(token.encode(), b"asked by our own page", hashlib.sha256).hexdigest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
