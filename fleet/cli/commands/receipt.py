"""`fleet receipt`: whether one talk is there, and plays."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.receipts import receipt_lines
from fleet.cli.terminal import Exit, ask, print_json, put
from fleet.operations.recordings import RecordingsArguments, RecordingsResult

ABOUT: Final = COMMANDS["receipt"]
HELP: Final = with_examples(
    f"{ABOUT} Green: covered, decodes, heard and copied. Yellow: it is there, but something is "
    "not as it should be. Red: some of it is missing. Ends with 3 if it is red.",
    "fleet receipt NCWSAJ",
    "fleet receipt 32ca21db-c5a1-5934-ad87-605dbf98319e --json",
)


def run(
    ctx: typer.Context,
    talk: Annotated[
        str, typer.Argument(metavar="TALK", help="Its guid, id, code or slug in the schedule.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    asked = RecordingsArguments(None, talk)
    found = ask(ctx, lambda manager: manager.ask("recordings", asked, RecordingsResult))
    one = found.receipts[0]
    if json:
        print_json(one)
    else:
        for line in receipt_lines(one, found.timezone):
            put(line)
    if one.verdict == "red":
        raise typer.Exit(Exit.UNHEALTHY)
