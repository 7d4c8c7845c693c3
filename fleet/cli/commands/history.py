"""`fleet history`: who changed what, when and why, and what became of it."""

from typing import Annotated, Final

import typer

from fleet.cli import view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import ask, data, print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.operations.history import Event, HistoryArguments, HistoryResult

ABOUT: Final = COMMANDS["history"]
HELP: Final = with_examples(
    f"{ABOUT} Revisions are kept for ever; of what people did, the last 100,000; "
    f"answers and presence, for 30 days.",
    "fleet history",
    "fleet history hall1-cam -n 20",
    "fleet history --json | jq '.events[-1]'",
)
_HEADER = ("AT", "WHAT", "NUMBER", "BY", "DETAIL")


def run(
    ctx: typer.Context,
    station: Annotated[
        str | None,
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", metavar="N", min=1, max=10_000, help="Events at most.")
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask for it and show it."""
    arguments = HistoryArguments(station, lines)
    found = ask(ctx, lambda manager: manager.ask("history", arguments, HistoryResult))
    if json:
        print_json(found)
    elif found.events:
        view.show([_line(one, found.timezone) for one in found.events], data(), _HEADER)
    elif station is None:
        say(f"nothing was ever rolled out; {instead('apply', 'FILE')} begins")
    else:
        say(f"nothing is known of {station} yet")


def _line(one: Event, timezone: str) -> view.TableRow:
    at = view.stamp(one.at, timezone)
    number = "-" if one.number is None else str(one.number)
    return view.TableRow(tuple(map(clean, (at, one.kind, number, one.by or "-", one.text))))
