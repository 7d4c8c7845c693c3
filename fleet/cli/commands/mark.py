"""`fleet mark`: where a recording of a room is to begin, end or be cut."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.moments import at_time
from fleet.cli.terminal import ask, print_json, say, stop
from fleet.cli.view import clean, moment
from fleet.operations.recordings import MarkArguments, MarkResult
from fleet.operations.schedule import ScheduleArguments, ScheduleResult

ABOUT: Final = COMMANDS["mark"]
HELP: Final = with_examples(
    f"{ABOUT} --at takes a time of today in the conference's time zone (14:05, 14:05:30), or a "
    f"whole one (2026-02-01T14:05:30+01:00); without it the mark is set now.",
    "fleet mark hall1 start",
    "fleet mark hall1 end --at 14:52:10",
    'fleet mark hall1 cut --note "fire alarm"',
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    kind: Annotated[
        Literal["start", "end", "cut"],
        typer.Argument(metavar="start|end|cut", help="What is to be done there."),
    ],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When; now unless given.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="Why.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    when = None
    if at is not None:
        asked = ScheduleArguments()
        zone = ask(ctx, lambda manager: manager.ask("schedule", asked, ScheduleResult)).timezone
        try:
            when = at_time(at, datetime.now(UTC), zone)
        except ValueError as error:
            stop(str(error))
    arguments = MarkArguments(room, kind, when, note)
    found = ask(ctx, lambda manager: manager.ask("mark", arguments, MarkResult))
    if json:
        print_json(found)
    else:
        made = found.mark
        say(clean(f"{made.kind} in {made.room} at {moment(made.at, found.timezone)}"))
