"""`fleet token`: the line for a new box."""

from typing import Annotated, Final

import typer

from fleet.cli.arguments import seconds
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.terminal import ask, print_json, put, say
from fleet.cli.view import clean, moment
from fleet.operations.joining import HOUR, MOST_USES, TokenArguments, TokenResult

ABOUT: Final = COMMANDS["token"]
HELP: Final = with_examples(
    f"{ABOUT} It is good for an hour and for any number of boxes, unless you say otherwise. "
    "Whoever has it can bring a box in, and do nothing else.",
    "fleet token                       type what it prints on the box, as root",
    "fleet token --for 10m --uses 1    for one box, at once",
    "fleet token --for 7d --approve    for an image: somebody lets each box in",
    "fleet token --room hall1          its boxes serve there",
)


def run(
    ctx: typer.Context,
    length: Annotated[
        float | None,
        typer.Option("--for", metavar="TIME", parser=seconds, help="Such as 10m, 2h or 7d."),
    ] = None,
    uses: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=MOST_USES, help="Boxes it lets in; any number."),
    ] = None,
    room: Annotated[
        str | None,
        typer.Option(metavar="ROOM", help="Where its boxes serve.", autocompletion=rooms),
    ] = None,
    approve: Annotated[
        bool,
        typer.Option("--approve", help="Each box waits until somebody types fleet approve CODE."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager for one."""
    arguments = TokenArguments(length or HOUR, uses, room, approve)
    found = ask(ctx, lambda manager: manager.ask("token", arguments, TokenResult))
    if json:
        print_json(found)
        return
    for note in found.notes:
        say(clean(note))
    boxes = "any number of boxes" if uses is None else "1 box" if uses == 1 else f"{uses} boxes"
    say(clean(f"for {boxes}, until {moment(found.until, found.timezone)}; on each, as root:"))
    more = "" if found.prefix == "fleet" else f" --prefix {found.prefix}"
    put(clean(f"fleet-agent join {found.url} {found.token}{more}"))
