"""`fleet call`: ask something of a role that runs on a station, or of the station itself."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

import typer

from fleet.cli.arguments import BadArguments, typed
from fleet.cli.calling import DEADLINE, ask
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import arguments, commands, roles, stations
from fleet.cli.connection import Line, StationDenied, connect
from fleet.cli.registered import command_lines
from fleet.cli.station import Station, find
from fleet.cli.terminal import Exit, Telling, print_json, progress, put, say, stop
from fleet.cli.view import clean
from fleet.model import NAME_RULE, Reply, is_name

ABOUT: Final = COMMANDS["call"]
HELP: Final = with_examples(
    f"{ABOUT} Arguments are key=value, typed as the station's registration says: numbers, true "
    f"and false, JSON for lists and tables. Ends with 0 if it was done, 1 if it was refused or "
    f"failed, 4 if the station cannot be reached.",
    "fleet call hall1-cam                    all commands of all its roles",
    "fleet call hall1-cam station            the commands of the box itself",
    "fleet call hall1-cam station info       what the box is, how it is",
    "fleet call hall1-cam station restart role=record instance=main",
    "fleet call hall1-cam banner show text='Back at 14:00' --instance left",
    "fleet call b827eb0000a1 station info --json      works without a manager too",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ],
    role: Annotated[
        str | None,
        typer.Argument(
            metavar="ROLE",
            help="A role, or `station` (the box); without it all.",
            autocompletion=roles,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Argument(
            metavar="COMMAND",
            help="What to do; without it all are listed.",
            autocompletion=commands,
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Its arguments.", autocompletion=arguments),
    ] = None,
    instance: Annotated[
        str | None,
        typer.Option(metavar="I", help="Which instance; needed where several run."),
    ] = None,
    timeout: Annotated[
        int, typer.Option(metavar="S", min=1, max=86400, help="Seconds it may take.")
    ] = DEADLINE,
    json: Annotated[bool, typer.Option("--json", help="Print the whole reply as JSON.")] = False,
) -> None:
    """Find the station, type the arguments, ask, and show the answer."""
    for name in (role, command, instance):
        if name is not None and not is_name(name):
            stop(f"{name!r} cannot be a name: expected {NAME_RULE}")

    if role is None or command is None:
        _list(ctx, station, role, json)
        return

    async def work(line: Line, role: str, command: str, tell: Telling) -> Reply:
        found = await find(line, station)
        values = _typed(found, role, command, given or [])
        tell(clean(f"waiting for {station}, {timeout} s at most"))
        return await ask(line, found, role, command, values, instance, timeout)

    try:
        with progress() as tell:
            asked = partial(work, role=role, command=command, tell=tell)
            reply = asyncio.run(connect(ctx.obj.access(), asked))
    except BadArguments as error:
        for mistake in error.mistakes:
            say(clean(f"fleet: {role} {command}: {mistake}"))
        raise typer.Exit(Exit.ERROR) from None
    if json:
        print_json(reply)
    if reply.error is not None:
        raise StationDenied(reply.error)
    if not json:
        for text in table(reply.result):
            put(text)


def _list(ctx: typer.Context, station: str, role: str | None, json: bool) -> None:
    """Say what can be asked: of one role, or of all."""

    async def look(line: Line) -> Station:
        return await find(line, station)

    found = asyncio.run(connect(ctx.obj.access(), look))
    there = sorted(found.roles())
    offered = {one: found.commands(one) for one in ([role] if role is not None else there)}
    if json:
        print_json({"commands": offered[role]} if role is not None else {"roles": offered})
        return
    for name, schemas in offered.items():
        if role is None:
            put(name)
        for text in command_lines(schemas):
            put(text if role is not None else f"  {text}")
    if role is not None and not offered[role]:
        roles_there = ", ".join(there) or "none"
        stop(clean(f"{station} says of no command of {role!r}; roles with commands: {roles_there}"))


def _typed(station: Station, role: str, command: str, given: Sequence[str]) -> Mapping[str, Any]:
    """Also where nothing is known of the command: a role may offer it by hand."""
    schema = station.commands(role).get(command)
    return typed(given, schema.arguments if schema is not None else None)


def table(result: Any) -> Iterator[str]:
    """A line a value, under its path: `disks.0.free_bytes  1024`; none where nothing is told."""
    rows = list(_rows(result, "")) if result else []
    width = max((len(path) for path, _ in rows), default=0)
    for path, text in rows:
        yield f"{path.ljust(width)}  {clean(text)}".strip()


def _rows(value: Any, path: str) -> Iterator[tuple[str, str]]:
    inner: Iterator[tuple[Any, Any]]
    if isinstance(value, dict) and value:
        inner = iter(value.items())
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        inner = iter(enumerate(value))
    else:
        yield clean(path), _text(value)
        return
    for key, one in inner:
        yield from _rows(one, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
