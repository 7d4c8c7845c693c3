"""All that stations recorded: what they tell is gathered, and each talk is judged by it."""

import asyncio
import logging
import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from fleet.manager.asking import StationAsker
from fleet.manager.recordings.gathering import WRONG, Gathering
from fleet.manager.recordings.receipts import RoomNow
from fleet.manager.recordings.times import (
    RecordedTime,
    read_time,
    receipts_of,
    uncollected,
)
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import BadStore
from fleet.manager.store.ledger import Ledger
from fleet.model import PresenceState, State, StopByHand
from fleet.operations.recordings import CutMark, Receipt
from fleet.schedule import Schedule, ScheduledTalk

log = logging.getLogger(__name__)

_TICK: Final = 1.0
_FRESH: Final = 5.0
"""Seconds for which today's receipts are good, whatever is heard."""
_SHARE: Final = 0.05
"""Of the time is spent on them at most."""
_OLD: Final = 30.0
"""And for which they are where nothing is."""
_DAY: Final = timedelta(hours=18)
_RECORDING: Final = ("record", "ingest")
"""Roles that write files."""
_AT_REST: Final = (State.BACKOFF, State.FAILED, State.STOPPED, State.COMPLETED)


class Recordings:
    """All that stations recorded."""

    def __init__(self, ledger: Ledger, inventory: Inventory, asker: StationAsker) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self.gathering = Gathering(ledger, inventory, asker)
        self._today: tuple[Receipt, ...] = ()
        self._today_at = -math.inf
        self._today_of: Schedule | None = None
        self._today_took = 0.0
        """Seconds to make them."""
        self._marks = 0
        """How many times somebody has set one."""
        self._today_changes = 0
        """How many times it had when today's receipts were made."""

    @property
    def changes(self) -> int:
        """How many times what is known has changed."""
        return self.gathering.changes + self._marks

    async def keep(self) -> None:
        """Write down, ask and judge for ever."""
        while True:
            await self.gathering.write()
            self.gathering.ask()
            with suppress(BadStore):
                await self._look_at_today()
                await self.gathering.forget()
            await asyncio.sleep(_TICK)

    async def mark(self, mark: CutMark) -> None:
        """Keep a mark.

        Raises:
            BadStore: it could not be written.
        """
        await self._ledger.keeper.run(self._ledger.keeper.opened.recordings.mark, mark)
        self._marks += 1
        self._today_at = -math.inf

    async def receipts(
        self, talks: Iterable[tuple[str, ScheduledTalk]], now: datetime
    ) -> tuple[Receipt, ...]:
        """One for each (room, talk), by time.

        Raises:
            BadStore: the store cannot be read.
        """
        wanted = sorted(talks, key=lambda one: (one[1].begin, one[0]))
        if not wanted:
            return ()
        stands = self.rooms_now({room for room, _ in wanted})
        with uncollected():
            found = await self.of_time(
                min(talk.begin for _, talk in wanted), max(talk.end for _, talk in wanted)
            )
            made = await receipts_of(wanted, found, stands, now)
            del found
        return made

    def rooms_now(self, rooms: Iterable[str]) -> dict[str, RoomNow]:
        """How it stands in each of these rooms; every station is looked at once."""
        stops: dict[str, list[tuple[str, StopByHand]]] = {room: [] for room in rooms}
        known: dict[str, set[bool | None]] = {room: set() for room in stops}
        ahead: dict[str, dict[str, float]] = {room: {} for room in stops}
        for station, stop in self._ledger.stops.all():
            facts = self._ledger[station].facts
            if facts.room in stops:
                stops[facts.room].append((facts.name or station, stop))
        for station in self._ledger:
            facts = self._ledger[station].facts
            if facts.room in stops:
                known[facts.room].add(self._records(station))
                if abs(seconds := self.gathering.ahead(station)) > WRONG:
                    ahead[facts.room][facts.name or station] = round(seconds)
        return {
            room: RoomNow(
                tuple(held),
                True if True in known[room] else None if None in known[room] else False,
                ahead[room],
            )
            for room, held in stops.items()
        }

    def _records(self, station: str) -> bool | None:
        """Whether it writes files now; None where nobody knows."""
        heard = self._inventory.get(station)
        if heard is None or heard.state is not PresenceState.ONLINE or heard.status is None:
            return None
        roles = heard.status.roles
        every = [one for role in _RECORDING for one in roles.get(role, {}).values()]
        return any(one.state not in _AT_REST for one in every)

    async def of_time(self, begin: datetime, end: datetime) -> RecordedTime:
        """All that has to do with that time.

        Raises:
            BadStore: the store cannot be read.
        """
        await self.gathering.write()
        found = await read_time(self._ledger.keeper, begin, end, self.gathering.recording)
        self.gathering.want_copies(found.uncopied)
        return found

    @property
    def decided(self) -> tuple[Receipt, ...]:
        """Those of today that are decided, as they were looked at last."""
        return tuple(one for one in self._today if one.verdict is not None)

    def _now(self) -> datetime:
        """In the conference's time zone, in which receipts speak."""
        return datetime.now(self._ledger.rooms.zone)

    async def _look_at_today(self) -> None:
        """Make the receipts of the talks around now, where something may have changed.

        Raises:
            BadStore: the store cannot be read.
        """
        loop, now = asyncio.get_running_loop(), self._now()
        schedule = self._ledger.rooms.schedule
        age = loop.time() - self._today_at
        changed = self.changes != self._today_changes or schedule is not self._today_of
        fresh = min(_OLD, max(_FRESH, self._today_took / _SHARE))
        if age < (fresh if changed else _OLD):
            return
        began = loop.time()
        near = (
            (room, talk)
            for room, talk in self._ledger.rooms.all_talks()
            if now - _DAY <= talk.end and talk.begin <= now + _DAY
        )
        self._today_changes = self.changes
        self._today = await self.receipts(near, now)
        self._today_at, self._today_of = loop.time(), schedule
        self._today_took = self._today_at - began
