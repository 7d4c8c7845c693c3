"""`fleet apply`: make a conference file what is wanted, and see it through."""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli import conference
from fleet.cli.connection import Denied, Manager
from fleet.cli.following import Verdicts, follow
from fleet.cli.sync import Standing, judge_all
from fleet.cli.terminal import (
    Exit,
    ask,
    print_json,
    progress,
    say,
    stop,
    stop_denied,
    with_examples,
)
from fleet.cli.view import clean
from fleet.operations import ApplyArguments, ApplyResult, PlanArguments, PlanResult, StatusResult
from fleet.wire import to_json

ABOUT: Final = "Make a conference file what is wanted of the stations."
HELP: Final = with_examples(
    f"{ABOUT} Shows the plan, asks, and waits until every station that is online does what is "
    f"wanted; the others get it when they come back. Ends with 0 when the online ones are in "
    f"sync, 1 if one rejects or fails, more on an error.",
    "fleet apply conference.toml",
    "fleet apply conference.toml --yes        without asking, as in a script",
)
PATIENCE: Final = 60.0
"""Seconds the stations have to do what is wanted."""
STEADY: Final = 3.0
"""Seconds an instance stays failed before it is believed: the next try may go well."""


class _Watch:
    """Decides when there is no more to wait for."""

    def __init__(self) -> None:
        self._failed_since: float | None = None

    def is_over(self, verdicts: Verdicts) -> bool:
        standings = {one.standing for one in verdicts}
        now = asyncio.get_running_loop().time()
        if Standing.FAILED not in standings:
            self._failed_since = None
        elif self._failed_since is None:
            self._failed_since = now
        steady = self._failed_since is not None and now - self._failed_since >= STEADY
        return Standing.WORKING not in standings and (steady or Standing.FAILED not in standings)


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The conference file (TOML).")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Plan, ask, apply, follow."""
    if not yes and not sys.stdin.isatty():
        stop(f"nobody can be asked here; type: fleet apply --yes {shlex.quote(str(file))}")
    text, name = conference.read(file), str(file)
    try:
        plan = ask(ctx, lambda m: m.ask("plan", PlanArguments(text, name), PlanResult))
        if not json:
            conference.show(plan)
        if not (plan.is_empty or yes) and not typer.confirm("Apply?", err=True):
            stop("nothing was applied", Exit.NO)
        with progress() as tell:

            async def work(manager: Manager) -> tuple[ApplyResult, StatusResult]:
                applied = await manager.ask("apply", ApplyArguments(text, name), ApplyResult)
                return applied, await follow(manager, _Watch().is_over, PATIENCE, tell)

            applied, found = ask(ctx, work)
    except Denied as denied:
        stop_denied(denied, name)
    if json:
        print_json({**to_json(applied), **to_json(found)})
    _conclude(judge_all(found.stations))


def _conclude(verdicts: Verdicts) -> None:
    """Say who stands where and end with the exit code that follows."""
    for one in verdicts:
        if one.standing is Standing.PENDING:
            say(clean(f"pending: {one}; it gets its config when it comes back"))
        elif one.standing is not Standing.IN_SYNC:
            say(clean(str(one)))
    ready = sum(one.standing is Standing.IN_SYNC for one in verdicts)
    say(f"{ready} of {len(verdicts)} stations in sync")
    if any(one.standing not in (Standing.IN_SYNC, Standing.PENDING) for one in verdicts):
        raise typer.Exit(Exit.NO)
