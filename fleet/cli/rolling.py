"""A rollout from the asking to the end, for `apply` and `rollback`; the work is the manager's.

`follow` looks at the stations until they stand where they are wanted, for `wait` too.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Final

import typer
from attrs import field, frozen

from fleet.cli.conference import names
from fleet.cli.connection import Manager
from fleet.cli.folding import MANY, named
from fleet.cli.sync import matching, standing_text, wanted
from fleet.cli.terminal import Exit, Telling, ask, messages, print_json, progress, say, stop
from fleet.cli.typed import again, instead
from fleet.cli.view import clean, zoned
from fleet.model import counted
from fleet.operations.health import Standing
from fleet.operations.plans import PlanResult
from fleet.operations.rollouts import (
    PATIENCE,
    STEADY,
    ApplyResult,
    RolloutArguments,
    RolloutResult,
    RolloutStatus,
)
from fleet.operations.stations import StationStatus, StatusResult
from fleet.wire import to_json

_AFTERWARDS: Final = 10.0
"""Seconds to see how the others end when a rollout was stopped."""
_PACE: Final = 0.25
"""Seconds between two looks, at least."""

Stations = tuple[StationStatus, ...]
"""Those of which something is wanted."""


def agree(plan: PlanResult, *, yes: bool, interrupt: bool) -> bool:
    """Ask what has to be asked; whether running recordings may be interrupted.

    Ends the command where the answer is no, or where nobody can be asked.
    """
    if plan.is_empty:
        return interrupt
    spared = () if interrupt else plan.interrupted
    if spared:
        say(f"this interrupts what is recording now: {names(spared)}", "bold red")
        if not sys.stdin.isatty():
            needed = ("--interrupt",) if yes else ("--yes", "--interrupt")
            stop(f"that needs --interrupt; type: {again(*needed)}")
        if not typer.confirm(f"Interrupt {counted(len(spared), 'recording')}?", err=True):
            stop("nothing was applied", Exit.NO)
        return True
    if not yes and not sys.stdin.isatty():
        stop(f"nobody can be asked here; type: {again('--yes')}")
    if not yes and not typer.confirm("Apply?", err=True):
        stop("nothing was applied", Exit.NO)
    return interrupt


@frozen
class _Outcome:
    applied: ApplyResult
    rollout: RolloutStatus | None
    found: StatusResult


@frozen
class _Journey:
    """`only`: the room or station it is about; `numbers`: the rollout's, once it has begun."""

    begin: Callable[[Manager], Awaitable[ApplyResult]]
    tell: Telling
    only: str | None
    numbers: list[int] = field(factory=list)

    async def __call__(self, manager: Manager) -> _Outcome:
        applied = await self.begin(manager)
        self.numbers.append(applied.rollout)
        rollout = await _until_over(manager, applied.rollout, self.tell)
        stopped = rollout is not None and rollout.phase in ("stopped", "undone")
        is_over = _nobody_works if stopped else _Watch().is_over
        patience = _AFTERWARDS if stopped else PATIENCE
        found = await follow(manager, is_over, patience, self.tell, self.only)
        return _Outcome(applied, rollout, found)


def see_through(
    ctx: typer.Context,
    begin: Callable[[Manager], Awaitable[ApplyResult]],
    *,
    only: str | None,
    json: bool,
) -> None:
    """Begin a rollout, show how it goes, and end with the exit code that follows.

    `only`: the one room or station that it is about.

    Raises:
        Denied: the manager refused to begin it.
    """
    with progress() as tell:
        journey = _Journey(begin, tell, only)
        try:
            outcome = ask(ctx, journey)
        except KeyboardInterrupt:
            if journey.numbers:
                say(f"the manager goes on with it; {instead('rollout')} shows how far it is")
            raise
    if json:
        more = {"rollout": to_json(outcome.rollout)}
        print_json({**to_json(outcome.applied), **to_json(outcome.found), **more})
    found = outcome.found
    conclude(wanted(_concerned(found.stations, only)), outcome.rollout, found.timezone)


def say_lagging(stations: Stations) -> None:
    """Say of each that is not in sync why not; on a terminal many that are away are one line."""
    lagging = [one for one in stations if one.standing is not Standing.IN_SYNC]
    pending = [one for one in lagging if one.standing is Standing.PENDING]
    if len(pending) < MANY or not messages().is_terminal:
        pending = []
    for one in lagging:
        if one not in pending:
            say(clean(standing_text(one)))
    if pending:
        say(f"{len(pending)} stations are away: {named([one.name for one in pending])}")


def say_stops(stations: Stations, timezone: str) -> None:
    """Say what does not run because somebody stopped it: nobody waits for that."""
    for station in stations:
        for one in station.stops:
            why = station.unstopped(one)
            text = one.text(zoned(one.at, timezone).tzinfo or UTC)
            how = "stays" if why is None else f"is {why}:"
            say(clean(f"{station.name} {one.role}/{one.instance} {how} {text}"))


def _concerned(stations: Sequence[StationStatus], only: str | None) -> Sequence[StationStatus]:
    return stations if only is None else matching(stations, only)


async def _until_over(manager: Manager, number: int, tell: Telling) -> RolloutStatus | None:
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        result = await manager.ask("rollout", RolloutArguments(number), RolloutResult)
        if result.rollout is None:
            return None
        tell(_how_far(result.rollout))
        if result.rollout.phase != "running":
            return result.rollout
        # A rollout that is large to describe is asked for less often.
        await asyncio.sleep(max(_PACE, 4 * (loop.time() - asked)))


def _how_far(rollout: RolloutStatus) -> str:
    targets = rollout.targets
    at_work = [one for one in targets if one.outcome == "begun"]
    text = f"{rollout.settled} of {counted(len(targets), 'station')}"
    if at_work:
        why = ": ".join(filter(None, (at_work[0].station, at_work[0].why)))
        text += f"; waiting for {clean(why)}"
    return text


async def follow(
    manager: Manager,
    is_over: Callable[[Stations], bool],
    seconds: float,
    tell: Telling,
    only: str | None = None,
) -> StatusResult:
    """Look again and again until `is_over`, at most for `seconds`; the last look.

    `only`: the room or station that is waited for, None for all.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        asked = loop.time()
        found = await manager.status()
        took = loop.time() - asked
        stations = wanted(_concerned(found.stations, only))
        left = end - loop.time()
        if is_over(stations) or left <= 0:
            return found
        tell(_waiting_for(stations))
        # A fleet that is large to describe is asked less often.
        await asyncio.sleep(min(left, max(_PACE, 4 * took)))


def _waiting_for(stations: Stations) -> str:
    lagging = [one for one in stations if one.standing is not Standing.IN_SYNC]
    count = f"{len(stations) - len(lagging)} of {len(stations)} in sync"
    if not lagging:
        return count
    more = f" (and {len(lagging) - 1} more)" if len(lagging) > 1 else ""
    return f"{count}; waiting for {clean(standing_text(lagging[0]))}{more}"


class _Watch:
    """Decides when there is no more to wait for."""

    def __init__(self) -> None:
        self._failed_since: float | None = None

    def is_over(self, stations: Stations) -> bool:
        standings = {one.standing for one in stations}
        now = asyncio.get_running_loop().time()
        if Standing.FAILED not in standings:
            self._failed_since = None
        elif self._failed_since is None:
            self._failed_since = now
        steady = self._failed_since is not None and now - self._failed_since >= STEADY
        return Standing.WORKING not in standings and (steady or Standing.FAILED not in standings)


def _nobody_works(stations: Stations) -> bool:
    return all(one.standing is not Standing.WORKING for one in stations)


def conclude(stations: Stations, rollout: RolloutStatus | None, timezone: str) -> None:
    """Say who stands where and end with the exit code that follows.

    Raises:
        Exit: something is not as it is wanted that could be; who is away counts as well.
    """
    pending = [one for one in stations if one.standing is Standing.PENDING and not one.conflict]
    lagging = [one for one in stations if one.standing is not Standing.IN_SYNC]
    failed = [one for one in lagging if one not in pending]
    for one in failed:
        say(clean(standing_text(one)))
    if len(pending) >= MANY and messages().is_terminal:
        told = named([one.name for one in pending])
        say(f"{len(pending)} stations pending: {told}; each gets its config when it comes back")
    else:
        for one in pending:
            say(clean(f"pending: {standing_text(one)}; it gets its config when it comes back"))
    stopped = rollout is not None and rollout.phase in ("stopped", "undone")
    if rollout is not None and stopped:
        how = (
            "ended early"
            if rollout.phase == "stopped"
            else "failed, and what it changed is put back"
        )
        why = f": {rollout.why}" if rollout.why else ""
        say(clean(f"rollout {rollout.number} {how}{why}"))
        waiting = [one.station for one in rollout.targets if one.outcome == "waiting"]
        if waiting:
            say(f"not begun: {names(waiting)}")
    say_stops(stations, timezone)
    ready = sum(one.standing is Standing.IN_SYNC for one in stations)
    say(f"{ready} of {counted(len(stations), 'station')} in sync")
    if stopped or failed:
        raise typer.Exit(Exit.NO)
