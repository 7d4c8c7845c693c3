"""Acknowledge what is wrong in a room, and tell those who are called something."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fleet.manager.conference.hours import Override
from fleet.manager.operations.desk import Desk
from fleet.manager.store import Deed
from fleet.model import CommandFailed, day_and_clock, printable
from fleet.operations.notifications import AckArguments, NotifyArguments, NotifyResult, RoomAck
from fleet.operations.stations import SaidResult

log = logging.getLogger(__name__)


async def ack(desk: Desk, caller: str, asked: AckArguments) -> SaidResult:
    """Nobody is called any more for what is wrong in a room now; what comes after it calls."""
    room = desk.find_room(asked.room)
    at = datetime.now(UTC)
    until = at + timedelta(seconds=asked.seconds)
    said = Override("ack", room, "on", caller, at, until) if asked.on else None
    told = day_and_clock(until, at.astimezone(ZoneInfo(desk.timezone)))
    text = f"sees to {room} until {told}" if asked.on else f"sees to {room} no more"
    await desk.ledger.say("ack", room, said, Deed(at, "ack", caller, text))
    log.info("%s %s", caller, text)
    state = "on" if asked.on else "off"
    return SaidResult("room", room, state, until if asked.on else None, desk.timezone)


async def notify(desk: Desk, caller: str, asked: NotifyArguments) -> NotifyResult:
    """Notification everybody, to see whether it arrives."""
    addresses = desk.notifications.say(caller, asked.text)
    if not addresses:
        raise CommandFailed(
            'nobody can be called: put notify = ["ntfys://ntfy.sh/TOPIC"] into the manager\'s '
            "settings, and restart it"
        )
    log.info("%s has everybody told: %s", caller, printable(asked.text))
    return NotifyResult(addresses)


def acknowledged(desk: Desk) -> Iterator[RoomAck]:
    """The rooms that somebody sees to."""
    now = datetime.now(UTC)
    for room in sorted(desk.rooms()):
        said = desk.ledger.rooms.holding("ack", room, now)
        if said is not None and said.until is not None:
            yield RoomAck(room, said.by, said.since, said.until)
