"""Time as the agent's engine sees it, so that tests can make it pass.

What lasts is measured by the monotonic clock, which no step of the wall clock moves; the wall
clock only tells people since when.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


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

    def uptime(self) -> float:
        """Seconds the machine has been up, also while it slept; never steps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def ahead(self) -> timedelta:
        """What the time of day is ahead of `uptime`: it changes where somebody sets the clock."""
        return self.now() - _EPOCH - timedelta(seconds=self.uptime())

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` from the event loop in `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        """Wait for `delay` seconds."""
        over = asyncio.Event()
        timer = self.call_later(delay, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled, and left to itself, where it takes longer.

        Raises:
            TimeoutError: it did.
        """
        task, over = asyncio.create_task(work), asyncio.Event()
        task.add_done_callback(lambda _: over.set())
        timer = self.call_later(seconds, over.set)
        try:
            await over.wait()
            if task.done():
                return task.result()
            raise TimeoutError(f"not done within {seconds:g} s")
        finally:
            timer.cancel()
            task.cancel()
