"""Configs on their way to the broker: a bounded number at once, the newest of each station.

What waits is a station, not a payload: when its turn comes it gets what is wanted then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from fleet.mqtt import Disconnected, Link

log = logging.getLogger(__name__)

_IN_FLIGHT: Final = 100


class Outbox:
    """Publishes configs over one link after another.

    `payload` gives what is wanted of a station, None where nothing is; `topic` where it goes.
    """

    def __init__(self, payload: Callable[[str], bytes | None], topic: Callable[[str], str]) -> None:
        self._payload = payload
        self._topic = topic
        self._link: Link | None = None
        self._queue: deque[str] = deque()
        self._waiting: set[str] = set()
        """What is in the queue, so that nobody stands in it twice."""
        self._in_flight = 0

    def connect(self, link: Link) -> None:
        """Publish over `link` from now on."""
        self._link, self._in_flight = link, 0

    def disconnect(self) -> None:
        """Forget what waits: whoever still needs it is found again after the next connect."""
        self._link = None
        self._queue.clear()
        self._waiting.clear()

    def push(self, stations: Iterable[str]) -> None:
        """Publish what is wanted of each of `stations`; without a link nothing waits."""
        if self._link is None:
            return
        for station in stations:
            if station not in self._waiting:
                self._waiting.add(station)
                self._queue.append(station)
        self._pump()

    def _pump(self) -> None:
        link = self._link
        while link is not None and self._queue and self._in_flight < _IN_FLIGHT:
            station = self._queue.popleft()
            self._waiting.discard(station)
            payload = self._payload(station)
            if payload is None:
                continue
            self._in_flight += 1
            sent = asyncio.ensure_future(link.publish(self._topic(station), payload, retain=True))
            sent.add_done_callback(partial(self._sent, link))

    def _sent(self, link: Link, done: asyncio.Future[int]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, Disconnected):
            log.error("a config could not be published: %s", error)
        if link is self._link:
            self._in_flight -= 1
            self._pump()
