"""`fleet validate`: what is wrong with a conference file, and what stations would refuse."""

from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.connection import Denied
from fleet.cli.terminal import Exit, ask, print_json, put, say
from fleet.cli.view import clean
from fleet.model import counted
from fleet.operations.plans import ValidateArguments, ValidateResult
from fleet.wire import to_json

ABOUT: Final = COMMANDS["validate"]
HELP: Final = with_examples(
    f"{ABOUT} Settings are compared with what each station says it takes. Ends with 0 if all is "
    f"right, 1 if not, more on an error.",
    "fleet validate conference.toml",
)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The conference file (TOML).")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager and show what it finds."""
    arguments = ValidateArguments(conference.read(file), str(file))
    try:
        found = ask(ctx, lambda manager: manager.ask("validate", arguments, ValidateResult))
    except Denied as denied:
        if denied.error.type != "InvalidConfiguration":
            raise
        if json:
            print_json({"mistakes": to_json(denied.error.problems), "doubts": [], "unheard": []})
        else:
            for problem in denied.error.problems:
                where = ": ".join(filter(None, (problem.path, problem.message)))
                put(f"{file}: {clean(where)}")
        raise typer.Exit(Exit.NO) from None
    if json:
        print_json({"mistakes": [], **to_json(found)})
    else:
        _show(found)
    if found.doubts:
        raise typer.Exit(Exit.NO)


def _show(found: ValidateResult) -> None:
    for doubt in found.doubts:
        put(clean(f"{doubt.station}: {doubt.problem.text}"))
    if found.unheard:
        say(
            "never heard from, so only roles that come with fleet were judged: "
            f"{conference.names(found.unheard)}"
        )
    wrong = len({doubt.id for doubt in found.doubts})
    of = counted(found.stations, "station")
    say(f"{wrong} of {of} would refuse it" if wrong else "nothing is wrong with it")
