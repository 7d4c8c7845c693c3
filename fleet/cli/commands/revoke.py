"""`fleet revoke`: a box that shall not come in any more."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.operations.joining import RevokeArguments
from fleet.operations.stations import StationResult

ABOUT: Final = COMMANDS["revoke"]
HELP: Final = with_examples(
    f"{ABOUT} What it records goes on there.",
    "fleet revoke hall1-cam",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    found = ask(ctx, lambda manager: manager.ask("revoke", RevokeArguments(station), StationResult))
    if json:
        print_json(found)
    else:
        gone = f"; {instead('retire', found.id)} --force forgets it too"
        say(clean(f"{found.name} is cut off; what it records runs on there{gone}"))
