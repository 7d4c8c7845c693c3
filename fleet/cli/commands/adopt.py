"""`fleet adopt`: what a station runs is what is wanted of it."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean
from fleet.operations.stations import AdoptArguments, StationResult

ABOUT: Final = COMMANDS["adopt"]
HELP: Final = with_examples(
    f"{ABOUT} Nothing on it is touched.",
    "fleet adopt hall1-cam",
    "fleet adopt b827eb0000a1",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    arguments = AdoptArguments(station)
    found = ask(ctx, lambda manager: manager.ask("adopt", arguments, StationResult))
    if json:
        print_json(found)
    else:
        say(
            clean(
                f"what {found.name} runs is now what is wanted of it, as revision {found.revision}"
            )
        )
