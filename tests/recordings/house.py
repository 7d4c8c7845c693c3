"""A manager's recordings with a store of its own, and boxes whose indexes it can ask for.

The boxes are no programs: they hold segments as agents tell of them, and answer from those.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field

from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.conference.rooms import rooms_of
from fleet.manager.conference.wanted import Facts
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.rollouts.revisions import issue
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.model import Presence, PresenceState, Reply, Segment, SegmentList
from fleet.schedule import Schedule
from fleet.wire import to_json

AT = datetime(2026, 2, 1, tzinfo=UTC)
ROLES: Mapping[str, Any] = {"record": {"main": {}}, "sync": {"main": {}}}
_PAGE = 200


@define(eq=False)
class Box:
    """A station. `seat`: in its room; `copied`: files of which a copy is verified."""

    room: str
    seat: str
    index: str = "index-1"
    segments: list[Segment] = field(factory=list)
    copied: set[str] = field(factory=set)
    forgotten: int = 0
    """The first of its segments of which it tells no more."""

    @property
    def name(self) -> str:
        return f"{self.room}-{self.seat}"

    def add(self, segment: Segment) -> Segment:
        """Close a segment; it as it is told."""
        numbered = evolve(segment, index=self.index, number=len(self.segments) + 1)
        self.segments.append(numbered)
        return numbered

    def begin_anew(self, files: Callable[[Segment], bool] = lambda _: True) -> None:
        """Lose the index, and make another one of the files that are left."""
        before, self.segments, self.index = self.segments, [], self.index + "-anew"
        for one in sorted(filter(files, before), key=lambda it: (it.begin, it.file)):
            self.add(one)


class Boxes:
    """Answers for all of them what the manager asks."""

    def __init__(self, boxes: Iterable[Box]) -> None:
        self.boxes = {one.name: one for one in boxes}
        self.asked: list[tuple[str, Any]] = []
        self.asked_of: list[tuple[str, str]] = []

    async def ask(
        self, station: str, role: str, command: str, arguments: Mapping[str, Any], *_: Any
    ) -> Reply:
        box = self.boxes.get(station)
        if box is None:
            raise NoAnswer(f"{station} is away")
        self.asked.append((f"{role} {command}", arguments))
        self.asked_of.append((station, f"{role} {command}"))
        if command == "list":
            later = sorted(one for one in box.copied if one > arguments["after"])
            most = arguments.get("limit", 500)
            files = [{"path": one} for one in later[:most]]
            return Reply({"files": files, "more": len(later) > most}, None)
        after = arguments["after"]
        known = after["number"] if after and after["index"] == box.index else 0
        begin = max(known, box.forgotten)
        rest = box.segments[begin:]
        until = begin + len(rest[:_PAGE])
        found = SegmentList(box.index, tuple(rest[:_PAGE]), len(rest) > _PAGE, until)
        return Reply(to_json(found), None)


@define
class House:
    """One manager's part. `recordings` runs."""

    ledger: Ledger
    inventory: Inventory
    recordings: Recordings
    boxes: Boxes

    def hear(self, box: Box, segment: Segment) -> None:
        """A station's message."""
        self.recordings.gathering.heard(box.name, segment)

    def come_online(self) -> None:
        """All boxes are heard."""
        self.inventory.broker_back(time.monotonic())
        for name in self.boxes.boxes:
            online = Presence(PresenceState.ONLINE, "boot", 1, AT, 3600.0)
            self.inventory.hear(name, online, retained=False, now=time.monotonic())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():  # noqa: ASYNC110 (nothing tells of what it has learnt)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def house(
    directory: Path, boxes: Sequence[Box], schedule: Schedule | None, text: str
) -> AsyncIterator[House]:
    """A manager that has its store in `directory`, and wants of each box to record and copy."""
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(directory))
    made = []
    for box in boxes:
        facts = Facts(box.name, box.room, box.seat)
        if box.name not in ledger:
            made.append((facts, issue(box.name, 1, ROLES, facts, at=AT, by="ann", message=None)))
    await ledger.write([one for _, one in made], [(facts.name or "", facts) for facts, _ in made])
    ledger.learn(rooms_of(text))
    ledger.rooms.go_by(schedule)
    inventory, asked = Inventory(), Boxes(boxes)
    recordings = Recordings(ledger, inventory, cast("StationAsker", asked))
    running = asyncio.create_task(recordings.keep())
    try:
        yield House(ledger, inventory, recordings, asked)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await ledger.close()
