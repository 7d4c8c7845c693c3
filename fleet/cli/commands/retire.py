"""`fleet retire`: a station that is gone for good."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.operations import RetireArguments, StationResult

ABOUT: Final = COMMANDS["retire"]
HELP: Final = with_examples(
    f"{ABOUT} Its history stays. If it comes back it is new, and what it runs is left alone "
    f"until fleet adopt.",
    "fleet retire hall1-cam",
    "fleet retire hall1-cam --force     also while it is online",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    force: Annotated[bool, typer.Option("--force", help="Also while it is online.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    arguments = RetireArguments(station, force)
    found = ask(ctx, lambda manager: manager.ask("retire", arguments, StationResult))
    if json:
        print_json(found)
    else:
        say(clean(f"{found.name} is retired; {instead('history', found.id)} shows what it did"))
