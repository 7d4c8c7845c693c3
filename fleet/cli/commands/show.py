"""`fleet show`: what is wanted of a station, or was."""

from datetime import UTC
from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.terminal import ask, print_json, put
from fleet.cli.view import clean, moment, zoned
from fleet.operations.history import ShowArguments, ShowResult

ABOUT: Final = COMMANDS["show"]
HELP: Final = with_examples(
    f"{ABOUT} As a conference file writes it, everything filled in.",
    "fleet show hall1-cam",
    "fleet show hall1-cam --revision 7",
    "fleet show hall1-cam --json | jq .roles.record",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    revision: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Its number; the one wanted without it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask for it and show it."""
    arguments = ShowArguments(station, revision)
    found = ask(ctx, lambda manager: manager.ask("show", arguments, ShowResult))
    if json:
        print_json(found)
        return
    why = f": {found.message}" if found.message else ""
    name = found.name if found.name == found.id else f"{found.name} ({found.id})"
    at = moment(found.at, found.timezone)
    put(clean(f"# {name}: revision {found.revision} by {found.by} at {at}{why}"))
    for one in found.stops:
        text = one.text(zoned(one.at, found.timezone).tzinfo or UTC)
        put(clean(f"# {one.role}/{one.instance}: {text}"))
    put(found.text, end="")
