"""Hears all that stations said before now: a word of our own comes back behind it."""

import asyncio
import secrets
from typing import Final

from fleet.mqtt import Disconnected, Filter, Link, Refused
from fleet.topics import Topics

_ECHO: Final = 1.0
"""Seconds that a request waits at most for what was said before it."""


class Echo:
    """Of one manager, over all its connections."""

    def __init__(self, topics: Topics, boot: str) -> None:
        name = f"manager-{boot[:8]}"
        self._topics = {
            topics.manager("reply", name): False,
            topics.manager("reply", f"{name}-bare"): True,
        }
        """Where a word of our own comes back, and whether on the bare connection."""
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._link: Link | None = None

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Where our own words are heard."""
        return tuple(Filter(topic, bare=bare) for topic, bare in self._topics.items())

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
        """Hear what was said before now: stations come over another connection than requests.

        A word of our own goes through the broker, and comes back on each behind what was said.
        """
        link, loop = self._link, asyncio.get_running_loop()
        if link is None:
            return
        echoes = [secrets.token_bytes(8) for _ in self._topics]
        self._echoes |= {echo: loop.create_future() for echo in echoes}
        waiting = [self._echoes[echo] for echo in echoes]
        try:
            async with asyncio.timeout(_ECHO):
                for topic, echo in zip(self._topics, echoes, strict=True):
                    await link.publish(topic, echo)
                await asyncio.gather(*waiting)
        except (TimeoutError, Disconnected, Refused):
            pass  # late is better than never
        finally:
            for echo in echoes:
                del self._echoes[echo]
