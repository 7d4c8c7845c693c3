"""`fleet check`: what one runs every morning."""

from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.connection import Manager
from fleet.cli.terminal import Exit, ask, data, print_json, progress, put, say, stop
from fleet.cli.view import clean
from fleet.explained import table
from fleet.model import counted
from fleet.operations.check import CheckArguments, CheckLook, CheckResult, CheckTrouble

ABOUT: Final = COMMANDS["check"]
HELP: Final = with_examples(
    f"{ABOUT} Each decodes its newest closed segment, sees the newest grow, listens to the last "
    f"minute of each track and plays its own streams. Takes some seconds. Ends with 0 if all is "
    f"well, 3 if not, 4 if there is nobody to ask.",
    "fleet check",
    "fleet check hall1",
    "fleet check --json",
)


_STYLES: Final = {"go": "bold red", "look": "yellow", "unknown": "bright_black", "ok": "green"}


def run(
    ctx: typer.Context,
    room: Annotated[
        str | None,
        typer.Argument(metavar="ROOM", help="Only this one.", autocompletion=rooms),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have everybody look, and show what they saw."""

    async def work(manager: Manager) -> CheckResult:
        return await manager.ask("check", CheckArguments(room), CheckResult)

    with progress() as told:
        told("the boxes look at what they do")
        found = ask(ctx, work)
    if json:
        print_json(found)
    else:
        _show(found)
    if not found.stations:
        away = ", ".join(map(clean, found.maintenance))
        if away:
            why = f"only those in maintenance ({away})"
        elif room is not None:
            why = f"nothing is wanted of a station in {clean(room)}: name one in the file, apply it"
        else:
            why = "apply a file first"
        stop(f"there is nobody to ask: {why}", Exit.UNKNOWN)
    if not found.well:
        raise typer.Exit(Exit.UNHEALTHY)


def _show(found: CheckResult) -> None:
    console = data()
    rows = [*map(_trouble, found.troubles), *(_look(one) for one in found.looks if one.of)]
    if console.is_terminal:
        grid = Table.grid(padding=(0, 2))
        for width in (4, 8, 12, None):
            grid.add_column(no_wrap=width is not None, overflow="fold")
        for row in rows:
            grid.add_row(Text(row[0], _STYLES.get(row[0], "")), *map(Text, row[1:]))
        console.print(grid)
    elif rows:
        for line in table(rows):
            put(line)
    for name in found.maintenance:
        say(f"{clean(name)} is in maintenance and was left out")
    if found.stations:
        say(_conclusion(found))


def _trouble(one: CheckTrouble) -> tuple[str, str, str, str]:
    """How bad, the room, the box to walk to, and what is wrong there."""
    more = "; ".join(filter(None, (one.where, one.command)))
    text = f"{one.text} ({more})" if more else one.text
    return one.level.value, clean(one.room or "-"), clean(one.station or "-"), clean(text)


def _look(one: CheckLook) -> tuple[str, str, str, str]:
    word = "ok" if one.well == one.of else "not"
    text = f"{one.name}: {one.well} of {one.of}" + (f", {one.text}" if one.text else "")
    return word, "", "", clean(text)


def _conclusion(found: CheckResult) -> str:
    boxes = counted(found.stations, "station")
    if found.well:
        return f"{boxes}, all well"
    return f"{boxes}, not all well"
