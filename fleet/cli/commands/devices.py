"""`fleet devices`: the capture devices of the stations."""

import asyncio
from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.connection import Line, NoSuchStation, connect
from fleet.cli.registered import Registered, device_lines, device_values, registered
from fleet.cli.station import names, registrations
from fleet.cli.sync import near
from fleet.cli.terminal import print_json, put, say

ABOUT: Final = COMMANDS["devices"]
HELP: Final = with_examples(
    f"{ABOUT} What is plugged in now, or was when the station was last heard; works without a "
    f"manager too.",
    "fleet devices",
    "fleet devices hall1-cam",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str | None,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hear what stations said, and show it."""

    async def work(line: Line) -> tuple[Registered, ...]:
        said, called = await registrations(line), await names(line)
        if station is not None:
            found = {id_: one for id_, one in said.items() if station in (id_, called.get(id_))}
            if not found:
                hint = near(station, [called.get(id_, id_) for id_ in said], list(said))
                raise NoSuchStation(f"no station {station!r} was ever heard; {hint}")
            said = found
        return registered(said, called)

    found = asyncio.run(connect(ctx.obj.access(), work))
    if json:
        print_json({"devices": device_values(found)})
        return
    lines = list(device_lines(found))
    for text in lines:
        put(text)
    if not lines:
        say("no capture device is plugged in" if found else "no station was ever heard")
