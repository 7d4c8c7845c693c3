"""`fleet blank`: hide what a room sends out."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.mixer import tell

ABOUT: Final = COMMANDS["blank"]
HELP: Final = with_examples(
    f"{ABOUT} The recording of the program goes on as it was. Ends with 0 if the mixer "
    f"did it, 1 if it refused, 4 if it cannot be reached.",
    "fleet blank hall1",
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the mixer."""
    tell(ctx, room, "blank", json=json)
