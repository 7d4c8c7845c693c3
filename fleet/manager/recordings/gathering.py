"""Hears what stations recorded, asks for what was missed, and forgets it once it is long gone.

A station tells of a segment as soon as it is closed. Whatever nobody heard, it is asked for: when
it comes online, and when its numbers have a hole.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.recordings.forgetting import REMEMBERED, forgettable
from fleet.manager.recordings.known import KnownIndex
from fleet.manager.recordings.times import RecordingStation
from fleet.manager.stations.allowances import RECORDED_BURST, RECORDED_PER_SECOND, Allowances
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import BadStore, TimeSpan
from fleet.manager.store.ledger import Ledger
from fleet.model import PresenceState, Segment, SegmentList
from fleet.strict import Mistakes
from fleet.wire import encode, from_json

log = logging.getLogger(__name__)

_ASK_AGAIN: Final = 60.0
"""Seconds between two questions to a station that has told all, or cannot tell."""
_RETRY: Final = 5.0
"""And to one that did not answer, or of which something is missing still."""
_COPIES_AGAIN: Final = 30.0
_ALL_COPIES_AGAIN: Final = 600.0
"""A box may have ten thousand."""
_FEW_COPIES: Final = 20
"""Files that are asked for one by one in between."""
_MOST_UNCOPIED: Final = 1000
_PATIENCE: Final = 10.0
_MOST_WAITING: Final = 20_000
"""Segments that wait to be written; what is lost here is asked for again."""
_FORGET_SECONDS: Final = 3600.0
_MOST_FORGOTTEN: Final = 1000
"""In one transaction, so that others have the store in between."""
WRONG: Final = 2.0
"""Seconds by which a station's clock is wrong, and not only its message late."""


class Gathering:
    """What is known of the index of each station."""

    def __init__(self, ledger: Ledger, inventory: Inventory, asker: StationAsker) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._asker = asker
        self._stations: dict[str, KnownIndex] = {}
        self.allowances = Allowances(RECORDED_BURST, RECORDED_PER_SECOND)
        """Kilobytes that each station may tell."""
        self._waiting: list[tuple[str, Segment]] = []
        self._over: tuple[TimeSpan, ...] = ()
        """The times of which nothing needs to be known."""
        self._forgets = -math.inf
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.changes = 0
        """How many times what is known has changed."""

    def heard(self, station: str, segment: Segment) -> bool:
        """A station told of a segment; whether that is kept, as far as it may tell so much."""
        cost = max(1.0, len(encode(segment)) / 1000)
        if len(self._waiting) >= _MOST_WAITING:
            return False
        if not self.allowances.take(station, time.monotonic(), cost):
            return False
        self._waiting.append((station, segment))
        return True

    def ask(self) -> None:
        """Ask each station that is online and due, in a task of its own."""
        now = asyncio.get_running_loop().time()
        for id_, heard in list(self._inventory):
            if heard.state is PresenceState.ONLINE and self._inventory.connected:
                of = self._of(id_)
                if now >= min(of.next, of.copies_next) and id_ not in self._asking:
                    self._asking[id_] = asyncio.create_task(self._ask(id_))
            elif id_ in self._stations:
                self._stations[id_].was_away, self._stations[id_].next = True, 0.0

    async def write(self) -> None:
        """Write down what was heard."""
        if not self._waiting:
            return
        told, self._waiting = self._waiting, []
        kept = [(station, one) for station, one in told if not self._is_over(station, one)]
        try:
            await self._ledger.keeper.run(self._ledger.keeper.opened.recordings.save, kept)
        except BadStore as error:
            log.error("what was recorded is not written down yet: %s", error)
            self._waiting = [*told, *self._waiting][:_MOST_WAITING]
            return
        for station, one in told:
            self._of(station).learn(one.index, one.number, is_read=one.is_read)
        self.changes += 1

    async def forget(self) -> None:
        """Once an hour, forget what is on no box any more and long ago, unless the schedule has
        talks then or a copy is wanted; but the newest of each index, for what comes before is not
        asked for.

        Raises:
            BadStore: the store cannot be written.
        """
        now = asyncio.get_running_loop().time()
        if now < self._forgets:
            return
        self._forgets = now + _FORGET_SECONDS
        spans = self._over = forgettable(self._ledger.rooms.schedule, datetime.now(UTC))
        store = self._ledger.keeper
        for station in await store.run(store.opened.recordings.recorders):
            index = self._of(station).index if self._ledger[station].config else ""
            found = await store.run(store.opened.recordings.gone, station, index, spans)
            copied = self.recording(station).copied
            old = [(its, n) for its, n, file in found if copied is None or file in copied]
            newest = max((n for its, n in old if its == index), default=0)
            old = [one for one in old if one != (index, newest)]
            for first in range(0, len(old), _MOST_FORGOTTEN):
                some = old[first : first + _MOST_FORGOTTEN]
                await store.run(store.opened.recordings.forget, station, some)
        await store.run(store.opened.recordings.forget_marks, spans)

    def _is_over(self, station: str, one: Segment) -> bool:
        """Whether it would be forgotten at once."""
        if not one.is_gone or not any(begin <= one.begin < end for begin, end in self._over):
            return False
        copied = self.recording(station).copied
        return copied is None or one.file in copied

    def _of(self, station: str) -> KnownIndex:
        return self._stations.setdefault(station, KnownIndex())

    async def _ask(self, station: str) -> None:
        try:
            await self._ask_for_segments(station)
            await self._ask_for_copies(station)
        except (NoAnswer, Mistakes, BadStore) as error:
            log.debug("%s does not tell what it recorded: %s", station, error)
        except Exception:  # of one station: the others are asked on
            log.exception("what %s recorded cannot be understood", station)
        finally:
            del self._asking[station]

    async def _ask_for_segments(self, station: str) -> None:
        loop = asyncio.get_running_loop()
        of = self._of(station)
        if loop.time() < of.next:
            return
        of.next = loop.time() + _RETRY
        if not of.loaded:
            store = self._ledger.keeper
            long_ago = datetime.now(UTC) - REMEMBERED
            known = await store.run(store.opened.recordings.known, station, long_ago)
            for index, number, is_read, is_over in known:
                of.learn(index, number, is_read=is_read)
                if is_over:  # what lies before is known, or was forgotten here
                    of.skip(index, of.reached, number)
            of.loaded = True
        number = of.begin if of.was_away else of.reached
        more = True
        while more:
            before = of.index
            after = {"index": before, "number": number} if before else None
            reply = await self._asker.ask(
                station, "station", "segments", {"after": after}, None, _PATIENCE
            )
            if reply.error is not None:  # an agent of an earlier release
                of.next = loop.time() + _ASK_AGAIN
                return
            found = from_json(reply.result, SegmentList)
            if not all(self.heard(station, one) for one in found.segments):
                of.next = loop.time() + _ASK_AGAIN
                return
            await self.write()
            reached = max((one.number for one in found.segments), default=0)
            if found.until is not None and all(map(of.knows, found.segments)):
                of.skip(found.index, number if found.index == before else 0, found.until)
                reached = max(reached, found.until)
            more = found.more and (reached > number or found.index != before)
            number = reached
        of.was_away = False
        of.next = loop.time() + (_RETRY if of.numbers else _ASK_AGAIN)

    async def _ask_for_copies(self, station: str) -> None:
        """All from time to time; in between those of which somebody wants to know."""
        loop, of = asyncio.get_running_loop(), self._of(station)
        if loop.time() < of.copies_next:
            return
        of.copies_next, before = loop.time() + _COPIES_AGAIN, len(of.copied)
        wants_all = loop.time() >= of.all_copies_next
        if wants_all:
            of.all_copies_next = loop.time() + _ALL_COPIES_AGAIN
        for instance in self._copiers(station):
            if wants_all:
                after, more = "", True
                while more:
                    paths, more = await self._copies(station, instance, after)
                    more, after = more and max(paths, default="") > after, max(paths, default="")
            else:
                newest = sorted(of.uncopied, key=lambda one: one[-20:], reverse=True)
                for path in newest[:_FEW_COPIES]:
                    await self._copies(station, instance, path[:-1], limit=1)
        of.uncopied -= of.copied
        self.changes += before != len(of.copied)

    async def _copies(
        self, station: str, instance: str, after: str, **limit: int
    ) -> tuple[list[str], bool]:
        """Learn which are verified, by path; and whether there are others."""
        asked = {"after": after, "verified": True} | limit
        reply = await self._asker.ask(station, "sync", "list", asked, instance, _PATIENCE)
        if reply.error is not None or not isinstance(reply.result, dict):
            return [], False
        files: Sequence[Any] = reply.result.get("files") or ()
        found = [one.get("path") for one in files if isinstance(one, dict)]
        paths = [path for path in found if isinstance(path, str)]
        self._of(station).copied.update(paths)
        return paths, bool(reply.result.get("more"))

    def _copiers(self, station: str) -> list[str]:
        """The instances that are to copy what a station records."""
        config = self._ledger[station].config
        return list(config.roles.get("sync", {})) if config else []

    def want_copies(self, files: Sequence[tuple[str, str]]) -> None:
        """Somebody wants to know of these files (station, path) whether a copy is verified."""
        for station, file in files[-_MOST_UNCOPIED:]:
            if len(of := self._of(station).uncopied) < _MOST_UNCOPIED:
                of.add(file)

    def recording(self, station: str) -> RecordingStation:
        """What a station's recordings are judged by."""
        copied = self._of(station).copied if self._copiers(station) else None
        facts, is_wrong = self._ledger[station].facts, abs(self.ahead(station)) > WRONG
        return RecordingStation(facts, copied, is_wrong)

    def ahead(self, station: str) -> float:
        """Seconds by which a station's clock is ahead, as far as is known."""
        heard = self._inventory.get(station)
        return (heard.clock_offset if heard else None) or 0.0
