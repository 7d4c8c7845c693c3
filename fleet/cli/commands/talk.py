"""`fleet talk`: whether a talk is on in a room, whatever its hours say."""

from typing import Annotated, Final, Literal

import typer

from fleet.cli.arguments import seconds
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean, ending
from fleet.operations.stations import SaidResult, TalkArguments

ABOUT: Final = COMMANDS["talk"]
HELP: Final = with_examples(
    f"{ABOUT} auto goes by the schedule in rooms that it knows, and by the hours in the "
    "conference file elsewhere, as if nobody had said anything. on and off hold for 12 hours "
    "unless --for says otherwise.",
    "fleet talk hall1 on",
    "fleet talk hall1 off --for 90m",
    "fleet talk hall1 auto",
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    talk: Annotated[
        Literal["on", "off", "auto"],
        typer.Argument(metavar="on|off|auto", help="Whether one is on; auto: by the schedule."),
    ],
    length: Annotated[
        float | None,
        typer.Option("--for", metavar="TIME", parser=seconds, help="Such as 30m, 2h or 1d."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    arguments = TalkArguments(room, talk, length)
    found = ask(ctx, lambda manager: manager.ask("talk", arguments, SaidResult))
    if json:
        print_json(found)
    else:
        say(clean(f"talk in {found.name}: {found.state}{ending(found)}"))
