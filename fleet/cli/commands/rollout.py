"""`fleet rollout`: how far the running rollout is, and its end before its time."""

from typing import Annotated, Final

import typer

from fleet.cli import view
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.terminal import ask, data, print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.model import counted
from fleet.operations.rollouts import RolloutArguments, RolloutResult, RolloutStatus

ABOUT: Final = COMMANDS["rollout"]
HELP: Final = with_examples(
    f"{ABOUT} What a stopped one has begun stays begun: fleet rollback --all puts it back.",
    "fleet rollout",
    "fleet rollout 12        an earlier one, see: fleet history",
    "fleet rollout --stop",
)
_HEADER = ("ROOM", "STATION", "REVISION", "OUTCOME", "WHY")


def run(
    ctx: typer.Context,
    number: Annotated[
        int | None, typer.Argument(metavar="N", min=1, help="Its number; the last without it.")
    ] = None,
    end: Annotated[bool, typer.Option("--stop", help="Begin no more stations.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask for it and show it."""
    arguments = RolloutArguments(number, end)
    found = ask(ctx, lambda m: m.ask("rollout", arguments, RolloutResult))
    if json:
        print_json(found)
    elif found.rollout is None:
        say(f"nothing was ever rolled out; {instead('apply', 'FILE')} begins")
    else:
        _show(found.rollout, found.timezone)


def _show(one: RolloutStatus, timezone: str) -> None:
    lines = [
        view.TableRow(
            tuple(
                clean(text)
                for text in (
                    target.room or "-",
                    target.station,
                    str(target.revision or "-"),
                    target.outcome,
                    target.why or "",
                )
            )
        )
        for target in one.targets
    ]
    if lines:
        view.show(lines, data(), _HEADER)
    why = f": {one.why}" if one.why else ""
    of = f" of {one.file}" if one.file else ""
    say(
        clean(
            f"{one.kind} {one.number}{of} by {one.by} at "
            f"{view.moment(one.at, timezone)}: {one.phase} "
            f"({one.settled} of {counted(len(one.targets), 'station')}){why}"
        )
    )
