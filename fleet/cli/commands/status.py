"""`fleet status`: what every station does, those that need somebody first."""

import asyncio
import contextlib
import time
from typing import Annotated, Final

import typer
from attrs import evolve
from rich.console import Group
from rich.live import Live
from rich.text import Text

from fleet.cli import view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms_and_stations
from fleet.cli.connection import Denied, Manager, Unreachable, converse
from fleet.cli.sync import matching, near, worst_first
from fleet.cli.talks import talk_lines
from fleet.cli.terminal import (
    Exit,
    Options,
    ask,
    data,
    print_json,
    say,
    stop,
)
from fleet.cli.view import clean
from fleet.operations import StatusResult

ABOUT: Final = COMMANDS["status"]
HELP: Final = with_examples(
    f"{ABOUT} Ends with 0 if all is well, 3 if not, 4 if nothing is known because there is no "
    f"manager or no broker.",
    "fleet status",
    "fleet status hall1              one room, or one station",
    "fleet status --unwell           only stations that need somebody",
    "fleet status --watch",
    "fleet status --json | jq '.stations[] | select(.in_sync | not) | .name'",
)
_PACE: Final = 1.0
"""Seconds between two looks of --watch."""


def run(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ROOM|STATION",
            help="Only this room, or this station (its name or id).",
            autocompletion=rooms_and_stations,
        ),
    ] = None,
    unwell: Annotated[
        bool, typer.Option("--unwell", help="Only the stations that need somebody.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; one line a look.")] = False,
) -> None:
    """Ask, show, and end with how well all is."""
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(ctx.obj, name, unwell, json)
        return
    found = pick(ask(ctx, Manager.status), name)
    if json:
        print_json(_chosen(found, unwell))
    else:
        _show(found, unwell)
    if not all(one.well for one in found.stations):
        raise typer.Exit(Exit.UNHEALTHY)


def pick(found: StatusResult, name: str | None) -> StatusResult:
    """What was asked for, worst first; ends the command where there is no such thing."""
    stations = found.stations
    if name is not None:
        stations = matching(stations, name)
        if not stations:
            known = {text for one in found.stations for text in (one.room, one.name) if text}
            hint = near(name, sorted(known), [one.id for one in found.stations])
            stop(f"there is no room or station {name!r}; {hint}")
    ordered = worst_first(stations)
    in_sync = all(one.in_sync for one in ordered if one.wanted is not None)
    return evolve(found, stations=ordered, in_sync=in_sync)


def _chosen(found: StatusResult, unwell: bool) -> StatusResult:
    """What is shown of it."""
    if not unwell:
        return found
    return evolve(found, stations=tuple(one for one in found.stations if not one.well))


def _show(found: StatusResult, unwell: bool) -> None:
    if not found.stations:
        say("no station has been heard from yet, and no file applied; start fleet-agent on a box")
        return
    shown = _chosen(found, unwell)
    for room in view.rooms(shown):
        say(room)
    for talk in talk_lines(shown):
        say(talk)
    for finding in found.findings:
        say(clean(f"{finding.level}: {finding.text}: {finding.detail}"))
    now = view.zoned(found.at, found.timezone)
    console, stations, others = data(), shown.stations, None
    if console.is_terminal:
        stations, others = view.never_heard(stations)
    if stations:
        view.show(view.lines(stations, now), console, view.header(now))
    if others:
        console.print(others, style="yellow")
    say(view.conclusion(found))


def _watch(options: Options, name: str | None, unwell: bool, json: bool) -> None:
    """Look once a second, whatever happens to broker and manager meanwhile."""
    access, console = options.access(), data()
    shown: object = None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                found = pick(asyncio.run(converse(access, Manager.status)), name)
            except (Unreachable, Denied) as error:
                if console.is_terminal:
                    live.update(Text(f"unknown: {error}", "bold red"), refresh=True)
                elif shown != str(error):
                    say(str(error))
                    shown = str(error)
                time.sleep(_PACE)
                continue
            now = view.zoned(found.at, found.timezone)
            chosen = _chosen(found, unwell)
            lines = view.lines(chosen.stations, now)
            if json:
                print_json(chosen)
            elif console.is_terminal:
                table = view.table(lines, view.header(now), console.width)
                heading = f"{now:%H:%M:%S %Z}  {view.conclusion(found)}"
                rooms = map(Text, (*view.rooms(chosen), *talk_lines(chosen)))
                live.update(Group(Text(heading, "bold"), *rooms, table), refresh=True)
            elif lines != shown:
                print(*view.plain(lines, view.header(now)), "", sep="\n", flush=True)
                shown = lines
            time.sleep(_PACE)
