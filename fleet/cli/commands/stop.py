"""`fleet stop`: keep an instance stopped, whoever begins anew."""

from typing import Annotated, Final

import typer
from attrs import evolve

from fleet.cli.acting import instance_of, sure, tell
from fleet.cli.arguments import seconds
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import instances, stations
from fleet.cli.terminal import ask
from fleet.operations.actions import ActionResult, StopArguments

ABOUT: Final = COMMANDS["stop"]
HELP: Final = with_examples(
    f"{ABOUT} It stays so over restarts of agent, manager, broker and box, and is no alarm. "
    "With --for it ends by itself. If a recording would end, the command asks first. Ends "
    "with 0 once the station says that it is stopped, 1 if it is not yet, 2 if nothing of "
    "that name is there.",
    'fleet stop hall1-cam stream --for 45m --why "the speaker asked for it"',
    "fleet stop hall1-cam record/main --yes",
    "fleet start hall1-cam stream           ends it",
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
    length: Annotated[
        float | None,
        typer.Option("--for", metavar="TIME", parser=seconds, help="Such as 45m, 2h or 1d."),
    ] = None,
    why: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What others are to know.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Also if a recording ends.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager, and say what the station says."""
    role, instance = instance_of(which)
    asked = StopArguments(station, role, instance, length, why, yes)
    done = ask(ctx, lambda manager: manager.ask("stop", asked, ActionResult))
    if done.question is not None:
        sure(done.question)
        again = evolve(asked, sure=True)
        done = ask(ctx, lambda manager: manager.ask("stop", again, ActionResult))
    tell(done, json)
