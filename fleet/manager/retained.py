"""What the broker keeps of what is said, and what it shall forget.

Anybody chooses names in a topic, and each that the broker keeps takes memory: what is for those who
listen now is cleared as soon as it is seen.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from fleet.model import CommandFailed
from fleet.mqtt import Disconnected, Link, Refused
from fleet.topics import KEPT, Address, Topics

_CLEARED: Final = 500
"""Topics that are cleared at once; the others are found at the next look."""


def may_be_kept(address: Address | None) -> bool:
    """Whether the broker may keep what is said there, or it is for those who listen now."""
    if address is None:
        return False
    return address.kind not in ("reply", "request") and not address.kind.startswith("join-")


class RetainedMessages:
    """Clears topics, over all connections; `do` has work done beside."""

    def __init__(self, topics: Topics, do: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._topics = topics
        self._do = do
        self._link: Link | None = None
        self._clearing = 0

    def connect(self, link: Link) -> None:
        """There is a broker."""
        self._link = link

    def disconnect(self) -> None:
        """The connection has ended."""
        self._link = None

    def forget(self, topic: str) -> None:
        """Have the broker keep nothing there, if there is one."""
        if self._link is not None and self._clearing < _CLEARED:
            self._clearing += 1
            self._do(self._cleared(self._link.publish(topic, b"", retain=True)))

    async def _cleared(self, done: Awaitable[int]) -> None:
        try:
            await done
        finally:
            self._clearing -= 1

    async def forget_station(self, station: str) -> None:
        """Have the broker keep nothing of it; without a broker the next connect sees to it.

        Raises:
            CommandFailed: the connection ended, or the broker does not let us.
        """
        link = self._link
        if link is None:
            return
        try:
            for kind in KEPT:
                await link.publish(self._topics.station(station, kind), b"", retain=True)
        except (Disconnected, Refused) as error:
            raise CommandFailed(
                f"{station} is retired, but the broker keeps what it said ({error}); once the "
                "manager may write there (operators.acl), its next start clears it"
            ) from None
