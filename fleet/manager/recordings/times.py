"""All that has to do with a time, out of the store, and the receipts of its talks.

There may be a hundred thousand segments, so all of it is done beside the event loop.
"""

import asyncio
import gc
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from fleet.manager.conference.wanted import Facts
from fleet.manager.recordings.coverage import LONGEST, Kept, near
from fleet.manager.recordings.receipts import RoomNow, receipt
from fleet.manager.recordings.timeline import on_one_clock
from fleet.manager.stations.state import SLIDES
from fleet.manager.store.keeper import StoreKeeper
from fleet.model import Segment
from fleet.operations.recordings import CutMark, Receipt
from fleet.schedule import ScheduledTalk

_LATER: Final = timedelta(hours=1)
"""After a talk, what still has to do with it."""
_AT_ONCE: Final = timedelta(hours=12)
"""Of what was recorded is read from the store at once."""


@frozen
class RecordingStation:
    """One of those that recorded. `copied`: files of which a copy is verified; None where nothing
    copies them. `clock_is_wrong`: now, as far as is known.
    """

    facts: Facts
    copied: Collection[str] | None
    clock_is_wrong: bool = False


@frozen
class RecordedTime:
    """What was recorded and marked in a time. `kept`: by room, '' where none is known; by begin."""

    kept: Mapping[str, Sequence[Kept]]
    marks: Sequence[CutMark]
    uncopied: Sequence[tuple[str, str]] = ()
    """(station, file) of which no copy is verified, though somebody copies it."""


async def read_time(
    store: StoreKeeper, begin: datetime, end: datetime, of: Callable[[str], RecordingStation]
) -> RecordedTime:
    """What has to do with that time; `of`: what is known of a station.

    Raises:
        BadStore: the store cannot be read.
    """
    begin, end = begin - LONGEST, end + _LATER
    recorded: list[tuple[str, Segment]] = []
    since = begin
    with uncollected():
        while since < end:  # so that others have the store in between
            until = min(since + _AT_ONCE, end)
            recorded += await store.run(store.opened.recordings.between, since, until)
            since = until
        marks = await store.run(store.opened.recordings.marks, begin, end)
        names = await asyncio.to_thread(lambda: {station for station, _ in recorded})
        stations = {station: of(station) for station in names}
        return await asyncio.to_thread(_by_room, recorded, stations, marks)


def _by_room(
    recorded: Sequence[tuple[str, Segment]],
    stations: Mapping[str, RecordingStation],
    marks: Sequence[CutMark],
) -> RecordedTime:
    of_room: dict[str, list[Kept]] = {}
    uncopied: list[tuple[str, str]] = []
    wrong = {name for name, one in stations.items() if one.clock_is_wrong}
    for station, one in on_one_clock(recorded, wrong):
        facts, there = stations[station].facts, stations[station].copied
        copied = None if there is None else one.file in there
        kept = Kept(facts.name or station, one, copied, is_slides=facts.seat == SLIDES)
        of_room.setdefault(one.room or facts.room or "", []).append(kept)
        if copied is False and not one.is_gone:
            uncopied.append((station, one.file))
    return RecordedTime(of_room, marks, uncopied)


async def receipts_of(
    wanted: Sequence[tuple[str, ScheduledTalk]],
    found: RecordedTime,
    stands: Mapping[str, RoomNow],
    now: datetime,
) -> tuple[Receipt, ...]:
    """One for each (room, talk), in their order."""
    return await asyncio.to_thread(_receipts, wanted, found, stands, now)


def _receipts(
    wanted: Sequence[tuple[str, ScheduledTalk]],
    found: RecordedTime,
    stands: Mapping[str, RoomNow],
    now: datetime,
) -> tuple[Receipt, ...]:
    begins = {room: [one.segment.begin for one in kept] for room, kept in found.kept.items()}

    def of(room: str, talk: ScheduledTalk) -> Sequence[Kept]:
        kept, at = found.kept.get(room, ()), begins.get(room, ())
        return near(kept, at, talk.begin, talk.end + _LATER)

    return tuple(
        receipt(room, talk, of(room, talk), found.marks, now, stands[room]) for room, talk in wanted
    )


@contextmanager
def uncollected() -> Iterator[None]:
    """Have nobody look for garbage among many things that are none: that holds the loop."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
