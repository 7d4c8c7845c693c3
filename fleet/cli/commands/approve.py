"""`fleet approve`: let a box in that waits."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean
from fleet.operations.joining import ApproveArguments, ApproveResult

ABOUT: Final = COMMANDS["approve"]
HELP: Final = with_examples(
    f"{ABOUT} The code is on its own screen.",
    "fleet approve ACDE-FGHK",
    "fleet approve ACDE-FGHK --name hall1-cam",
)


def run(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="What the box shows.")],
    name: Annotated[
        str | None, typer.Option(metavar="N", help="What it is called; its id without one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    arguments = ApproveArguments(code, name)
    found = ask(ctx, lambda manager: manager.ask("approve", arguments, ApproveResult))
    if json:
        print_json(found)
    else:
        where = f", in {found.room}" if found.room else ""
        say(clean(f"{found.hostname} is let in as {found.name}{where} (station {found.station})"))
