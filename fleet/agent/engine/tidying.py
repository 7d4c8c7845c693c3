"""Lets roles finish what instances have left that are gone; now and then, in a thread."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from fleet.agent.engine.host import Surroundings
from fleet.guard import contained
from fleet.loop import is_ours, theirs
from fleet.role import OwnStation, RoleFactory

log = logging.getLogger(__name__)

TIDY_LOOKS: Final = 3
"""Looks at what was left, after a start and after instances were taken away."""
TIDY_SECONDS: Final = 60.0
"""Seconds each of them may take of a role, for the next one to be waited for."""


class Tidying:
    """`there`: the instances of a role that are there now, which are left alone."""

    def __init__(self, around: Surroundings, there: Callable[[str], frozenset[str]]) -> None:
        self._around = around
        self._there = there
        self._looks = TIDY_LOOKS
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def look_again(self) -> None:
        """Something was taken away."""
        self._looks = TIDY_LOOKS

    async def tidy(self, factories: Mapping[str, RoleFactory[Any]]) -> None:
        """Have each role look, if anything may be left."""
        if not self._looks:
            return
        self._looks -= 1
        around, place = self._around, self._around.place
        for role, factory in factories.items():
            name = around.name or place.station
            there = self._there(role)
            looks = [OwnStation(place.station, name, around.room, place.recordings, there)]
            if place.former is not None:  # nothing begins there any more
                looks.append(evolve(looks[0], recordings=place.former, instances=frozenset()))
            before = self._under_way.get(role)
            if before is None or before.done():
                task = self._under_way[role] = asyncio.create_task(_finish(factory, looks))
                await asyncio.wait({task}, timeout=TIDY_SECONDS)
                if not task.done():
                    log.error("%s is still not done with what it has left: go on without", role)


async def _finish(factory: RoleFactory[Any], looks: Sequence[OwnStation]) -> None:
    theirs.set(not is_ours(factory))
    try:
        for facts in looks:
            await contained(asyncio.to_thread(factory.tidy, facts))
    except Exception:
        log.exception("what %s has left could not be finished", type(factory).__name__)
