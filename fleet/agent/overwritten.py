"""What somebody else wrote on a station's own topics, so that the station says again what is so."""

import asyncio
from collections.abc import Mapping
from typing import Final

from fleet.model import Ack, Presence, PresenceState, Registration, Status
from fleet.mqtt import Filter, Message
from fleet.topics import Topics
from fleet.wire import Undecodable, decode

_SAID: Final[Mapping[str, type[Presence | Registration | Status | Ack]]] = {
    "registration": Registration,
    "ack": Ack,
    "status": Status,
    "presence": Presence,
}


class Overwritten:
    """The kinds of what a station says that are not on the broker as it said them."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._kinds: set[str] = set()
        self._some = asyncio.Event()

    @staticmethod
    def filters(topics: Topics, station: str) -> tuple[Filter, ...]:
        """What to listen to. A late will has our name, so presence is heard whoever says it."""
        return tuple(
            Filter(
                topics.station(station, kind),
                as_published=True,
                live=True,
                foreign=kind != "presence",
            )
            for kind in _SAID
        )

    def hear(self, kind: str, message: Message) -> bool:
        """Hand messages here; whether they are of a kind that is heard here.

        What another box says that uses our id is left to the manager to tell.
        """
        if kind not in _SAID:
            return False
        if message.retain and self._is_wrong(kind, message.payload):
            self._kinds.add(kind)
            self._some.set()
        return True

    def _is_wrong(self, kind: str, payload: bytes) -> bool:
        try:
            said = decode(payload, _SAID[kind])
        except Undecodable:  # or empty: cleared
            return True
        if isinstance(said, Presence):
            return said.state is not PresenceState.ONLINE
        return said.boot == self._boot

    async def take(self) -> frozenset[str]:
        """The kinds to say again, once there are some."""
        await self._some.wait()
        self._some.clear()
        kinds, self._kinds = frozenset(self._kinds), set()
        return kinds
