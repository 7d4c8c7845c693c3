"""`fleet wait`: until every station does what is wanted of it."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.rolling import Stations, follow, say_lagging, say_stops
from fleet.cli.sync import wanted
from fleet.cli.terminal import Exit, ask, progress, say
from fleet.model import counted
from fleet.operations.health import Standing

ABOUT: Final = COMMANDS["wait"]
HELP: Final = with_examples(
    f"{ABOUT} Stations that are not online count too. Ends with 0 when all are in sync; with 1 "
    f"at once when one rejects what is wanted, or when the time is over.",
    "fleet wait",
    "fleet wait --timeout 300 && echo doors open",
)


def _is_over(stations: Stations) -> bool:
    standings = {one.standing for one in stations}
    return Standing.REJECTED in standings or standings <= {Standing.IN_SYNC}


def run(
    ctx: typer.Context,
    timeout: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds to wait at most.")
    ] = 60.0,
) -> None:
    """Follow all stations and say who lags."""
    with progress() as tell:
        found = ask(ctx, lambda manager: follow(manager, _is_over, timeout, tell))
    stations = wanted(found.stations)
    lagging = [one for one in stations if one.standing is not Standing.IN_SYNC]
    say_lagging(stations)
    say_stops(stations, found.timezone)
    if not lagging:
        say(f"all in sync: {counted(len(stations), 'station')}")
        return
    if not any(one.standing is Standing.REJECTED for one in lagging):
        say(
            f"{len(lagging)} of {counted(len(stations), 'station')} not in sync after {timeout:g} s"
        )
    raise typer.Exit(Exit.NO)
