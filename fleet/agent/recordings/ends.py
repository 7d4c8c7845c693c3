"""What became of instances lately, so that their last segments can say why they ended. Pure."""

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import Final

from fleet.model import InstanceStatus, SegmentEnd, State

_SOURCE: Final = re.compile(r"Source|Device|Stalled|ClockJumped|.*Unreachable")

Statuses = Mapping[str, Mapping[str, InstanceStatus]]


def what_became(status: InstanceStatus) -> SegmentEnd | None:
    """Why an instance in this state writes no more; None where it may. Pure."""
    match status.state:
        case State.STOPPING | State.STOPPED | State.COMPLETED:
            return "stopped"
        case State.BACKOFF | State.FAILED:
            return "source lost" if _SOURCE.match(status.reason or "") else "crash"
    return None


class Ends:
    """What became of instances lately, so that their last segments can say it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, str, str, SegmentEnd]] = deque(maxlen=1000)
        self._states: dict[tuple[str, str], SegmentEnd | None] = {}
        self._before: dict[tuple[str, str], State] = {}
        self.changed = asyncio.Event()
        """Set when an instance does something else than before."""

    def note(self, statuses: Statuses, at: float) -> None:
        """Statuses are so now, in seconds of Unix time."""
        every = {
            (role, name): one for role, named in statuses.items() for name, one in named.items()
        }
        states = {key: one.state for key, one in every.items()}
        if states != self._before:
            self._before = states
            self.changed.set()
        now = {key: what_became(one) for key, one in every.items()}
        for key in self._states.keys() - now.keys():
            self._seen.append((at, *key, "stopped"))
        for key, became in now.items():
            if became is not None and became != self._states.get(key):
                self._seen.append((at, *key, became))
        self._states = now

    def of(self, role: str, instance: str, since: float, until: float) -> SegmentEnd | None:
        """What was seen first of an instance between two moments."""
        for seen, its_role, its_name, ended in self._seen:
            if (its_role, its_name) == (role, instance) and since <= seen <= until:
                return ended
        return None
