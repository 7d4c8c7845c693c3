"""Keeps a program's long-lived tasks alive.

A task that dies unasked is logged with its traceback and started again, or ends the program, as
whoever starts it says. What a role raises, whatever it is, is an error like any other.
"""

import asyncio
import logging
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from fleet.loop import HeldTooLong
from fleet.shared import Changed, WatchedSteps

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
"""Seconds between the first death of a task and its new start; doubled for each one after it."""
LONGEST_PAUSE: Final = 30.0
STEADY: Final = 60.0
"""Seconds a task has to live for its earlier deaths to be forgotten."""

PATIENCE: Final = 5.0
"""Seconds a task may take to end once it was told to."""

Work = Callable[[], Awaitable[None]]
T = TypeVar("T")


class HeldUp(RuntimeError):
    """The same, once nothing is held any more."""


class TaskDied(Exception):
    """A task that the program cannot do without has died."""


def describe(error: BaseException) -> str:
    """The error's type and what it says, also of one that cannot say it."""
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:
        return f"{type(error).__name__}: (its text cannot be made)"


def is_typed(error: BaseException) -> bool:
    """Whether somebody typed Ctrl-C; an agent hears that as a signal, which raises nothing."""
    hears = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and not hears


@contextmanager
def containing() -> Iterator[None]:
    """Have whatever is raised in here be an error like any other, `sys.exit()` too.

    Raises:
        RuntimeError: in the place of what is no Exception.
    """
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if is_typed(error):
            raise
        raise _ordinary(error) from error


async def contained(work: Awaitable[T], changed: Changed | None = None) -> T:
    """The same of what is awaited; a cancellation that was asked for stays one.

    `changed`: told what it changes of what all code of the process shares, which is put back.

    Raises:
        RuntimeError: in the place of what is no Exception.
    """
    task = asyncio.current_task()
    try:
        return await (work if changed is None else WatchedSteps(work, changed))
    except Exception:
        raise
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("what it waited for was cancelled") from error
    except BaseException as error:
        closed = isinstance(error, GeneratorExit) and asyncio.current_task() is not task
        if closed or is_typed(error):
            raise
        raise _ordinary(error) from error


def _ordinary(error: BaseException) -> RuntimeError:
    if isinstance(error, HeldTooLong):
        return HeldUp(str(error))
    if isinstance(error, SystemExit):
        return RuntimeError(f"it called sys.exit({error.code!r})")
    return RuntimeError(f"it raised {describe(error)}")


class Guard:
    """The long-lived tasks of a program.

    `end` is called with a `TaskDied` when one dies that the program relies on; without it no task
    can be relied on. A task that returns has done what it was for, and is not started again.
    """

    def __init__(
        self,
        end: Callable[[TaskDied], None] | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.deaths: Counter[str] = Counter()
        """How often each task died, by name."""
        self._end = end
        self._sleep = sleep
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, name: str, work: Work) -> asyncio.Task[None]:
        """Have `work()` done, and again after a pause each time it dies."""
        return self._start(name, self._again(name, work))

    def rely_on(self, name: str, work: Work) -> asyncio.Task[None]:
        """Have `work()` done; the program ends if it dies."""
        if self._end is None:
            raise TypeError("this guard was not told how to end the program")
        return self._start(name, self._once(name, work, self._end))

    async def close(self) -> None:
        """Cancel all that still lives, and wait until it is gone, or `PATIENCE` is over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _again(self, name: str, work: Work) -> None:
        in_a_row = 0
        while True:
            began = self._now()
            died = await self._death(name, work)
            if died is None:
                return
            in_a_row = 0 if self._now() - began >= STEADY else in_a_row
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(in_a_row, 16))
            in_a_row += 1
            log.error("%s died and starts again in %g s", name, pause, exc_info=died)
            await self._sleep(pause)

    async def _once(self, name: str, work: Work, end: Callable[[TaskDied], None]) -> None:
        died = await self._death(name, work)
        if died is not None:
            log.error("%s died, and the program ends with it", name, exc_info=died)
            end(TaskDied(f"{name} died: {describe(died)}"))

    async def _death(self, name: str, work: Work) -> Exception | None:
        """What `work` died of, None where it returned."""
        try:
            await contained(work())
        except Exception as error:
            self.deaths[name] += 1
            return error
        return None
