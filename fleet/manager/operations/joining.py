"""Boxes that join, and those that shall not come in any more."""

import asyncio
import time
from typing import Any

from fleet.manager.access.joining import Joining
from fleet.manager.operations.desk import Desk
from fleet.manager.store import BadStore
from fleet.model import CommandFailed, PresenceState, Refusal
from fleet.operations.joining import (
    ApproveArguments,
    ApproveResult,
    RevokeArguments,
    RotateArguments,
    Rotated,
    RotateResult,
    TokenArguments,
    TokenResult,
    WaitingResult,
)
from fleet.operations.stations import StationResult
from fleet.strict import close_match

_AT_ONCE = 8


async def token(desk: Desk, caller: str, asked: TokenArguments) -> TokenResult:
    """A line for a box."""
    joining = _joining(desk)
    made, kept = await joining.make(caller, asked.seconds, asked.uses, asked.room, asked.approve)
    notes = []
    if asked.room is not None and asked.room not in desk.rooms():
        hint = close_match(asked.room, sorted(desk.rooms()))
        notes.append(f"there is no room {asked.room!r} yet{hint}")
    prefix = joining.prefix
    return TokenResult(joining.url, str(made), kept.until, prefix, desk.timezone, tuple(notes))


async def waiting(desk: Desk, caller: str, asked: Any) -> WaitingResult:  # noqa: ARG001
    """Who waits for somebody's yes."""
    boxes = desk.joining.waiting if desk.joining else []
    return WaitingResult(tuple(boxes), desk.timezone)


async def approve(desk: Desk, caller: str, asked: ApproveArguments) -> ApproveResult:
    """Let a box in."""
    box = await _joining(desk).approve(caller, asked.code, asked.name)
    facts = desk.ledger[box.station].facts
    return ApproveResult(box.station, desk.name(box.station), box.hostname, facts.room)


async def revoke(desk: Desk, caller: str, asked: RevokeArguments) -> StationResult:
    """Cut a station off."""
    joining = _joining(desk)
    station = (
        asked.station
        if asked.station in desk.ledger.let_in.credentials
        else desk.find(asked.station)
    )
    name = desk.name(station)
    await joining.credentials.revoke(caller, station, name)
    if (heard := desk.inventory.get(station)) is not None:
        heard.cut(time.monotonic())
    return StationResult(station, name, desk.ledger[station].highest)


async def rotate(desk: Desk, caller: str, asked: RotateArguments) -> RotateResult:
    """Give stations other credentials."""
    joining, gate = _joining(desk), asyncio.Semaphore(_AT_ONCE)
    if asked.station is not None:
        stations = [desk.find(asked.station)]
    else:
        stations = sorted(desk.ledger.let_in.credentials, key=desk.name)

    async def one(station: str) -> Rotated:
        name = desk.name(station)
        if station not in desk.ledger.let_in.credentials:
            return Rotated(station, name, None, "it has not joined, or was cut off: it has none")
        if desk.inventory.presence(station) is not PresenceState.ONLINE:
            return Rotated(station, name, None, "it cannot be reached, and keeps its old one")
        try:
            async with gate:
                return Rotated(
                    station, name, await joining.credentials.rotate(caller, station), None
                )
        except Refusal as error:
            return Rotated(station, name, None, error.message)
        except BadStore as error:
            return Rotated(station, name, None, str(error))

    return RotateResult(tuple(await asyncio.gather(*map(one, stations))), desk.timezone)


def _joining(desk: Desk) -> Joining:
    """Raises: CommandFailed."""
    if desk.joining is None:
        raise CommandFailed(
            "this broker's accounts are files that somebody edits there, so the manager can let "
            "nobody in or out: mosquitto_passwd does, then systemctl reload mosquitto; "
            "docs/joining.md says how to have the manager do it"
        )
    return desk.joining
