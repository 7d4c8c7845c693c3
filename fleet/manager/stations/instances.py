"""What is remembered of each instance: when its failure began, how often it was restarted. Pure.

A station says when a state or failure began and how often it restarted an instance since its own
start. But between two tries it starts or runs, an earlier release says when the last try was, and a
total hides whether it was today. Moments
are `datetime`s of the station's clock, seconds those of the manager's monotonic one.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from fleet.model import InstanceStatus, State

HOUR: Final = 3600.0
CRASH_LOOP_SECONDS: Final = 300.0
HELD: Final = 60.0
"""Seconds an instance must run before its next failure is a new one, as for the agent."""
_GRAIN: Final = 10.0
"""Seconds within which restarts are remembered as one moment: an hour stays small."""
_UNEXPLAINED: Final = frozenset({"ChildExited", "RoleCrashed", "Stalled", "CrashLoop"})
"""Reasons that say no more than that it crashed."""
_FAILING: Final = (State.BACKOFF, State.FAILED)

InstanceKey = tuple[str, str]
"""Role and instance."""


@frozen
class InstanceMemory:
    """One instance over time. `rises`: (when, how many) it was restarted, in the last hour."""

    last: InstanceStatus
    failing: datetime | None = None
    """When the failure began that may not be over."""
    rises: tuple[tuple[float, int], ...] = ()
    explained: float = float("-inf")
    """When it last said what to fix: what was before is no crash loop."""

    @property
    def since(self) -> datetime:
        """When it began to be as it is; a failure includes its tries."""
        if self.failing is None or self.last.state in (State.RUNNING, State.COMPLETED):
            return self.last.since
        return self.failing

    def heard(self, one: InstanceStatus, now: float) -> "InstanceMemory":
        """What is remembered once `one` was said, too."""
        if one == self.last:
            return self
        rise = one.restarts - self.last.restarts
        if rise < 0:  # its agent began anew
            rise = one.restarts
        rises = tuple(it for it in self.rises if it[0] >= now - HOUR)
        if rise and rises and rises[-1][0] > max(now - _GRAIN, self.explained):
            rises = (*rises[:-1], (rises[-1][0], rises[-1][1] + rise))
        elif rise:
            rises = (*rises, (now, rise))
        return evolve(
            self,
            last=one,
            failing=self._failing(one),
            rises=rises,
            explained=now if _is_explained(one) else self.explained,
        )

    def _failing(self, one: InstanceStatus) -> datetime | None:
        last = self.last
        if one.state in (State.STOPPED, State.STOPPING, State.COMPLETED):
            return None
        if one.revision is not None:  # of a release that knows it itself, but while it starts
            over = one.state is State.RUNNING
            return one.since if one.state in _FAILING else None if over else self.failing
        held = last.state is State.RUNNING and (one.since - last.since).total_seconds() >= HELD
        began = None if held else self.failing
        if one.state in _FAILING:
            return began or one.since
        return began

    def restarts(self, now: float) -> int:
        """How often it was restarted in the last hour."""
        return sum(rise for at, rise in self.rises if at >= now - HOUR)

    def wears_off(self, now: float) -> float:
        """When what is counted here may be less, if nothing is heard meanwhile."""
        moments = (at + held for at, _ in self.rises for held in (CRASH_LOOP_SECONDS, HOUR))
        return min((one for one in moments if one >= now), default=math.inf)

    def crashes(self, now: float) -> int:
        """How often it crashed of late without a word of what to fix."""
        since = max(now - CRASH_LOOP_SECONDS, self.explained)
        return sum(rise for at, rise in self.rises if at >= since and at > self.explained)


def _is_explained(one: InstanceStatus) -> bool:
    return one.state in _FAILING and one.reason not in _UNEXPLAINED


def first(one: InstanceStatus, now: float) -> InstanceMemory:
    """What is remembered of an instance that was never heard of before."""
    failing = one.since if one.state in _FAILING else None
    return InstanceMemory(one, failing, (), now if _is_explained(one) else float("-inf"))


def heard(
    before: Mapping[InstanceKey, InstanceMemory],
    roles: Mapping[str, Mapping[str, InstanceStatus]],
    now: float,
) -> dict[InstanceKey, InstanceMemory]:
    """What is remembered after a whole status; what is not in it is forgotten."""
    return {
        (role, name): (
            before[role, name].heard(one, now) if (role, name) in before else first(one, now)
        )
        for role, instances in roles.items()
        for name, one in instances.items()
    }
