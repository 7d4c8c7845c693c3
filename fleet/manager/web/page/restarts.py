"""How often instances crashed of late, which a total since the agent's start hides. Pure."""

from itertools import pairwise
from typing import Final

from fleet.model import InstanceStatus, State

WINDOW_SECONDS: Final = 300.0
CRASH_LOOP: Final = 3
"""Restarts within the window that are a crash loop, as for the alerts."""

Totals = tuple[tuple[float, int], ...]
"""Each total that was new, and the monotonic second it was seen in."""

_UNEXPLAINED: Final = frozenset({"ChildExited", "RoleCrashed", "Stalled", "CrashLoop"})
"""Reasons that say no more than that it crashed."""


def restarted(before: Totals, one: InstanceStatus, now: float) -> Totals:
    """What is remembered after `one` was seen: the window, and the total it began with.

    An instance that says what to fix and tries again is in no crash loop.
    """
    total = one.restarts
    if one.state in (State.BACKOFF, State.FAILED) and one.reason not in _UNEXPLAINED:
        return ((now, total),)
    seen = before if before and before[-1][1] == total else (*before, (now, total))
    old = sum(at < now - WINDOW_SECONDS for at, _ in seen)
    return seen[max(0, old - 1) :]


def restarts(seen: Totals) -> int:
    """How many there were; a total that fell began anew with its agent."""
    return sum(
        after - before if after >= before else after for (_, before), (_, after) in pairwise(seen)
    )
