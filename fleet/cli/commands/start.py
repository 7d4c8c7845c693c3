"""`fleet start`: let run again what somebody has stopped."""

from typing import Annotated, Final

import typer

from fleet.cli.acting import instance_of, not_running, tell
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import instances, stations
from fleet.cli.terminal import Exit, ask
from fleet.operations.actions import ActionResult, StartArguments

ABOUT: Final = COMMANDS["start"]
HELP: Final = with_examples(
    f"{ABOUT} What nobody has stopped is begun anew by fleet restart. Ends with 0 once "
    f"it runs, 1 if it does not, or not yet, 2 if nothing of that name is stopped.",
    "fleet start hall1-cam record/main",
    "fleet start hall1-cam stream           every instance of the role",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    which: Annotated[
        str,
        typer.Argument(metavar="ROLE[/INSTANCE]", help="Which.", autocompletion=instances),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager, and say what the station says."""
    role, instance = instance_of(which)
    asked = StartArguments(station, role, instance)
    done = ask(ctx, lambda manager: manager.ask("start", asked, ActionResult))
    tell(done, json)
    if any(not_running(done)):
        raise typer.Exit(Exit.NO)
