"""`fleet retire`: stations that are gone for good."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import stations
from fleet.cli.connection import Denied, Manager
from fleet.cli.terminal import Exit, ask, print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.operations.stations import RetireArguments, StationResult

ABOUT: Final = COMMANDS["retire"]
HELP: Final = with_examples(
    f"{ABOUT} Their history stays. One that comes back is new, and what it runs is left alone "
    "until fleet adopt. Those that cannot be retired are named; the others are retired.",
    "fleet retire hall1-cam",
    "fleet retire hall1-cam hall2-cam",
    "fleet retire hall1-cam --force     also while it is online",
)


def run(
    ctx: typer.Context,
    several: Annotated[
        list[str],
        typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations),
    ],
    force: Annotated[bool, typer.Option("--force", help="Also while they are online.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Ask the manager for each."""

    async def work(manager: Manager) -> bool:
        return all([await _retire(manager, one, force, json) for one in dict.fromkeys(several)])

    if not ask(ctx, work):
        raise typer.Exit(Exit.ERROR)


async def _retire(manager: Manager, station: str, force: bool, json: bool) -> bool:
    """Whether it is done; what was done is said at once, whatever becomes of the next."""
    try:
        arguments = RetireArguments(station, force)
        found = await manager.ask("retire", arguments, StationResult)
    except Denied as denied:
        say(clean(f"fleet: {denied.error.message}"))
        return False
    if json:
        print_json(found)
    else:
        say(clean(f"{found.name} is retired; {instead('history', found.id)} shows what it did"))
    return True
