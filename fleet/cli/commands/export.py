"""`fleet export`: what is wanted now, as a conference file."""

from typing import Annotated, Any, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import ask, print_json, put, say
from fleet.cli.view import clean
from fleet.operations.history import ExportResult

ABOUT: Final = COMMANDS["export"]
HELP: Final = with_examples(
    f"{ABOUT} Applying it changes nothing. Profiles, references and placeholders are filled in.",
    "fleet export > conference.toml",
)
_NO_ARGUMENTS: Final[dict[str, Any]] = {}


def run(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask for it and print it."""
    found = ask(ctx, lambda manager: manager.ask("export", _NO_ARGUMENTS, ExportResult))
    if json:
        print_json(found)
    else:
        put(found.text, end="")
    for one in found.left_out:
        say(f"left out: {clean(one)}", "yellow")
