"""Follows the stations until they stand where they are wanted, or it is clear they will not."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fleet.cli.connection import Manager
from fleet.cli.sync import standing_text, wanted
from fleet.cli.view import clean
from fleet.operations import Standing, StationStatus, StatusResult

Stations = tuple[StationStatus, ...]
"""Those of which something is wanted."""

_PACE: Final = 0.25
"""Seconds between two looks, at least."""
_NO_ARGUMENTS: Final[dict[str, Any]] = {}


async def status(manager: Manager) -> StatusResult:
    """What every station does now."""
    return await manager.ask("status", _NO_ARGUMENTS, StatusResult)


async def follow(
    manager: Manager,
    is_over: Callable[[Stations], bool],
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
        stations = wanted(found.stations)
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
