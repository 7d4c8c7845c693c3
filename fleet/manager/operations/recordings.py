"""What was recorded of the talks, and marks, as people ask for them."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.conference import readers
from fleet.manager.operations.desk import Desk
from fleet.manager.recordings.coverage import TOLERANCE
from fleet.manager.recordings.cutting import cut_lists
from fleet.manager.recordings.receipts import RoomNow, wrong_clock
from fleet.manager.store import Deed
from fleet.model import InvalidArguments, printable
from fleet.operations.recordings import (
    CutList,
    CutListArguments,
    CutListResult,
    CutMark,
    MarkArguments,
    MarkResult,
    Receipt,
    RecordingsArguments,
    RecordingsResult,
)
from fleet.schedule import ScheduledTalk
from fleet.strict import close_match

log = logging.getLogger(__name__)

_FAR = timedelta(days=3650)
_LATE = timedelta(hours=3)
"""How much later than it was to end a talk may be marked to end."""


async def recordings(desk: Desk, caller: str, asked: RecordingsArguments) -> RecordingsResult:  # noqa: ARG001
    """The receipts of the talks that are asked for."""
    talks = list(desk.ledger.rooms.all_talks())
    if asked.room is not None:
        room = desk.find_room(asked.room)
        talks = [one for one in talks if one[0] == room]
    if asked.talk is not None:
        talks = _found(talks, asked.talk)
    now = datetime.now(ZoneInfo(desk.timezone))
    found = await desk.recordings.receipts(talks, now)
    if asked.missing:
        found = tuple(one for one in found if is_missing(one, now))
    over = sum(talk.end <= now and not talk.do_not_record for _, talk in talks)
    return RecordingsResult(found, now.astimezone(UTC), desk.timezone, over)


def _found(
    talks: Iterable[tuple[str, ScheduledTalk]], text: str
) -> list[tuple[str, ScheduledTalk]]:
    """Those that people call so.

    Raises:
        InvalidArguments: there is none.
    """
    talks = list(talks)
    found = [(room, one) for room, one in talks if text in _names(one)]
    if not talks:
        raise InvalidArguments("no talk is known there: fleet schedule says where they come from")
    if not found:
        known = {name for _, one in talks for name in _names(one) if name}
        hint = close_match(text, sorted(known)) or "; fleet schedule --json has them all"
        raise InvalidArguments(f"the schedule has no talk {text!r}{hint}")
    return found


def _names(talk: ScheduledTalk) -> tuple[str | None, ...]:
    """What people may call it."""
    return talk.guid, talk.id, talk.code, talk.slug


def is_missing(receipt: Receipt, now: datetime) -> bool:
    """Whether a talk that is over, and may be recorded, is not covered to five seconds."""
    if receipt.talk.end > now or receipt.talk.do_not_record or receipt.verdict is None:
        return False
    return not receipt.coverage or receipt.coverage[0].missing > TOLERANCE.total_seconds()


async def cutlist(desk: Desk, caller: str, asked: CutListArguments) -> CutListResult:  # noqa: ARG001
    """Where in which files the talks lie that are asked for, or all that are over."""
    now = datetime.now(ZoneInfo(desk.timezone))
    talks = list(desk.ledger.rooms.all_talks())
    wanted = [talk for _, talk in talks if talk.begin < now and not talk.do_not_record]
    if asked.talks:
        wanted = [talk for text in asked.talks for _, talk in _found(talks, text)]
    for talk in wanted:
        if talk.do_not_record:
            raise InvalidArguments(f"{talk.title!r} must not be recorded: no list has it")
    if not wanted:
        return CutListResult((), now, desk.timezone)
    of_time = await desk.recordings.of_time(
        min(talk.begin for talk in wanted), max(talk.end for talk in wanted) + _LATE
    )
    configs = desk.wanted
    programs = {
        (desk.name(one.id), f"{one.role}/{one.instance}") for one in readers.programs(configs)
    }
    found = await asyncio.to_thread(cut_lists, talks, of_time.kept, of_time.marks, programs)
    guids = {talk.guid for talk in wanted}
    lists = [one for one in found if one.talk.guid in guids and (asked.talks or one.end <= now)]
    stands = desk.recordings.rooms_now({one.room for one in lists})
    told = (_by_clock(one, stands[one.room], now) for one in lists)
    return CutListResult(tuple(told), now, desk.timezone)


def _by_clock(one: CutList, stands: RoomNow, now: datetime) -> CutList:
    """With a note where the times in it may be wrong."""
    wrong = wrong_clock(one.station, stands, one.talk, now) if one.station else None
    return evolve(one, notes=(*one.notes, wrong)) if wrong else one


async def mark(desk: Desk, caller: str, asked: MarkArguments) -> MarkResult:
    """Keep where somebody wants a recording to begin, end or be cut."""
    room, now = desk.find_room(asked.room), datetime.now(UTC)
    at = asked.at or now
    if abs(at - now) > _FAR:
        raise InvalidArguments(f"{at:%Y-%m-%d} is too far away for a mark")
    made = CutMark(room, asked.kind, at, caller, now, asked.note)
    await desk.recordings.mark(made)
    note = f" ({printable(made.note)})" if made.note else ""
    text = f"{room} {made.kind} at {at.astimezone(ZoneInfo(desk.timezone)):%a %H:%M:%S %Z}{note}"
    await desk.ledger.do(Deed(now, "mark", caller, text))
    log.info("%s marked the %s in %s at %s", caller, asked.kind, room, at.isoformat())
    return MarkResult(made, desk.timezone)
