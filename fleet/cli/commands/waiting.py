"""`fleet waiting`: which boxes ask to be let in."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import ask, data, print_json, say
from fleet.cli.view import TableRow, clean, moment, show
from fleet.operations.joining import WaitingResult

_HEADER: Final = ("CODE", "HOST", "STATION", "ADDRESSES", "ROOM", "SINCE")
ABOUT: Final = COMMANDS["waiting"]
HELP: Final = with_examples(
    f"{ABOUT} Each shows its code on its own screen: let in only one that you see.",
    "fleet waiting",
)


def run(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    found = ask(ctx, lambda manager: manager.ask("waiting", {}, WaitingResult))
    if json:
        print_json(found)
        return
    if not found.boxes:
        say("no box waits; one that joins with a token of fleet token --approve does")
        return
    rows = [
        TableRow(
            tuple(
                map(
                    clean,
                    (
                        one.code,
                        one.hostname,
                        one.station,
                        ", ".join(one.addresses) or "-",
                        one.room or "-",
                        moment(one.since, found.timezone),
                    ),
                )
            )
        )
        for one in found.boxes
    ]
    show(rows, data(), _HEADER)
