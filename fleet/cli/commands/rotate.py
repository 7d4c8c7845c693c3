"""`fleet rotate`: other credentials for stations, without a gap."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import Exit, ask, print_json, say, stop
from fleet.cli.view import clean, moment
from fleet.operations.joining import RotateArguments, RotateResult

ABOUT: Final = COMMANDS["rotate"]
HELP: Final = with_examples(
    f"{ABOUT} It happens by itself a month before one ends. A copy that somebody made of the "
    "old one is then worth nothing; recordings go on.",
    "fleet rotate hall1-cam",
    "fleet rotate --all",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str | None,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All that joined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have the manager do it."""
    if (station is None) is not everybody:
        stop("name a station, or --all for all that joined")
    found = ask(ctx, lambda manager: manager.ask("rotate", RotateArguments(station), RotateResult))
    if json:
        print_json(found)
    elif not found.rotated:
        say("no station has joined yet: fleet token prints the line for a box")
    else:
        for one in found.rotated:
            until = moment(one.ends, found.timezone) if one.ends else ""
            say(clean(f"{one.name}: {one.problem or f'another credential, until {until}'}"))
    if any(one.problem for one in found.rotated):
        raise typer.Exit(Exit.NO)
