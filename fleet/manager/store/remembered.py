"""Acks and presence changes on their way into the store: some at a time, none lost in an outage."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeVar

from fleet.manager.store.records import BadStore, StoreAway
from fleet.model import Ack

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST: Final = 20_000
"""Acks, and presence changes, that wait at most; the oldest go first."""
_BATCH: Final = 500

HeardAck = tuple[str, datetime, Ack]
"""Station, when it was heard by our clock, and what it said."""
SeenPresence = tuple[str, datetime, str, str | None]
"""Station, when by our clock, state, boot."""


class Remembered:
    """What waits to be written. `write` keeps both lists, and raises `BadStore`."""

    def __init__(
        self,
        write: Callable[[Sequence[HeardAck], Sequence[SeenPresence]], Awaitable[None]],
    ) -> None:
        self._write = write
        self._acks: deque[HeardAck] = deque(maxlen=MOST)
        self._presences: deque[SeenPresence] = deque(maxlen=MOST)
        self._flushing = asyncio.Lock()

    def ack(self, station: str, ack: Ack) -> None:
        """Remember an ack that was heard now."""
        self._acks.append((station, datetime.now(UTC), ack))

    def presence(self, station: str, state: str, boot: str | None) -> None:
        """Remember a change of presence that was noticed now."""
        self._presences.append((station, datetime.now(UTC), state, boot))

    async def flush(self) -> None:
        """Write it, some at a time so that nobody waits long for the store.

        Raises:
            StoreAway: it cannot be written for now; what was remembered stays so.
        """
        async with self._flushing:
            while self._acks or self._presences:
                acks = list(islice(self._acks, _BATCH))
                presences = list(islice(self._presences, _BATCH))
                try:
                    await self._write(acks, presences)
                except StoreAway:
                    raise
                except BadStore as error:
                    log.error("some history is left out: %s", error)
                _drop(self._acks, acks)
                _drop(self._presences, presences)


def _drop(waiting: deque[T], written: Sequence[T]) -> None:
    """Take out what was written; what came meanwhile may have pushed some of it out already."""
    for one in written:
        if waiting and waiting[0] is one:
            waiting.popleft()
