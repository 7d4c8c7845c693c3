"""What was recorded of the talks, and marks, as people ask for them."""

import logging
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fleet.manager.operations.desk import Desk
from fleet.manager.recordings.coverage import TOLERANCE
from fleet.model import InvalidArguments
from fleet.operations import (
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


async def recordings(desk: Desk, caller: str, asked: RecordingsArguments) -> RecordingsResult:  # noqa: ARG001
    """The receipts of the talks that are asked for."""
    talks = list(desk.ledger.rooms.all_talks())
    if asked.room is not None:
        room = desk.find_room(asked.room)
        talks = [one for one in talks if one[0] == room]
    if asked.talk is not None:
        known = {name for _, one in talks for name in _names(one) if name}
        talks = [(room, one) for room, one in talks if asked.talk in _names(one)]
        if not talks:
            hint = close_match(asked.talk, sorted(known)) or "; fleet schedule --json has them all"
            raise InvalidArguments(f"the schedule has no talk {asked.talk!r}{hint}")
    now = datetime.now(ZoneInfo(desk.timezone))
    found = await desk.recordings.receipts(talks, now)
    if asked.missing:
        found = tuple(one for one in found if is_missing(one, now))
    return RecordingsResult(found, now.astimezone(UTC), desk.timezone)


def _names(talk: ScheduledTalk) -> tuple[str | None, ...]:
    """What people may call it."""
    return talk.guid, talk.id, talk.code, talk.slug


def is_missing(receipt: Receipt, now: datetime) -> bool:
    """Whether a talk that is over, and may be recorded, is not covered to five seconds."""
    if receipt.talk.end > now or receipt.talk.do_not_record or receipt.verdict is None:
        return False
    return not receipt.coverage or receipt.coverage[0].missing > TOLERANCE.total_seconds()


async def mark(desk: Desk, caller: str, asked: MarkArguments) -> MarkResult:
    """Keep where somebody wants a recording to begin, end or be cut."""
    room, now = desk.find_room(asked.room), datetime.now(UTC)
    at = asked.at or now
    if abs(at - now) > _FAR:
        raise InvalidArguments(f"{at:%Y-%m-%d} is too far away for a mark")
    made = CutMark(room, asked.kind, at, caller, now, asked.note)
    await desk.recordings.mark(made)
    log.info("%s marked the %s in %s at %s", caller, asked.kind, room, at.isoformat())
    return MarkResult(made, desk.timezone)
