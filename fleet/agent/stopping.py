"""What somebody has stopped by hand on this station, over restarts of everything.

The manager says what is stopped; it is kept on disk before it is done, and ends by the station's
own clock, so that neither manager nor broker has to be there for that. That clock may be years
behind where a box was switched on: then nothing is stopped again that was over, nor for longer than
somebody said.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from fleet.agent.config.store import StateDirectory
from fleet.agent.engine.clock import Clock, Timer
from fleet.model import StopByHand, StopList, plain
from fleet.wire import decode

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 60.0
"""Seconds after which the time of day is looked at again at the latest: it may be set meanwhile."""


class StopKeeper:
    """All that is stopped here; `changed` is given it whenever it is something else."""

    def __init__(
        self,
        store: StateDirectory,
        changed: Callable[[Sequence[StopByHand]], None],
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._changed = changed
        self._clock = clock or Clock()
        self._timer: Timer | None = None
        self._begun: dict[StopByHand, float] = {}
        """The monotonic second since which each holds here."""
        self._saving = asyncio.Lock()
        self._forgetting: asyncio.Task[None] | None = None
        self.stops: tuple[StopByHand, ...] = ()

    def begin(self) -> None:
        """Go on with what was stopped when an earlier agent ended."""
        self._take(self._store.stops())

    async def received(self, payload: bytes) -> None:
        """Stop what the manager says, and nothing else. An empty payload says nothing.

        Raises:
            Undecodable: it is no such list; nothing has changed.
        """
        if not payload:
            return
        said = decode(payload, StopList)
        if said.stops == self.stops:
            return
        async with self._saving:
            try:
                await asyncio.to_thread(self._store.save_stops, said)
            except OSError as error:
                log.error("what is stopped is forgotten with this agent: %s", plain(error))
            self._take(said.stops)

    def close(self) -> None:
        """End no stop any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _take(self, stops: Sequence[StopByHand]) -> None:
        self.close()
        now = self._clock.monotonic()
        self._begun = {one: self._begun.get(one, now) for one in stops}
        left = {one: self._left(one) for one in stops}
        self.stops = tuple(one for one, seconds in left.items() if seconds > 0)
        self._changed(self.stops)
        if any(one.until is not None for one in self.stops):
            first = min(left[one] for one in self.stops)
            self._timer = self._clock.call_later(min(LOOK_SECONDS, first), self._look)

    def _left(self, one: StopByHand) -> float:
        """The seconds for which it still holds."""
        if one.until is None:
            return inf
        whole = (one.until - one.at).total_seconds()
        held = self._clock.monotonic() - self._begun[one]
        return min((one.until - self._clock.now()).total_seconds(), whole - held)

    def _look(self) -> None:
        before = self.stops
        self._take(before)
        over = [one for one in before if one not in self.stops]
        for one in over:
            log.info("%s/%s is not stopped any more: its time is over", *one.key)
        if over:
            self._forgetting = asyncio.create_task(self._forget())

    async def _forget(self) -> None:
        async with self._saving:
            said = StopList(self._clock.now(), self.stops)
            try:
                await asyncio.to_thread(self._store.save_stops, said)
            except OSError as error:
                log.error("what is not stopped any more may be again: %s", plain(error))
