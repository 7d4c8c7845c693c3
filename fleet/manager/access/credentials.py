"""What stations come in with: given for a year, changed without a gap, and ended.

A station has its new credential before the broker knows it, so that it can come in at any time.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import evolve

from fleet.joining import StationCredential, station_user
from fleet.manager.access.broker import BrokerAccounts
from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.people.keeper import CannotAccount
from fleet.manager.store import AccessChange, BadStore, Deed, KeptCredential
from fleet.manager.store.let_in import LetIn
from fleet.model import CommandFailed, Refusal
from fleet.sealed import BadKey, seal
from fleet.wire import encode

log = logging.getLogger(__name__)

LASTS: Final = timedelta(days=365)
"""How long a credential lets a station in."""
RENEWED_BEFORE: Final = timedelta(days=30)
"""One that ends within that time is renewed by itself."""
_TICK: Final = 5.0
_ROTATE_SECONDS: Final = 10.0
AGAIN: Final = 3600.0
"""Seconds between two tries to renew a credential by itself."""
_AT_LEAST: Final = 0.05
"""Seconds between two looks at what is over."""
_AT_ONCE: Final = 20
"""Stations that are given a last chance at the same time."""


def new_credential(station: str, at: datetime) -> StationCredential:
    """One that nobody had before."""
    password = secrets.token_urlsafe(24)
    return StationCredential(station, station_user(station), password, at + LASTS)


def due(
    kept: Iterable[KeptCredential], at: datetime, tried: Mapping[str, float], now: float
) -> list[str]:
    """Stations whose credential ends soon; `tried`: when each was tried last, as `now` counts."""
    return [
        one.station
        for one in kept
        if one.ends - at <= RENEWED_BEFORE and now - tried.get(one.station, now - AGAIN) >= AGAIN
    ]


class StationCredentials:
    """Of all that joined. `turn` is held while somebody is let in or cut off; `there` is set while
    there is a broker and all that it kept was heard.
    """

    def __init__(
        self,
        let_in: LetIn,
        accounts: BrokerAccounts,
        asker: StationAsker,
        turn: asyncio.Lock,
        is_online: Callable[[str], bool],
        there: asyncio.Event,
    ) -> None:
        self._let_in = let_in
        self._accounts = accounts
        self._asker = asker
        self._turn = turn
        self._is_online = is_online
        self._there = there
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._tried: dict[str, float] = {}
        self._cut: dict[str, datetime] = {}
        """Stations that are let in no more, and when what they came in with was over."""

    async def revoke(self, by: str, station: str, name: str) -> None:
        """Cut a station off at once; what it records runs on there.

        Raises:
            CommandFailed: the broker did not do it: the station is still let in.
            BadStore: it is cut off, and that could not be written.
        """
        async with self._turn:
            try:
                await self._accounts.remove_station(station)
            except CannotAccount as error:
                raise CommandFailed(f"{name} is still let in: {error}") from None
            deed = Deed(datetime.now(UTC), "access", by, f"{name} is cut off", station)
            await self._let_in.change_access(AccessChange(gone_credentials=[station], deeds=[deed]))
        log.info("%s cut %s (%s) off", by, name, station)

    async def rotate(self, by: str, station: str) -> datetime:
        """Give a station another credential, and the broker after it; when that ends.

        Raises:
            CommandFailed: it has its old one still; the text says why.
            BadStore: it has the new one, and until when could not be written.
        """
        known = self._let_in.credentials.get(station)
        if known is None:
            raise CommandFailed("it has not joined, so it has no credential of ours")
        at = datetime.now(UTC)
        given = new_credential(station, at)
        try:
            sealed = seal(known.public_key, encode(given))
            reply = await self._asker.ask(
                station, "station", "credential", {"sealed": sealed}, None, _ROTATE_SECONDS
            )
        except (NoAnswer, BadKey) as error:
            raise CommandFailed(f"it keeps its old one: {error}") from None
        if reply.error is not None:
            raise CommandFailed(f"it keeps its old one: {reply.error.message}")
        async with self._turn:
            if self._let_in.credentials.get(station) != known:
                raise CommandFailed("it was revoked, or joined anew, meanwhile")
            try:
                await self._accounts.set_password(given.username, given.password)
            except CannotAccount as error:
                raise CommandFailed(f"it keeps its old one: {error}") from None
            deed = Deed(at, "access", by, "has another credential", station)
            kept = evolve(known, at=at, ends=given.ends)
            await self._let_in.change_access(AccessChange(credentials=[kept], deeds=[deed]))
        return given.ends

    async def keep(self) -> None:
        """Renew for ever what ends soon."""
        while True:
            await asyncio.sleep(_TICK)
            await self.renew(datetime.now(UTC))

    async def end(self) -> None:
        """Let nobody in with what is over, for ever."""
        while True:
            await self._there.wait()
            await self.cut_off(datetime.now(UTC))
            at = datetime.now(UTC)
            left = (one.ends - at for one in self._let_in.credentials.values() if one.ends > at)
            next_end = min(left, default=timedelta(seconds=_TICK)).total_seconds()
            await asyncio.sleep(max(_AT_LEAST, min(_TICK, next_end)))

    async def renew(self, at: datetime) -> None:
        """Renew what ends soon, of stations that are there."""
        kept = list(self._let_in.credentials.values())
        for station in due(kept, at, self._tried, time.monotonic()):
            if self._is_online(station):
                await self._try_to_renew(station)

    async def _try_to_renew(self, station: str) -> bool:
        self._tried[station] = time.monotonic()
        try:
            await self.rotate("manager", station)
        except (Refusal, BadStore) as error:
            log.warning("the credential of %s is not renewed yet: %s", station, error)
            return False
        return True

    async def cut_off(self, at: datetime) -> None:
        """Cut off whose credential is over, unless they are there and take another at once."""
        over = [
            one
            for one in list(self._let_in.credentials.values())
            if one.ends <= at and self._cut.get(one.station) != one.ends
        ]
        await asyncio.gather(*(self._end(one) for one in over))

    async def _end(self, one: KeptCredential) -> None:
        async with self._at_once:
            # Nobody but the box itself can open another one.
            if self._is_online(one.station) and await self._try_to_renew(one.station):
                return
            try:
                async with self._turn:
                    if self._let_in.credentials.get(one.station) != one:
                        return  # it was revoked, or joined anew, meanwhile
                    await self._accounts.remove_station(one.station)
            except CannotAccount as error:
                log.warning("who comes in with what is over is still let in: %s", error)
                return
            self._cut[one.station] = one.ends
            log.warning("the credential of %s has ended: it is not let in", one.station)
