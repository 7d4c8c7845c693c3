"""`fleet plan`: what applying a conference file would change."""

from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import Exit, ask, print_json
from fleet.operations.plans import PlanArguments, PlanResult

ABOUT: Final = COMMANDS["plan"]
HELP: Final = with_examples(
    f"{ABOUT} + adds an instance, ~ changes one, - removes one; ! interrupts one that stays as it "
    f"is, because what it reads changes. Ends with 0 if there is nothing to do, 1 if there are "
    f"changes, more on an error.",
    "fleet plan conference.toml",
    "fleet plan conference.toml --json | jq '.changes[].station'",
)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The conference file (TOML).")],
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Ask for the plan and show it."""
    arguments = PlanArguments(conference.read(file), str(file))
    plan = ask(ctx, lambda manager: manager.ask("plan", arguments, PlanResult))
    if json:
        print_json(plan)
    else:
        conference.show(plan)
    if not plan.is_empty:
        raise typer.Exit(Exit.NO)
