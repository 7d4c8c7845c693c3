"""`fleet audio`: have another source of a room heard."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.mixer import tell

ABOUT: Final = COMMANDS["audio"]
HELP: Final = with_examples(
    f"{ABOUT} fleet cut ROOM says which there are. Ends with 0 if the mixer did it, 1 if it "
    f"refused, 4 if it cannot be reached.",
    "fleet audio hall1 slides",
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source to be heard.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the mixer."""
    tell(ctx, room, "audio", source, json=json)
