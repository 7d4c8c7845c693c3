"""Has the manager ask stations in somebody's name: any command, and a room's mixer by its room."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fleet.manager.asking import NoAnswer
from fleet.manager.operations.desk import Desk
from fleet.manager.store import Deed
from fleet.model import (
    MAX_PAYLOAD,
    CommandFailed,
    CommandRequest,
    DeadlineExceeded,
    InvalidArguments,
    NoSuchInstance,
    PresenceState,
    Refusal,
    Reply,
    UnknownCommand,
    call_in_words,
    counted,
)
from fleet.operations.actions import (
    AudioArguments,
    CallArguments,
    CallResult,
    CutArguments,
    MixerShown,
    RoomMixer,
)
from fleet.station import READ_COMMANDS, STATION
from fleet.strict import Mistakes
from fleet.wire import encode, from_json

log = logging.getLogger(__name__)

MIX: Final = "mix"
_BY_OTHERS: Final[Mapping[str, str]] = {
    "credential": "fleet rotate STATION",
    "secret": "fleet secret set NAME",
}
"""Commands of every station that need more rights than a call, and the way to ask for them."""
_PATIENCE: Final = 8.0
"""Seconds a mixer may take."""
_SHOWN: Final = 300
"""Characters of a call in the history."""
_REFUSALS: Final[Mapping[str, type[Refusal]]] = {
    one.__name__: one for one in (InvalidArguments, NoSuchInstance, UnknownCommand)
}


async def call(desk: Desk, caller: str, asked: CallArguments) -> CallResult:
    """What a station answers to a command; one that may change something is in its history."""
    station = desk.find(asked.station)
    if asked.role == STATION and asked.command in _BY_OTHERS:
        raise InvalidArguments(f"that is asked with: {_BY_OTHERS[asked.command]}")
    if len(encode(CommandRequest(asked.instance, asked.arguments))) > MAX_PAYLOAD:
        raise InvalidArguments(f"a station takes {MAX_PAYLOAD} bytes of arguments at most")
    if asked.command not in READ_COMMANDS:
        text = call_in_words(asked.role, asked.instance, asked.command, asked.arguments)[:_SHOWN]
        await desk.ledger.do(Deed(datetime.now(UTC), "call", caller, text, station))
        log.info("%s called %s %s of %s", caller, asked.role, asked.command, desk.name(station))
    result = await _asked(
        desk, station, asked.role, asked.command, asked.arguments, asked.instance, asked.seconds
    )
    return CallResult(desk.name(station), result)


async def mixer(desk: Desk, caller: str, asked: RoomMixer) -> MixerShown:  # noqa: ARG001
    """What a room's mixer shows."""
    station, instance = _mixer(desk, asked.room)
    return await _mix(desk, station, instance, "get", {})


async def cut(desk: Desk, caller: str, asked: CutArguments) -> MixerShown:
    """Have a room's sources shown otherwise."""
    given = {"composite": asked.composite, "a": asked.a, "b": asked.b}
    return await _told(desk, caller, asked.room, "cut", given)


async def audio(desk: Desk, caller: str, asked: AudioArguments) -> MixerShown:
    """Have another source heard."""
    return await _told(desk, caller, asked.room, "audio", {"source": asked.source})


async def live(desk: Desk, caller: str, asked: RoomMixer) -> MixerShown:
    """Have the program leave the room."""
    return await _told(desk, caller, asked.room, "live", {})


async def blank(desk: Desk, caller: str, asked: RoomMixer) -> MixerShown:
    """Have black and silence leave the room."""
    return await _told(desk, caller, asked.room, "blank", {})


async def _told(
    desk: Desk, caller: str, room: str, command: str, given: Mapping[str, str | None]
) -> MixerShown:
    station, instance = _mixer(desk, room)
    shown = await _mix(desk, station, instance, command, given)
    words = [f"{key} {value}" for key, value in given.items() if value is not None]
    text = " ".join(filter(None, (f"{MIX}/{instance}", *words)))
    at = datetime.now(UTC)
    deed = Deed(at, command, caller, text, station)
    desk.mixers.did(station, instance, deed)
    log.info("%s: %s by %s", desk.name(station), " ".join((command, *words)), caller)
    await desk.ledger.do(deed)
    return shown


async def _mix(
    desk: Desk, station: str, instance: str, command: str, arguments: Mapping[str, Any]
) -> MixerShown:
    """What the mixer shows after a command, by its own word."""
    result = await _asked(desk, station, MIX, command, arguments, instance, _PATIENCE)
    try:
        shown = from_json(result, MixerShown)
    except Mistakes as mistakes:
        raise CommandFailed(f"the answer of its mixer cannot be understood: {mistakes}") from None
    desk.mixers.saw(station, instance, shown)
    return shown


async def _asked(
    desk: Desk,
    station: str,
    role: str,
    command: str,
    arguments: Mapping[str, Any],
    instance: str | None,
    seconds: float,
) -> Any:
    """What the station gives.

    Raises:
        Refusal: it did not do it, or nobody knows whether it did.
    """
    name = desk.name(station)
    presence = desk.inventory.presence(station)
    if presence is not PresenceState.ONLINE:
        raise DeadlineExceeded(f"{name} is {presence.value}: look at its power and its network")
    try:
        reply: Reply = await desk.asker.ask(station, role, command, arguments, instance, seconds)
    except NoAnswer as error:
        raise DeadlineExceeded(f"{name}: {error}; whether it did so is not known") from None
    if reply.error is not None:
        kind = _REFUSALS.get(reply.error.type, CommandFailed)
        raise kind(f"{name}: {reply.error.message}", reply.error.problems)
    return reply.result


def _mixer(desk: Desk, text: str) -> tuple[str, str]:
    """Station and instance of the mixer of a room, or of the station called so.

    Raises:
        InvalidArguments: there is none, or several.
    """
    if text in desk.rooms():
        there = [id_ for id_ in desk.ledger if desk.ledger[id_].facts.room == text]
    else:
        there = [desk.find(text)]
    mixers = [
        (id_, instance)
        for id_ in there
        if (config := desk.ledger[id_].config) is not None
        for instance in config.roles.get(MIX, {})
    ]
    if not mixers:
        raise InvalidArguments(f"{text} has no mixer: nothing of the role mix is wanted there")
    if len(mixers) > 1:
        several = ", ".join(f"fleet call {desk.name(id_)} mix get" for id_, _ in mixers)
        raise InvalidArguments(f"{text} has {counted(len(mixers), 'mixer')}: ask one: {several}")
    return mixers[0]
