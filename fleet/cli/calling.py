"""Having a station do something: straight, or through the manager where the broker forbids that."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from fleet.cli.connection import Denied, Line, Manager, StationDenied, Unreachable, manager_on
from fleet.cli.station import GATHER, Station
from fleet.cli.typed import instead
from fleet.model import MAX_PAYLOAD, CommandRequest, DeadlineExceeded, Error, Forbidden, Reply
from fleet.mqtt import Filter, NobodyListening, Refused
from fleet.operations.actions import CallArguments, CallResult
from fleet.wire import Undecodable, decode, encode

T = TypeVar("T")

DEADLINE: Final = 30
"""Seconds a command has unless it is said otherwise."""
_BY_MANAGER: Final = 25.0
"""Seconds of them that the manager waits for a station in our name."""
_GRACE: Final = 2.0
"""Seconds more for a station to answer that the deadline has passed."""


async def ask(
    line: Line,
    station: Station,
    role: str,
    command: str,
    arguments: Mapping[str, Any],
    instance: str | None = None,
    deadline: int = DEADLINE,
) -> Reply:
    """The station's reply; `deadline` in seconds.

    Raises:
        Unreachable: it does not listen, or nothing sensible came back in time.
    """
    access, topics = line.access, line.access.topics
    payload = encode(CommandRequest(instance, arguments))
    seconds = min(float(deadline), _BY_MANAGER)
    asked = CallArguments(station.id, role, command, arguments, instance, seconds)
    if len(payload) > MAX_PAYLOAD:
        many = f"{len(payload)} bytes of arguments, a station takes {MAX_PAYLOAD}"
        return Reply(None, Error("InvalidArguments", many))
    reply_topic = topics.reply(station.id, access.caller)
    try:
        await line.listen(Filter(reply_topic))
    except Unreachable:  # people of a room are answered through the manager
        return await _through_manager(line, asked)
    try:
        answer = await line.requests.ask(
            topics.command(station.id, access.caller, role, command),
            payload,
            deadline,
            reply_topic,
            _GRACE,
        )
        return decode(answer, Reply)
    except NobodyListening:
        raise Unreachable(
            f"{station.name} does not listen, though it said that it is online; "
            f"is its fleet-agent just restarting?"
        ) from None
    except TimeoutError:
        raise Unreachable(
            f"{station.name} gave no answer within {deadline} s; "
            f"whether it did what was asked is not known; "
            f"see how it is: {instead('status', station.name)}"
        ) from None
    except Refused:
        return await _through_manager(line, asked)
    except Undecodable as error:
        raise Unreachable(f"the answer of {station.name} cannot be understood: {error}") from None


async def _through_manager(line: Line, asked: CallArguments) -> Reply:
    """What a station answers that the broker does not let us ask: the manager may let us."""
    manager = await manager_near(line)
    if manager is None:
        why = (
            f"the broker does not let {line.access.caller!r} do this (see operators.acl), and no "
            "manager is online that could"
        )
        return Reply(None, Error(Forbidden.__name__, why))
    try:
        return Reply((await for_station(manager, "call", asked, CallResult)).result, None)
    except (Denied, StationDenied) as denied:
        return Reply(None, denied.error)


async def for_station(manager: Manager, operation: str, asked: Any, cls: type[T]) -> T:
    """What the manager has a station do.

    Raises:
        StationDenied: it was not done.
        Denied: the caller may not.
        Unreachable: the station did not answer.
    """
    try:
        return await manager.ask(operation, asked, cls)
    except Denied as denied:
        if denied.error.type == DeadlineExceeded.__name__:
            raise Unreachable(denied.error.message) from None
        if denied.error.type == Forbidden.__name__:
            raise
        raise StationDenied(denied.error) from None


async def manager_near(line: Line) -> Manager | None:
    """The manager, where one is online."""
    try:
        return await manager_on(line, GATHER)
    except Unreachable:
        return None
