"""`fleet ack`: you see to a room, so nobody is called for it any more."""

from typing import Annotated, Final

import typer

from fleet.cli.arguments import seconds
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.terminal import ask, print_json, say
from fleet.cli.view import clean, ending
from fleet.operations.notifications import AckArguments
from fleet.operations.stations import SaidResult

ABOUT: Final = COMMANDS["ack"]
HELP: Final = with_examples(
    f"{ABOUT} It holds for 30 minutes unless --for says otherwise, and for what is wrong there "
    "now: anything new calls again. The page and fleet status say who sees to it.",
    "fleet ack hall1",
    "fleet ack hall1 --for 2h",
    "fleet ack hall1 --off                 you no longer see to it",
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    length: Annotated[
        float,
        typer.Option("--for", metavar="TIME", parser=seconds, help="Such as 30m, 2h or 1d."),
    ] = "30m",  # type: ignore[assignment]  # as typed; the parser makes seconds of it
    off: Annotated[bool, typer.Option("--off", help="Take it back.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the manager."""
    arguments = AckArguments(room, not off, length)
    found = ask(ctx, lambda manager: manager.ask("ack", arguments, SaidResult))
    if json:
        print_json(found)
    elif off:
        say(clean(f"nobody sees to {found.name}: what is wrong there calls again"))
    else:
        say(clean(f"you see to {found.name}{ending(found)}"))
