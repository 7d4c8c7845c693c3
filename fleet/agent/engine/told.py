"""What is told of one instance: its state with reason and time, and how often it was restarted."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from attrs import evolve

from fleet.agent.engine.clock import Clock
from fleet.model import InstanceStatus, State, clip

_HOUR: Final = 3600.0
_MESSAGE: Final = 2000
_REASON: Final = 64
"""Characters of a message, and of a reason, that are shown."""
_CLOCK_SET: Final = timedelta(seconds=1)
"""What is less is no clock that was set."""


class ToldStatus:
    """`changed` is called whenever it is another."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self.status = InstanceStatus(State.STARTING, clock.now(), 0, None, None)
        self._failing = self.status.since
        """When the first of the endings in a row was."""
        self._ahead = clock.ahead()
        """Of the clock by which these moments are."""
        self._restarted: tuple[float, ...] = ()
        """When it was restarted in the hour before the last time."""

    @property
    def restarts_last_hour(self) -> int:
        """How often it was restarted in the last hour."""
        return sum(at > self._clock.monotonic() - _HOUR for at in self._restarted)

    def tell(
        self,
        state: State,
        reason: str | None = None,
        message: str | None = None,
        since: datetime | None = None,
    ) -> None:
        """Without `since` it is so since now, or since it came to be in this state."""
        self.follow_clock()
        if since is None:
            same_state = state is self.status.state
            since = self.status.since if same_state else self._clock.now()
        reason = reason and clip(reason, _REASON)
        message = message and clip(message, _MESSAGE)
        status = InstanceStatus(state, since, self.status.restarts, reason, message)
        if status != self.status:
            self.status = status
            self._changed()

    def tell_ending(self, state: State, reason: str, message: str, *, first: bool) -> None:
        """It ended unasked; `first`: of those in a row, since which it fails."""
        if first:
            self.follow_clock()
            self._failing = self._clock.now()
        self.tell(state, reason, message, self._failing)

    def count_restart(self) -> None:
        """It is started again by itself."""
        self.status = evolve(self.status, restarts=self.status.restarts + 1)
        now = self._clock.monotonic()
        self._restarted = (*(at for at in self._restarted if at > now - _HOUR), now)

    def follow_clock(self) -> None:
        """Tell the same moments by a clock that was set since."""
        ahead = self._clock.ahead()
        by = ahead - self._ahead
        if abs(by) >= _CLOCK_SET:
            self._ahead = ahead
            self._failing += by
            self.status = evolve(self.status, since=self.status.since + by)
            self._changed()
