"""Tells stations what people have stopped on them, until they do so, and when that is over.

A station is told whenever what the store has is not what it was told last, once more where somebody
cleared or overwrote that, and again and again while what it keeps stopped is something else.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Final

from fleet.manager.rollouts.convergence import AGAIN, PACE
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import BadStore
from fleet.manager.store.ledger import Ledger
from fleet.model import PresenceState, StopByHand, StopList
from fleet.mqtt import Disconnected, Link, Refused
from fleet.topics import Topics
from fleet.wire import encode

log = logging.getLogger(__name__)

_AT_ONCE: Final = 50
"""Stations that are told in one go, so that nothing else waits."""


class StopPusher:
    """Publishes over one connection after another."""

    def __init__(self, topics: Topics, ledger: Ledger, inventory: Inventory) -> None:
        self._topics = topics
        self._ledger = ledger
        self._inventory = inventory
        self._link: Link | None = None
        self._told: dict[str, tuple[tuple[StopByHand, ...], float]] = {}
        """What each station was told over this connection, and when."""
        self._wake = asyncio.Event()

    def connect(self, link: Link) -> None:
        """All that was ever told is told once more: the broker may have lost it."""
        self._link = link
        self._told.clear()
        self._wake.set()

    def disconnect(self) -> None:
        """Nobody can be told."""
        self._link = None

    def changed(self) -> None:
        """Something was stopped, or is not any more."""
        self._wake.set()

    def overwritten(self, station: str) -> None:
        """Somebody cleared or overwrote what the station was told."""
        stops, at = self._told.get(station, ((), 0.0))
        if time.monotonic() - at >= PACE:
            self._told.pop(station, None)
        else:  # looked at again once it may be told anew
            self._told[station] = stops, at - AGAIN + PACE
        self._wake.set()

    async def due_within(self, seconds: float) -> None:
        """Wait so long, or until something has changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def work(self) -> None:
        """Tell whoever has to be told."""
        now = datetime.now(UTC)
        for number, station in enumerate(list(self._ledger.stops)):
            await self._adopt(station, now)
            stops = self._ledger.stops.of(station, now)
            if not self._ledger.stops.is_doubted(station) and self._is_due(station, stops):
                await self._tell(station, stops, now)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _adopt(self, station: str, now: datetime) -> None:
        """Keep what only the station knows of: the store is an older one, or another."""
        heard = self._inventory.get(station)
        said = heard.status.stops if heard is not None and heard.status is not None else None
        if said is None:
            return
        config, stops = self._ledger[station].config, self._ledger.stops
        wanted = config.roles if config is not None else {}
        unknown = [
            one
            for one in stops.unknown(station, said, now)
            if one.instance in wanted.get(one.role, {})
        ]
        if stops.is_doubted(station):
            unknown += stops.corrected(station, said, now)
        try:
            if unknown:
                await self._ledger.stop(station, unknown)
            stops.trust(station)
        except BadStore as error:
            log.error("what is stopped on %s cannot be kept: %s", station, error)

    def _is_due(self, station: str, stops: tuple[StopByHand, ...]) -> bool:
        told, at = self._told.get(station, (None, 0.0))
        if told != stops:
            return True
        heard = self._inventory.get(station)
        if heard is None or heard.status is None or heard.status.stops in (None, stops):
            return False
        online = self._inventory.presence(station) is PresenceState.ONLINE
        return online and time.monotonic() - at >= AGAIN

    async def _tell(self, station: str, stops: tuple[StopByHand, ...], now: datetime) -> None:
        link = self._link
        if link is None:
            return
        self._told[station] = stops, time.monotonic()
        try:
            topic = self._topics.stops(station)
            await link.publish(topic, encode(StopList(now, stops)), retain=True)
        except Refused as error:
            log.error("%s cannot be told what is stopped there: %s", station, error)
        except Disconnected:
            self._told.pop(station, None)
