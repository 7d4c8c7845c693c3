"""`fleet maintenance`: somebody works here, so nobody is to be called."""

from typing import Annotated, Final, Literal

import typer

from fleet.cli.arguments import seconds
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms_and_stations
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean, ending
from fleet.operations.stations import MaintenanceArguments, SaidResult

ABOUT: Final = COMMANDS["maintenance"]
HELP: Final = with_examples(
    f"{ABOUT} It holds until --for is over, or until somebody ends it.",
    "fleet maintenance hall1-cam on --for 30m",
    "fleet maintenance hall1 on            until it is ended",
    "fleet maintenance hall1 off",
)


def run(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="ROOM|STATION",
            help="A room, or a station by its name or id.",
            autocompletion=rooms_and_stations,
        ),
    ],
    state: Annotated[
        Literal["on", "off"], typer.Argument(metavar="on|off", help="Whether somebody works there.")
    ],
    length: Annotated[
        float | None,
        typer.Option("--for", metavar="TIME", parser=seconds, help="Such as 30m, 2h or 1d."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    arguments = MaintenanceArguments(target, state == "on", length)
    found = ask(ctx, lambda manager: manager.ask("maintenance", arguments, SaidResult))
    if json:
        print_json(found)
    else:
        say(clean(f"maintenance of the {found.kind} {found.name} is {found.state}{ending(found)}"))
