"""That this manager is here, and that it is the one: of two, the one that began later stays."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from fleet.model import INTERVAL, Presence, PresenceState
from fleet.mqtt import Link, Message, Refused, Will
from fleet.wire import Undecodable, as_it_travels, decode, encode

log = logging.getLogger(__name__)

_CATCH_UP: Final = 30.0
"""Seconds in which our own presence comes back, once nothing more comes that the broker kept."""
_AGAIN: Final = 1.0
"""Seconds between two times at least that an overwritten presence is said again."""


class OwnPresence:
    """What one manager says of itself at `topic`, over all its connections."""

    def __init__(
        self,
        topic: str,
        do: Callable[[Coroutine[Any, Any, None]], None],
        displaced: Callable[[], None],
    ) -> None:
        """`do` has something done in the background; `displaced` is called once, if ever."""
        self.boot = secrets.token_hex(8)
        self.displaced = False
        """Whether a manager that began later took over."""
        self.caught_up = asyncio.Event()
        """Set while all is known that the broker kept when we connected."""
        self._began = as_it_travels(datetime.now(UTC))
        self._epoch = 0
        self._topic = topic
        self._do = do
        self._on_displaced = displaced
        self._link: Link | None = None
        self._leaving = False
        self._again: asyncio.TimerHandle | None = None
        self._said_again = 0.0

    def will(self) -> Will:
        """What the broker says of us when the connection about to be made dies."""
        self._epoch += 1
        return Will(self._topic, self._payload(PresenceState.LOST))

    async def catch_up(self, link: Link, kept: Callable[[], int]) -> None:
        """Say that we are here, and wait until that comes back behind all that the broker kept.

        `kept`: how many messages have come in that it kept.

        Raises:
            Disconnected: the connection ended.
            Refused: we may not say it, or do not hear it.
        """
        self._link = link
        await self._say(link, PresenceState.ONLINE)
        while not self.caught_up.is_set():
            before = kept()
            try:
                async with asyncio.timeout(_CATCH_UP):
                    await self.caught_up.wait()
            except TimeoutError:
                if kept() == before:
                    why = "our own presence does not come back to us"
                    raise Refused(self._topic, why) from None

    def disconnect(self) -> None:
        """The connection has ended."""
        self._link = None
        self.caught_up.clear()

    def leave(self) -> None:
        """Say no more that we are here."""
        self._leaving = True

    async def say_goodbye(self) -> None:
        """Say that we are not here any more, unless another manager is.

        Raises:
            Disconnected: the connection ended.
            Refused: we may not say it.
        """
        if self._link is not None and not self.displaced:
            await self._say(self._link, PresenceState.OFFLINE)

    def heard(self, message: Message) -> None:
        """Somebody, or we ourselves, said that a manager is here or is not.

        Raises:
            Undecodable: it makes no sense.
        """
        if message.retain:
            return
        try:
            said = decode(message.payload, Presence) if message.payload else None
        except Undecodable:
            self._say_again()
            raise
        if said is None or said.state is not PresenceState.ONLINE:
            self._say_again()
        elif said.boot == self.boot:
            if said.epoch == self._epoch:
                self.caught_up.set()
        elif (said.at, said.boot) > (self._began, self.boot):
            log.error(
                "a manager that began later (boot %s) is here: leaving the stations to it",
                said.boot,
            )
            self.displaced = True
            self._on_displaced()
            self.caught_up.set()
        elif self._link is not None:
            log.warning(
                "a manager that began earlier (boot %s) is here: it has to leave", said.boot
            )
            self._say_again()

    def _payload(self, state: PresenceState) -> bytes:
        return encode(Presence(state, self.boot, self._epoch, self._began, INTERVAL))

    async def _say(self, link: Link, state: PresenceState) -> None:
        await link.publish(self._topic, self._payload(state), retain=True)

    def _say_again(self) -> None:
        """Somebody says we are not here: say that we are, at once and at most once a second."""
        if self._again is not None or not self.caught_up.is_set():
            return
        loop = asyncio.get_running_loop()
        wait = max(0.0, self._said_again + _AGAIN - loop.time())

        def say() -> None:
            self._again, self._said_again = None, loop.time()
            if self._link is not None and not self._leaving:
                self._do(self._say(self._link, PresenceState.ONLINE))

        self._again = loop.call_later(wait, say)
