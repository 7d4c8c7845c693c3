"""`fleet status`: what every station does, those that need somebody first."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer
from attrs import evolve
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fleet.cli import folding, view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms_and_stations
from fleet.cli.connection import Denied, Manager, Unreachable, converse
from fleet.cli.options import Options
from fleet.cli.receipts import verdict_lines
from fleet.cli.sync import matching, near, worst_first
from fleet.cli.talks import talk_lines
from fleet.cli.terminal import (
    Exit,
    ask,
    data,
    print_json,
    say,
    stop,
)
from fleet.cli.view import clean
from fleet.operations.stations import StatusResult

ABOUT: Final = COMMANDS["status"]
HELP: Final = with_examples(
    f"{ABOUT} Ends with 0 if all is well, 3 if not, 4 if nothing is known because there is no "
    f"manager or no broker. A room whose sound nobody watches is shown, and changes none of these. "
    f"On a terminal many stations of one kind share a line; a pipe gets a line for each.",
    "fleet status",
    "fleet status hall1              one room, or one station",
    "fleet status --unwell           only stations that need somebody",
    "fleet status --watch",
    "fleet status --json | jq '.stations[] | select(.in_sync | not) | .name'",
)
_PACE: Final = 1.0
"""Seconds between two looks of --watch."""
_AROUND: Final = 3
"""Lines of a screen for what stands above and below."""


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
    there = {one.room for one in ordered}
    of_them = tuple(one for one in found.rooms if name is None or one.name in there)
    return evolve(found, stations=ordered, in_sync=in_sync, rooms=of_them)


def _chosen(found: StatusResult, unwell: bool) -> StatusResult:
    """What is shown of it."""
    if not unwell:
        return found
    return evolve(found, stations=tuple(one for one in found.stations if not one.well))


def _show(found: StatusResult, unwell: bool) -> None:
    if not found.stations:
        for line in _besides(found):
            say(line)
        say(
            "no station has been heard from yet, and no file applied; start fleet-agent on a box "
            "that has joined (fleet token)"
        )
        return
    shown, console = _chosen(found, unwell), data()
    now = view.zoned(found.at, found.timezone)
    if console.is_terminal:
        told, table = _screen(shown, now, console)
        console.print(*map(Text, told), *table, sep="\n")
    else:
        for line in (*view.rooms(shown), *_besides(shown)):
            say(line)
        if shown.stations:
            view.show(view.lines(shown.stations, now), console, view.header(now))
    say(view.conclusion(found))
    first = folding.worst(found.stations)
    if console.is_terminal and first:
        say(f"worst: {first}", "bold red")


def _besides(found: StatusResult) -> Iterator[str]:
    """Talks, and what is wrong with no room alone."""
    yield from talk_lines(found)
    yield from verdict_lines(found)
    for ack in found.acknowledged:
        if any(one.room == ack.room for one in found.stations):
            now = view.zoned(found.at, found.timezone)
            until = f"{view.clock(ack.until, now)} {now:%Z}"
            yield clean(f"{ack.room}  {ack.by} sees to it until {until}")
    for one in found.findings:
        yield clean(f"{one.level}: {one.text}: {one.detail}")


def _screen(
    found: StatusResult, now: datetime, console: Console
) -> tuple[tuple[str, ...], list[RenderableType]]:
    """Lines and a table for a terminal: where they do not fit, what is well is one line."""
    lines = (*folding.fold_rooms(found, console.height // 4), *_besides(found))
    folded = folding.fold(found.stations)
    for shown in (folded, folding.fold_well(folded)):
        table: list[RenderableType] = [Text(line, "yellow") for line in shown.lines]
        if shown.stations:
            rows = view.lines(shown.stations, now)
            table.insert(0, view.table(rows, view.header(now), console.width))
        height = len(console.render_lines(Group(*table)))
        if len(lines) + height + _AROUND <= console.height:
            break
    return lines, table


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
            if json:
                print_json(chosen)
            elif console.is_terminal:
                told, table = _screen(chosen, now, console)
                heading = f"{now:%H:%M:%S %Z}  {view.conclusion(found)}"
                live.update(Group(Text(heading, "bold"), *map(Text, told), *table), refresh=True)
            elif (lines := view.lines(chosen.stations, now)) != shown:
                print(*view.plain(lines, view.header(now)), "", sep="\n", flush=True)
                shown = lines
            time.sleep(_PACE)
