"""What somebody has stopped by hand on this station, over restarts of everything.

The manager says what is stopped; it is kept on disk before it is done, and ends by the station's
own clock, so that neither manager nor broker has to be there for that.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
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
        now = self._clock.now()
        self.stops = tuple(one for one in stops if one.holds(now))
        self._changed(self.stops)
        ends = [one.until for one in self.stops if one.until is not None]
        if ends:
            self._timer = self._clock.call_later(_seconds(min(ends), now), self._look)

    def _look(self) -> None:
        for one in self.stops:
            if not one.holds(self._clock.now()):
                log.info("%s/%s is not stopped any more: its time is over", *one.key)
        self._take(self.stops)


def _seconds(until: datetime, now: datetime) -> float:
    return min(LOOK_SECONDS, max(0.0, (until - now).total_seconds()))
