"""The history of all stations: noted as it is heard, and read from the store when somebody asks."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from attrs import evolve

from fleet.manager.rollouts.model import Rollout
from fleet.manager.stations.allowances import HISTORY_BURST, HISTORY_PER_SECOND, Allowances
from fleet.manager.store import BadStore, Issue, Past
from fleet.manager.store.keeper import StoreKeeper
from fleet.model import Ack, Config, DirectCall, PresenceState
from fleet.wire import decode

_MESSAGE: Final = 4000
"""Characters of an error that history keeps."""
_PROBLEMS: Final = 20


class FleetHistory:
    """What was; of each station so much is noted as one that is well ever says."""

    def __init__(self, keeper: StoreKeeper) -> None:
        self._keeper = keeper
        self._lines = Allowances(HISTORY_BURST, HISTORY_PER_SECOND)
        self.left_out = self._lines.left_out
        """By station, how often something was not noted."""

    def ack(self, station: str, ack: Ack) -> None:
        """Note an ack that was heard now."""
        if self._lines.take(station, time.monotonic()):
            self._keeper.remembered.ack(station, _short(ack))

    def presence(self, station: str, state: PresenceState, boot: str | None) -> None:
        """Note a change of presence that was noticed now."""
        if self._lines.take(station, time.monotonic()):
            self._keeper.remembered.presence(station, state, boot)

    def called(self, station: str, calls: Iterable[DirectCall]) -> None:
        """Note what a station says now that it was told past the manager."""
        for one in calls:
            if self._lines.take(station, time.monotonic()):
                self._keeper.remembered.called(station, one)

    async def revisions(self, numbers: Mapping[str, int]) -> dict[str, tuple[Issue, Config]]:
        """One revision of each station, as far as they exist.

        Raises:
            BadStore: it could not be read.
        """
        found = await self._keeper.run(self._keeper.opened.history.revisions, numbers)
        return {station: (one, decode(one.payload, Config)) for station, one in found.items()}

    async def before(self, station: str, revision: int) -> tuple[Issue, Config] | None:
        """The revision that came before this one.

        Raises:
            BadStore: it could not be read.
        """
        found = await self._keeper.run(self._keeper.opened.history.before, station, revision)
        return (found, decode(found.payload, Config)) if found else None

    async def befores(self, since: int) -> dict[str, tuple[int | None, int]]:
        """Station -> (the revision wanted before rollout `since` or later, the one given then).

        Raises:
            BadStore: it could not be read.
        """
        return await self._keeper.run(self._keeper.opened.befores, since)

    async def rejected(self, numbers: Mapping[str, int]) -> frozenset[str]:
        """The stations that rejected the revision named, as far as that is remembered.

        Raises:
            BadStore: it could not be read.
        """
        with suppress(BadStore):
            await self._keeper.remembered.flush()
        return await self._keeper.run(self._keeper.opened.history.rejected, numbers)

    async def past(self, station: str | None, limit: int) -> list[Past]:
        """The last `limit` things that happened to a station, or rollouts and retirements.

        Raises:
            BadStore: it could not be read.
        """
        with suppress(BadStore):
            await self._keeper.remembered.flush()
        return await self._keeper.run(self._keeper.opened.history.past, station, limit)

    async def rollout(self, number: int) -> Rollout | None:
        """The rollout with this number.

        Raises:
            BadStore: it could not be read.
        """
        return await self._keeper.run(self._keeper.opened.rollout, number)


def _short(ack: Ack) -> Ack:
    """What is remembered of an answer: why it was, not all that runs."""
    error = ack.error
    if error is not None:
        error = evolve(error, message=error.message[:_MESSAGE], problems=error.problems[:_PROBLEMS])
    return evolve(ack, error=error, in_force=evolve(ack.in_force, roles={}))
