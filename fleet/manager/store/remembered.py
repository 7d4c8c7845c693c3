"""What is heard on its way into the store: some at a time, none lost in an outage."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeVar

from fleet.manager.store.records import CALLED, BadStore, Deed, StoreAway
from fleet.model import Ack, DirectCall, printable

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST: Final = 20_000
"""Of each kind, that wait at most; the oldest go first."""
_BATCH: Final = 500

HeardAck = tuple[str, datetime, Ack]
"""Station, when it was heard by our clock, and what it said."""
SeenPresence = tuple[str, datetime, str, str | None]
"""Station, when by our clock, state, boot."""
Write = Callable[[Sequence[HeardAck], Sequence[SeenPresence], Sequence[Deed]], Awaitable[None]]


class Remembered:
    """What waits to be written. `write` keeps all three lists, and raises `BadStore`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._acks: deque[HeardAck] = deque(maxlen=MOST)
        self._presences: deque[SeenPresence] = deque(maxlen=MOST)
        self._called: deque[Deed] = deque(maxlen=MOST)
        self._flushing = asyncio.Lock()

    def ack(self, station: str, ack: Ack) -> None:
        """Remember an ack that was heard now."""
        self._acks.append((station, datetime.now(UTC), ack))

    def presence(self, station: str, state: str, boot: str | None) -> None:
        """Remember a change of presence that was noticed now."""
        self._presences.append((station, datetime.now(UTC), state, boot))

    def called(self, station: str, call: DirectCall) -> None:
        """Remember what a station was told past the manager, if that is not written yet."""
        self._called.append(
            Deed(call.at, CALLED, printable(call.by), printable(call.what), station)
        )

    async def flush(self) -> None:
        """Write it, some at a time so that nobody waits long for the store.

        Raises:
            StoreAway: it cannot be written for now; what was remembered stays so.
        """
        async with self._flushing:
            while self._acks or self._presences or self._called:
                acks = list(islice(self._acks, _BATCH))
                presences = list(islice(self._presences, _BATCH))
                called = list(islice(self._called, _BATCH))
                try:
                    await self._write(acks, presences, called)
                except StoreAway:
                    raise
                except BadStore as error:
                    log.error("some history is left out: %s", error)
                _drop(self._acks, acks)
                _drop(self._presences, presences)
                _drop(self._called, called)


def _drop(waiting: deque[T], written: Sequence[T]) -> None:
    """Take out what was written; what came meanwhile may have pushed some of it out already."""
    for one in written:
        if waiting and waiting[0] is one:
            waiting.popleft()
