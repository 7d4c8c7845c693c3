"""`fleet rollback`: an earlier time again, under a new revision."""

from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.rolling import agree, see_through
from fleet.cli.terminal import ask, print_json, say, stop
from fleet.cli.typed import instead
from fleet.operations.rollouts import ApplyResult, RollbackArguments

ABOUT: Final = COMMANDS["rollback"]
HELP: Final = with_examples(
    f"{ABOUT} Shows the plan, asks and waits as fleet apply does; what is put back gets a new "
    f"number. Ends as fleet apply does.",
    "fleet rollback hall1-cam           what it had before its last revision",
    "fleet rollback hall1-cam --to 7    its revision 7, as history shows",
    "fleet rollback --all               everything as before the last rollout",
    "fleet rollback --all --to 12       everything as after rollout 12",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str | None,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of all stations.")] = False,
    to: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="A revision of the station; with --all a rollout."),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the history.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Also restart or end running recordings.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Plan, ask, roll back, follow."""
    if (station is None) != everything:
        one, every = instead("rollback", "STATION"), instead("rollback", "--all")
        stop(f"name one station, or all of them: {one}, {every}")
    look = RollbackArguments(station, to, message, dry_run=True)
    plan = ask(ctx, lambda manager: manager.ask("rollback", look, ApplyResult)).plan
    if json and dry_run:
        print_json(plan)
    elif plan.is_empty:
        say("nothing to put back: what was wanted then is wanted now")
    elif not json:
        conference.show(plan)
    if dry_run or plan.is_empty:
        return
    may_interrupt = agree(plan, yes=yes, interrupt=interrupt)
    arguments = RollbackArguments(station, to, message, may_interrupt, plan.revision)
    see_through(
        ctx,
        lambda manager: manager.ask("rollback", arguments, ApplyResult),
        only=station,
        json=json,
    )
