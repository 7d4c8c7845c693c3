"""Time as the agent's engine sees it, so that tests can make it pass.

What lasts is measured by the monotonic clock, which no step of the wall clock moves; the wall
clock only tells people since when.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """Something that will be called later."""

    def cancel(self) -> None:
        """Do not call it."""


class Clock:
    """The real one."""

    def monotonic(self) -> float:
        """Seconds since some moment; never steps."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` from the event loop in `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)
