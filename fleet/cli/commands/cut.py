"""`fleet cut`: show a room's sources otherwise."""

from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.mixer import tell
from fleet.operations.actions import Composite

ABOUT: Final = COMMANDS["cut"]
HELP: Final = with_examples(
    f"{ABOUT} What is not given stays as it is; with nothing given it says what is shown. It is "
    f"seen within half a second, and kept until somebody cuts again. Ends with 0 if the mixer "
    f"did it, 1 if it refused, 4 if it cannot be reached.",
    "fleet cut hall1 --composite fullscreen --a cam",
    "fleet cut hall1 --composite side_by_side --a slides --b cam",
    "fleet cut hall1                        what is shown now",
)


def run(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The room.", autocompletion=rooms)],
    composite: Annotated[
        Composite | None,
        typer.Option(metavar="C", help="fullscreen, side_by_side or picture_in_picture."),
    ] = None,
    a: Annotated[str | None, typer.Option(metavar="S", help="The source shown first.")] = None,
    b: Annotated[str | None, typer.Option(metavar="S", help="The source shown second.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the mixer."""
    if composite or a or b:
        tell(ctx, room, "cut", composite, a, b, json=json)
    else:
        tell(ctx, room, "mixer", json=json)
