"""`fleet notify`: tell those who are called something, to know that it arrives."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean
from fleet.operations.notifications import NotifyArguments, NotifyResult

ABOUT: Final = COMMANDS["notify"]
HELP: Final = with_examples(
    f"{ABOUT} They are the addresses that the manager's settings have as notify; fleet status "
    "names one that takes nothing, a minute later.",
    'fleet notify "is anybody there?"',
)


def run(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What they are to read.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    found = ask(ctx, lambda manager: manager.ask("notify", NotifyArguments(text), NotifyResult))
    if json:
        print_json(found)
    else:
        for one in found.addresses:
            say(clean(f"on its way to {one}"))
