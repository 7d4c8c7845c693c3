"""Passwords as they are kept: scrypt of each with a salt of its own, which costs a guess as much.

What is kept reads `scrypt$16384$8$5$SALT$KEY` (n, r, p), so that a later release can ask for more.
"""

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

LEAST: Final = 8
MOST: Final = 200
"""Characters."""
_N, _R, _P = 2**14, 8, 5
"""16 MiB and a fifth of a second: one of the five that OWASP's password storage page names."""
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_MAX_MEMORY: Final = 64 * 1024 * 1024
_AT_ONCE: Final = 2
"""Passwords that are looked at: each takes 16 MiB and a core."""
_WAITING: Final = 20


class BadPassword(ValueError):
    """A password that cannot be used; the text says why."""


class TooBusy(Exception):
    """So many sign in just now that nobody else can."""


def checked(password: str) -> str:
    """The password itself, where it can be used at the broker and on the page.

    Raises:
        BadPassword: it is too short, too long, or has what no keyboard has.
    """
    if not LEAST <= len(password) <= MOST:
        raise BadPassword(
            f"a password has {LEAST} to {MOST} characters, this one has {len(password)}"
        )
    if not password.isprintable():
        raise BadPassword("a password has no control characters")
    return password


def hashed(password: str) -> str:
    """What is kept of it; takes a fifth of a second."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, _N, _R, _P, _KEY_BYTES)
    parts = ("scrypt", _N, _R, _P, b64encode(salt).decode(), b64encode(key).decode())
    return "$".join(map(str, parts))


def is_it(password: str, kept: str) -> bool:
    """Whether it is the one of which this was kept; takes as long where it is not."""
    try:
        _, n, r, p, salt, key = kept.split("$")
        known = b64decode(key)
        found = _scrypt(password, b64decode(salt), int(n), int(r), int(p), len(known))
    except (ValueError, MemoryError, OverflowError):
        return False  # garbled in the store: nobody's
    return hmac.compare_digest(found, known)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=n,
        r=r,
        p=p,
        maxmem=_MAX_MEMORY,
        dklen=length,
    )


class PasswordWork:
    """Looks at passwords beside the event loop, few at a time."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hashed(self, password: str) -> str:
        """What is kept of it.

        Raises:
            TooBusy: too many ask at the same time.
        """
        return await self._do(lambda: hashed(password))

    async def fits(self, password: str, kept: str | None) -> bool:
        """Whether it is the one of which this was kept; None is nobody's, which takes as long.

        Raises:
            TooBusy: too many ask at the same time.
        """
        if len(password) > MOST:
            return False
        if self._nobodys is None:
            self._nobodys = await self.hashed(secrets.token_hex())
        against = kept or self._nobodys
        return await self._do(lambda: is_it(password, against)) and kept is not None

    async def _do(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise TooBusy("too many sign in just now; try again in some seconds")
        self._waiting += 1
        try:
            async with self._gate:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
