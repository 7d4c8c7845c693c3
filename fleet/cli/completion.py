"""Names for the shell's completion; whatever goes wrong, there are just none.

Every command names these functions; what they do their work with is read when Tab is pressed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Set
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from fleet.cli.connection import Denied, Line, NoSuchStation, Unreachable, connect, manager_on
from fleet.cli.names import LIMIT, PATIENCE, fitting, within
from fleet.cli.options import BadOptions, Options
from fleet.contexts import read as client_file
from fleet.model import InstanceStatus, Registration
from fleet.settings import BadSettings

if TYPE_CHECKING:
    from fleet.cli.station import Station
    from fleet.operations.stations import StationStatus

T = TypeVar("T")


def rooms_and_stations(ctx: typer.Context, incomplete: str) -> list[str]:
    """The rooms and stations the manager knows that begin with `incomplete`."""
    known = _known(ctx)
    return fitting({name for one in known for name in (one.room, one.name)}, incomplete)


def rooms(ctx: typer.Context, incomplete: str) -> list[str]:
    """The rooms the manager knows that begin with `incomplete`."""
    return fitting({one.room for one in _known(ctx)}, incomplete)


def stations(ctx: typer.Context, incomplete: str) -> list[str]:
    """The stations that begin with `incomplete`: names, or ids where there is no manager."""
    from fleet.cli.station import heard_of

    names = {one.name for one in _known(ctx)} or _quietly(ctx, heard_of, set())
    return fitting(names, incomplete)


def roles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The roles of the station given that have commands, and `station`."""
    from fleet.station import STATION

    station = _station(ctx)
    return fitting(station.roles() if station else {STATION}, incomplete)


def all_roles(ctx: typer.Context, incomplete: str) -> list[str]:
    """The roles of all stations."""
    from fleet.cli.station import registrations

    nothing: Mapping[str, Registration] = {}
    said = _quietly(ctx, registrations, nothing).values()
    return fitting({role for one in said for role in one.factories}, incomplete)


def commands(ctx: typer.Context, incomplete: str) -> list[str]:
    """The commands of the station and role given."""
    station = _station(ctx)
    return fitting(set(station.commands(ctx.params["role"])) if station else set(), incomplete)


def arguments(ctx: typer.Context, incomplete: str) -> list[str]:
    """`key=` for each argument of the command that is not given yet, `key=value` of a choice."""
    station, role, command = _station(ctx), ctx.params["role"], ctx.params["command"]
    schema = station.commands(role).get(command) if station else None
    known = schema.arguments.get("properties", {}) if schema else {}
    given = {one.partition("=")[0] for one in ctx.params.get("given") or ()}
    return fitting(argument_words(known, given, incomplete), incomplete)


def argument_words(known: Mapping[str, Any], given: Set[str], incomplete: str) -> list[str]:
    """What may be typed next of the arguments `known`, some of which are given; pure."""
    key, equals, _ = incomplete.partition("=")
    if not equals:
        return [f"{one}=" for one in known if one not in given]
    setting = known.get(key)
    if not isinstance(setting, Mapping):
        return []
    choices = setting.get("enum", ())
    if setting.get("type") == "boolean":
        choices = ("true", "false")
    return [f"{key}={one}" for one in choices if isinstance(one, str)]


def instances(ctx: typer.Context, incomplete: str) -> list[str]:
    """Role and role/instance of what runs on the station given."""
    from fleet.cli.station import find, runs

    async def running(line: Line) -> Mapping[str, Mapping[str, InstanceStatus]]:
        station = await find(line, ctx.params["station"], PATIENCE)
        return await runs(line, station)

    nothing: Mapping[str, Mapping[str, InstanceStatus]] = {}
    found = _quietly(ctx, running, nothing)
    named = {f"{role}/{instance}" for role, of in found.items() for instance in of}
    return fitting({*found, *named}, incomplete)


def contexts(incomplete: str) -> list[str]:
    """The contexts of the operator's file."""
    with contextlib.suppress(BadSettings):
        return fitting(client_file().contexts, incomplete)
    return []


def _known(ctx: typer.Context) -> "tuple[StationStatus, ...]":
    async def ask(line: Line) -> "tuple[StationStatus, ...]":
        return (await (await manager_on(line, PATIENCE)).status()).stations

    return _quietly(ctx, ask, ())


def _station(ctx: typer.Context) -> "Station | None":
    from fleet.cli.station import find

    async def look(line: Line) -> "Station | None":
        return await find(line, ctx.params["station"], PATIENCE)

    return _quietly(ctx, look, None)


def _quietly(ctx: typer.Context, work: Callable[[Line], Awaitable[T]], otherwise: T) -> T:
    """The result of `work` on a connection, or `otherwise` whatever goes wrong."""
    given = ctx.parent.params if ctx.parent else {}
    options = Options.of(given)
    ignored = contextlib.suppress(Unreachable, Denied, NoSuchStation, BadOptions, TimeoutError)

    def talk() -> T:
        with ignored:
            return asyncio.run(connect(options.access(), work, PATIENCE))
        return otherwise

    return within(2 * LIMIT, talk, otherwise)
