"""`fleet apply`: make a conference file what is wanted, and see it through."""

from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms, stations
from fleet.cli.rolling import agree, see_through
from fleet.cli.terminal import ask, print_json, stop
from fleet.cli.typed import again, instead
from fleet.operations.plans import PlanArguments, PlanResult
from fleet.operations.rollouts import ApplyArguments, ApplyResult

ABOUT: Final = COMMANDS["apply"]
HELP: Final = with_examples(
    f"{ABOUT} Shows the plan, asks, and waits until every station that is online does what is "
    f"wanted; the others get it when they come back. The manager does the work: it goes on when "
    f"this terminal is gone, and stops at the first station that rejects or fails. Ends with 0 "
    f"when the online ones are in sync, 1 if one rejects or fails, more on an error.",
    "fleet apply conference.toml",
    "fleet apply conference.toml --yes           without asking, as in a script",
    "fleet apply conference.toml --batch 2       two at a time",
    "fleet apply conference.toml --room hall1 --rollback-on-failure",
    "fleet apply conference.toml --dry-run",
)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The conference file (TOML).")],
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stations at once; all without it.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(metavar="S", min=0, help="Seconds a batch is well before the next begins."),
    ] = 0.0,
    room: Annotated[
        str | None,
        typer.Option(metavar="ROOM", help="Only this room.", autocompletion=rooms),
    ] = None,
    station: Annotated[
        str | None,
        typer.Option(
            metavar="STATION", help="Only this station (name or id).", autocompletion=stations
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    check_revision: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Refuse if N is not the last rollout: somebody was faster."
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the history.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Also restart or end running recordings.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also apply what stations would refuse, see fleet validate."),
    ] = False,
    rollback_on_failure: Annotated[
        bool, typer.Option("--rollback-on-failure", help="Put back what it changed if it fails.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Plan, ask, apply, follow."""
    text, name = conference.read(file), str(file)
    asked = PlanArguments(text, name, room, station)
    plan = ask(ctx, lambda manager: manager.ask("plan", asked, PlanResult))
    if json and dry_run:
        print_json(plan)
    elif not json:
        conference.show(plan)
    if check_revision not in (None, plan.revision):
        stop(
            f"somebody applied in between: the last rollout is {plan.revision}, not "
            f"{check_revision}; look at: {instead('history')}"
        )
    if dry_run:
        return
    if plan.doubts and not force:
        told = conference.names(sorted({one.station for one in plan.doubts}))
        stop(f"{told} would refuse it; fix the file, or type: {again('--force')}")
    may_interrupt = agree(plan, yes=yes, interrupt=interrupt)
    if check_revision is None and not yes:
        check_revision = plan.revision  # what was agreed to is what is applied
    arguments = ApplyArguments(
        text,
        name,
        message,
        room,
        station,
        batch,
        settle,
        check_revision,
        may_interrupt,
        rollback_on_failure,
        force,
    )
    see_through(
        ctx,
        lambda manager: manager.ask("apply", arguments, ApplyResult),
        only=station or room,
        json=json,
    )
