"""`fleet diff`: what changed between two revisions of a station."""

from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import Exit, ask, print_json, say
from fleet.operations.history import DiffArguments, DiffResult
from fleet.operations.plans import PlanResult

ABOUT: Final = COMMANDS["diff"]
HELP: Final = with_examples(
    f"{ABOUT} Ends with 0 if nothing did, 1 if something did, more on an error.",
    "fleet diff hall1-cam 7 8",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    old: Annotated[int, typer.Argument(metavar="N", min=1, help="From this revision.")],
    new: Annotated[int, typer.Argument(metavar="M", min=1, help="To this one.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask for it and show it."""
    arguments = DiffArguments(station, old, new)
    found = ask(ctx, lambda manager: manager.ask("diff", arguments, DiffResult))
    if json:
        print_json(found)
    elif found.changes:
        conference.show_changes(PlanResult(found.changes, (), ()))
    else:
        say(f"{found.name} has the same in {old} and {new}")
    if found.changes:
        raise typer.Exit(Exit.NO)
