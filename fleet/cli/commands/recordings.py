"""`fleet recordings`: what was recorded of each talk."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.receipts import receipt_lines, receipt_rows
from fleet.cli.talks import NONE_OVER
from fleet.cli.terminal import Exit, ask, data, print_json, say
from fleet.cli.view import show, zoned
from fleet.model import counted
from fleet.operations.recordings import RecordingsArguments, RecordingsResult

ABOUT: Final = COMMANDS["recordings"]
HELP: Final = with_examples(
    f"{ABOUT} With --missing only talks that are over and lack more than five seconds; it then "
    f"ends with 3 if there is one.",
    "fleet recordings",
    "fleet recordings hall1",
    "fleet recordings --missing",
    "fleet recordings --talk NCWSAJ",
)


def run(
    ctx: typer.Context,
    room: Annotated[
        str | None, typer.Argument(metavar="ROOM", help="Only this room.", autocompletion=rooms)
    ] = None,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Only talks of which more than five seconds are missing."),
    ] = False,
    talk: Annotated[
        str | None, typer.Option("--talk", metavar="GUID", help="Only this: its guid, id or code.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager."""
    asked = RecordingsArguments(room, talk, missing)
    found = ask(ctx, lambda manager: manager.ask("recordings", asked, RecordingsResult))
    if json:
        print_json(found)
    elif found.receipts:
        zone = f"TIME({zoned(found.at, found.timezone):%Z})"
        header = ("VERDICT", "DATE", zone, "ROOM", "COVERED", "BY", "TALK")
        show(tuple(receipt_rows(found)), data(), header)
        if talk is not None:
            for line in receipt_lines(found.receipts[0], found.timezone):
                data().print(line, soft_wrap=True)
    elif missing and found.over != 0:
        say("every talk that is over is covered")
    elif missing:
        say(NONE_OVER)
    else:
        say("the schedule knows no talk here: fleet schedule says which it knows")
    if missing and found.receipts:
        say(f"{counted(len(found.receipts), 'talk')} not covered")
        raise typer.Exit(Exit.UNHEALTHY)
