"""Follows the stations until they stand where they are wanted, or it is clear they will not."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from fleet.cli.connection import Manager
from fleet.cli.sync import Standing, Verdict, judge_all
from fleet.cli.view import clean
from fleet.operations import StatusResult

Verdicts = Sequence[Verdict]

_PACE: Final = 0.25
"""Seconds between two looks, at least."""
_NO_ARGUMENTS: Final[dict[str, Any]] = {}


async def status(manager: Manager) -> StatusResult:
    """What every station does now."""
    return await manager.ask("status", _NO_ARGUMENTS, StatusResult)


async def follow(
    manager: Manager,
    is_over: Callable[[Verdicts], bool],
    seconds: float,
    tell: Callable[[str], None],
) -> StatusResult:
    """Look again and again until `is_over`, at most for `seconds`; the last look."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        asked = loop.time()
        found = await status(manager)
        took = loop.time() - asked
        verdicts = judge_all(found.stations)
        left = end - loop.time()
        if is_over(verdicts) or left <= 0:
            return found
        tell(_waiting_for(verdicts))
        # A fleet that is large to describe is asked less often.
        await asyncio.sleep(min(left, max(_PACE, 4 * took)))


def _waiting_for(verdicts: Verdicts) -> str:
    lagging = [one for one in verdicts if one.standing is not Standing.IN_SYNC]
    count = f"{len(verdicts) - len(lagging)} of {len(verdicts)} in sync"
    return f"{count}; waiting for {clean(str(lagging[0]))}" if lagging else count
