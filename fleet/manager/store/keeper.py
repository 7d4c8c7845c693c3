"""Keeps the store in use: opens it, lets nobody wait without end, and says when it is away.

What is heard is remembered while it is, and written when it can be again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, TypeVar

from fleet.manager.store import BadStore, Deed, LastUse, ManagerStore, StoreAway
from fleet.manager.store.remembered import HeardAck, Remembered, SeenPresence
from fleet.manager.store.thread import StoreThread

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_KEEP: Final = timedelta(days=30)
"""How long acks and presence changes are kept."""
_PAUSE: Final = 1.0
"""Seconds between two writings of history, so that a wave of acks is one."""
_LOOK: Final = 30.0
_PRUNE: Final = timedelta(hours=1).total_seconds()
_ANSWER: Final = 2.0
"""Seconds within which it is said how the store is."""
_LAST_WORDS: Final = 5.0
_OPENING: Final = 120.0
"""Seconds to open the store: a large one is checked, and may be brought to a new shape."""


def readable(call: Callable[[], T], what: str) -> T | None:
    """What the store has, None where it is garbled: that is no reason not to begin."""
    try:
        return call()
    except ValueError as error:
        log.error("%s cannot be read from the store: %s", what, error)
        return None


class StoreKeeper:
    """One store. `settle` reads all of it anew, where a change may have come through unheard."""

    def __init__(self, settle: Callable[[], Awaitable[None]]) -> None:
        self.trouble: str | None = "the store is not open yet"
        """Why nothing can be written, None while it can."""
        self.remembered = Remembered(self._write_history)
        self._settle = settle
        self._thread = StoreThread()
        self._opened: ManagerStore | None = None
        self._checking: asyncio.Future[None] | None = None
        self._unsure = False
        """Whether something may be in the store that memory does not know."""

    @property
    def opened(self) -> ManagerStore:
        """The store. Raises `StoreAway` where it is not open."""
        if self._opened is None:
            raise StoreAway(self.trouble or "the store is not open")
        return self._opened

    @property
    def place(self) -> str:
        """Where the store is, without a password."""
        return self._opened.place if self._opened else "not open"

    async def open(self, make: Callable[[], ManagerStore]) -> LastUse:
        """Open the store with `make` and read it; when it was in use before.

        Raises:
            BadStore: it cannot be used; a `StoreAway` if only for now.
        """
        try:
            self._opened = await self._thread.within(_OPENING, make)
            self._thread.give_up = self._opened.give_up
            last_use = await self._thread.run(self._opened.last_use)
            await self._settle()
            self.trouble = None
            with suppress(StoreAway):  # what can be read is enough to begin with
                await self._check()
        except BadStore as error:
            self.trouble = str(error)
            if self._opened is not None:
                store, self._opened = self._opened, None
                with suppress(StoreAway):
                    await self._thread.run(store.close)
            raise
        return last_use

    async def close(self) -> None:
        """Write what is left and close the store."""
        if self._opened is not None:
            try:
                async with asyncio.timeout(_LAST_WORDS):
                    await self.remembered.flush()
                    await self._thread.run(self._opened.close)
            except (BadStore, TimeoutError) as error:
                log.error("the last of the history is lost: %s", error or "no answer in time")
        self._thread.end()

    async def keep(self, writing: asyncio.Lock) -> None:
        """Write history for ever, and see to the store; `writing` is held by who changes it."""
        looked = pruned = -_PRUNE
        said: str | None = None
        while True:
            now = asyncio.get_running_loop().time()
            try:
                await self.remembered.flush()
                if now - looked >= _LOOK:
                    await self.check()
                    looked = now
                if now - pruned >= _PRUNE:
                    await self.run(self.opened.history.prune, datetime.now(UTC) - _KEEP)
                    pruned = now
                if self._unsure:
                    async with writing:
                        await self._be_sure()
                said = None
            except BadStore as error:
                looked = -_PRUNE
                if not isinstance(error, StoreAway) and str(error) != said:
                    log.error("%s", error)
                said = str(error)
            await asyncio.sleep(_PAUSE)

    async def check(self) -> None:
        """Make sure that the store can be written; who asks meanwhile gets the same answer.

        Raises:
            BadStore: it cannot be.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.ensure_future(self._check())
            self._checking.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._checking)

    async def ailing(self) -> str | None:
        """Why the store cannot be used now, None where it can; answers within two seconds."""
        if self._opened is None:
            return self.trouble
        try:
            async with asyncio.timeout(_ANSWER):
                await self.check()
        except BadStore as error:
            return str(error)
        except TimeoutError:
            return self.trouble or f"the store does not answer within {_ANSWER:.0f} s"
        return None

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a call into the store returns.

        Raises:
            BadStore: as the call; a `StoreAway` also where it does not come back in time.
        """
        try:
            return await self._thread.run(call, *args, **kwargs)
        except StoreAway as error:
            if self.trouble is None:
                log.error("%s; history is remembered until it can be written", error)
            self.trouble = str(error)
            raise

    async def change(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write something that memory has to follow.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        if self._unsure:
            await self._be_sure()
        try:
            await self.run(call, *args, **kwargs)
            self._written()
        except asyncio.CancelledError:
            self._unsure = True
            raise
        except StoreAway as error:
            self._unsure = self._unsure or error.unsure
            raise

    async def _be_sure(self) -> None:
        await self._settle()
        self._unsure = False

    async def _check(self) -> None:
        await self.run(self.opened.check, datetime.now(UTC))
        self._written()

    async def _write_history(
        self, acks: Sequence[HeardAck], presences: Sequence[SeenPresence], called: Sequence[Deed]
    ) -> None:
        await self.run(self.opened.history.note, acks, presences, called)
        self._written()

    def _written(self) -> None:
        if self.trouble is not None:
            log.info("the store can be written again")
        self.trouble = None
