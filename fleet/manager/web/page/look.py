"""Gathers what the manager knows at one moment into the board."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager import report
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.readings import Readings
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.page.cards import Board, Pictures, Room, board
from fleet.manager.web.page.restarts import Totals, restarted, restarts
from fleet.manager.web.page.seen import Seen, Use
from fleet.manager.web.page.since import Began

_STEP: Final = 1.0
"""Seconds by which the machine's clock may wander before moments are counted anew."""


_BREATH: Final = 100
"""Stations after which others get their turn."""


class Look:
    """Reads ledger, inventory, figures and thumbnails; remembers when troubles began
    and what was restarted."""

    def __init__(
        self, ledger: Ledger, inventory: Inventory, figures: Figures, thumbnails: Thumbnails
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._figures = figures
        self._thumbnails = thumbnails
        self._began: Began = {}
        self._restarted: dict[str, dict[tuple[str, str], Totals]] = {}
        self._ids: dict[str, str] = {}
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Unix seconds, in step with the monotonic clock by which everything was heard."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) > _STEP:
            self._offset = offset
        return time.monotonic() + self._offset

    async def board(self) -> Board:
        """Everything as it is now; a large fleet holds nobody up."""
        header = self._ledger.rooms.header
        now = datetime.fromtimestamp(self.now(), ZoneInfo(header.timezone or "UTC"))
        stations, before = [], self._restarted
        self._restarted = {}
        for number, id_ in enumerate(report.shown(self._ledger, self._inventory)):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            self._restarted[id_] = self._totals(id_, before.get(id_, {}))
            stations.append(self._seen(id_, now))
        stations.sort(key=lambda one: one.name)
        self._ids = {one.name: one.status.id for one in stations}
        rooms = {**self._ledger.rooms.rooms, **{one.status.room or "": None for one in stations}}
        shown, self._began = await asyncio.to_thread(  # pure, so that a thread can do it
            board,
            header.title or header.id or "fleet",
            {name: self._room(name, now) for name in rooms},
            stations,
            self._pictures(),
            self._inventory.connected,
            self._began,
            now,
        )
        return shown

    def picture(self, station: str, role: str, instance: str) -> bytes | None:
        """The newest picture of an instance of the station with this name."""
        found = self._thumbnails.get(self._ids.get(station, ""), role, instance)
        return found.jpeg if found else None

    def _room(self, name: str, now: datetime) -> Room:
        if not name:
            return Room("No room", Use(in_use=True, talk=False))
        rooms, at = self._ledger.rooms, now.astimezone(UTC)
        talk = rooms.talk_on(name, at)
        known = rooms.rooms.get(name)
        title = known.title if known else None
        return Room(title or name, Use(talk or rooms.in_use(name, at), talk))

    def _seen(self, id_: str, now: datetime) -> Seen:
        entry, heard = self._ledger[id_], self._inventory.get(id_)
        presence = self._inventory.presence(id_)
        latest = self._figures.latest(id_, time.monotonic())
        room = entry.facts.room
        return Seen(
            report.station_status(id_, entry, heard, presence, now),
            entry.facts.seat,
            entry.facts.where,
            entry.config.roles if entry.config else {},
            Readings.of(latest[0], latest[1] + self._offset) if latest else Readings.none(),
            self._ledger.rooms.maintenance(id_, room, now.astimezone(UTC)) is not None,
            heard is not None or not self._inventory.connected,
            heard is not None and heard.conflict,
            {key: restarts(totals) for key, totals in self._restarted[id_].items()},
        )

    def _totals(
        self, id_: str, before: dict[tuple[str, str], Totals]
    ) -> dict[tuple[str, str], Totals]:
        heard = self._inventory.get(id_)
        if heard is None or heard.status is None:
            return before
        return {
            (role, name): restarted(before.get((role, name), ()), one, time.monotonic())
            for role, instances in heard.status.roles.items()
            for name, one in instances.items()
        }

    def _pictures(self) -> Pictures:
        return {
            name: {
                key: evolve(picture, at=picture.at + self._offset)
                for key, picture in self._thumbnails.of(id_).items()
            }
            for name, id_ in self._ids.items()
        }
