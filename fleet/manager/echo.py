"""Hears what was said before now: a word of our own comes back behind it.

Stations are heard over another connection than all others, so it takes a word on each.
"""

import asyncio
import secrets
from contextlib import suppress
from typing import Final

from fleet.mqtt import Disconnected, Filter, Link, Refused
from fleet.topics import Topics

_ECHO: Final = 1.0
_WORDS: Final = 3
"""So many words are sent, a second apart, before a request is answered in view of what is known.

A machine may be busy; and where somebody floods a broker, it drops words."""


class Echo:
    """Of one manager, over all its connections."""

    def __init__(self, topics: Topics, boot: str) -> None:
        name = f"manager-{boot[:8]}"
        self._own = topics.manager("reply", name)
        self._bare = topics.manager("reply", f"{name}-bare")
        """Where a word of our own comes back; this one on the connection of stations."""
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._link: Link | None = None

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Where our own words are heard."""
        return Filter(self._own), Filter(self._bare, bare=True)

    def connect(self, link: Link) -> None:
        """Send words over this connection."""
        self._link = link

    def disconnect(self) -> None:
        """No word goes anywhere any more."""
        self._link = None

    def received(self, payload: bytes) -> None:
        """A word of our own came back."""
        echo = self._echoes.get(payload)
        if echo is not None and not echo.done():
            echo.set_result(None)

    async def hear_all(self) -> None:
        """Hear what anybody said before now."""
        await asyncio.gather(self._hear(self._own), self._hear(self._bare))

    async def hear_stations(self) -> None:
        """Hear what stations said before now; what else came before a request has been heard."""
        await self._hear(self._bare)

    async def _hear(self, topic: str) -> None:
        link = self._link
        if link is None:
            return
        echo = secrets.token_bytes(8)
        heard = self._echoes[echo] = asyncio.get_running_loop().create_future()
        try:
            for _ in range(_WORDS):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_ECHO):
                        await link.publish(topic, echo)
                        await asyncio.shield(heard)
                        return
        except (Disconnected, Refused):
            pass  # late is better than never
        finally:
            del self._echoes[echo]
