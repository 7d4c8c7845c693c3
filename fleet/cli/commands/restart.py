"""`fleet restart`: stop what runs on a station and start it again."""

import asyncio
from typing import Annotated, Final

import typer

from fleet.cli.acting import instance_of, not_running
from fleet.cli.calling import ask, for_station, manager_near
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import instances, stations
from fleet.cli.connection import Line, Manager, StationDenied, connect
from fleet.cli.station import Station, find, runs
from fleet.cli.terminal import Exit, print_json, progress, say, stop
from fleet.cli.view import clean
from fleet.model import Error, natural
from fleet.operations.actions import ActionResult, RestartByHand
from fleet.station import STATION

ABOUT: Final = COMMANDS["restart"]
HELP: Final = with_examples(
    f"{ABOUT} All of it, unless you name a role or an instance; one after another. A recording "
    f"goes on in a new file, a second or two later. Ends with 0 once all of it runs again, 1 if "
    f"something does not, or the station refused, 2 if nothing of that name runs there, 4 if the "
    f"station cannot be reached.",
    "fleet restart hall1-cam record/main",
    "fleet restart hall1-cam record         every instance of the role",
    "fleet restart hall1-cam                all that runs there",
)


def run(
    ctx: typer.Context,
    station: Annotated[
        str, typer.Argument(metavar="STATION", help="Its name or id.", autocompletion=stations)
    ],
    which: Annotated[
        str | None,
        typer.Argument(metavar="ROLE[/INSTANCE]", help="Only these.", autocompletion=instances),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """See what runs there, and have each restarted."""
    role, instance = instance_of(which) if which is not None else ("", None)

    results: list[ActionResult] = []

    async def work(line: Line) -> list[str]:
        found = await find(line, station)
        running = [
            (one, name)
            for one, named in (await runs(line, found)).items()
            for name in named
            if (not role or one == role) and (not instance or name == instance)
        ]
        if instance and not running:
            running = [(role, instance)]  # the station knows better
        done: list[str] = []
        manager = await manager_near(line)
        for one, name in sorted(running, key=_key):
            tell(clean(f"{station} restarts {one}/{name}"))
            result = await _restart(line, manager, found, one, name)
            results.extend(filter(None, [result]))
            done.append(f"{one}/{name}")
        return done

    with progress() as tell:
        restarted = asyncio.run(connect(ctx.obj.access(), work))
    if not restarted:
        stop(clean(f"no {which} runs on {station}" if which else f"nothing runs on {station}"))
    if json:
        print_json({"restarting": restarted})
    else:
        say(clean(f"{station} restarts {', '.join(restarted)}"))
    ill = [text for result in results for text in not_running(result)]
    for text in ill:
        say(clean(text))
    if ill:
        raise typer.Exit(Exit.NO)


def _key(one: tuple[str, str]) -> tuple[object, ...]:
    return tuple(map(natural, one))


async def _restart(
    line: Line, manager: Manager | None, station: Station, role: str, instance: str
) -> ActionResult | None:
    """What became of it, None where only the station was asked."""
    if manager is not None:  # which keeps in mind who did it
        asked = RestartByHand(station.id, role, instance)
        return await for_station(manager, "restart", asked, ActionResult)
    arguments = {"role": role, "instance": instance}
    reply = await ask(line, station, STATION, "restart", arguments)
    if reply.error is not None:
        raise StationDenied(Error(reply.error.type, f"{role}/{instance}: {reply.error.message}"))
    return None
