"""Keeps a program's long-lived tasks alive, and says who holds up its event loop.

A task that dies unasked is logged with its traceback and started again, or ends the program, as
whoever starts it says. A thread looks on from beside the loop, so that what holds it is named
while it does: afterwards it may be too late.
"""

import asyncio
import logging
import selectors
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
"""Seconds between the first death of a task and its new start; doubled for each one after it."""
LONGEST_PAUSE: Final = 30.0
STEADY: Final = 60.0
"""Seconds a task has to live for its earlier deaths to be forgotten."""

PATIENCE: Final = 5.0
"""Seconds a task may take to end once it was told to."""

HELD: Final = 1.0
"""Seconds the event loop may be held before it is said by whom."""
BEAT: Final = 1.0
"""Seconds between two looks at the loop: at most `HELD`, so that who holds it so long is seen."""
_NOBODY: Final = "what let no other thread run, or the machine gave no time"
"""A call into C that keeps Python's lock, or a machine that stood still."""
_WINDOW: Final = 30.0
_FRAMES: Final = 12
"""Of what holds the loop, innermost ones that are logged."""

Work = Callable[[], Awaitable[None]]
T = TypeVar("T")


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
        raise RuntimeError(_unusual(error)) from error


async def contained(work: Awaitable[T]) -> T:
    """The same of what is awaited; a cancellation that was asked for stays one.

    Raises:
        RuntimeError: in the place of what is no Exception.
    """
    task = asyncio.current_task()
    try:
        return await work
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
        raise RuntimeError(_unusual(error)) from error


def _unusual(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"it raised {describe(error)}"


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


class WatchedLoop(asyncio.SelectorEventLoop):
    """An event loop that a `LoopWatch` can look at without waking it."""

    def __init__(self) -> None:
        self.turns = _Turns()
        super().__init__(self.turns)


class _Turns(selectors.DefaultSelector):
    """Tells `watch` when the loop goes to work, when it is done, and when it wakes too late."""

    watch: "LoopWatch | None" = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        watch = self.watch
        if watch is None:
            return super().select(timeout)
        watch.rests()
        due = None if timeout is None else time.monotonic() + max(timeout, 0.0)
        ready = super().select(timeout)
        watch.works(0.0 if due is None or ready else time.monotonic() - due)
        return ready


class LoopWatch:
    """Knows how late the event loop is, and logs who holds it for more than `HELD` seconds.

    What is looked at are turns of the loop: from what it waited for to the next time it waits.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began: float | None = None
        """When the loop began this turn, None while it waits."""
        self._whose: str | None = None
        self._holder: tuple[float, str, str] | None = None
        """Whose turn was seen last: when it began, a name, and where."""
        self._said: float | None = None
        """When the turn began of which it was said last."""
        self._longest = [0.0, 0.0]
        self._window_began = now()

    @contextmanager
    def working_for(self, whose: str) -> Iterator[None]:
        """Name who the loop works for, where no task has the name; nothing may be awaited."""
        before, self._whose = self._whose, whose
        try:
            yield
        finally:
            self._whose = before

    @property
    def lag(self) -> float:
        """Seconds the loop was late at most in the last half minute (or a whole one)."""
        self._slide()
        began = self._began
        return max(*self._longest, 0.0 if began is None else self._now() - began)

    async def run(self) -> None:
        """Watch for ever.

        Raises:
            TypeError: this is no `WatchedLoop`.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, WatchedLoop):
            raise TypeError("only a WatchedLoop can be watched")
        over = threading.Event()
        thread = threading.get_ident()
        threading.Thread(
            target=self._look_on, args=(over, loop, thread), name="loop watch", daemon=True
        ).start()
        loop.turns.watch = self
        self._began = self._now()
        try:
            await loop.create_future()
        finally:
            over.set()
            loop.turns.watch = self._began = None

    def works(self, late: float) -> None:
        """The loop begins a turn, so many seconds after it was due."""
        self._began = self._now()
        self._note(late)
        if late > HELD:
            log.warning("the event loop was held for %.1f s by %s", late, _NOBODY)

    def rests(self) -> None:
        """The loop is done with a turn, and waits."""
        began, self._began = self._began, None
        if began is None:
            return
        took = self._now() - began
        self._note(took)
        if took <= HELD:
            return
        holder = self._holder
        if holder is None or holder[0] != began:
            log.warning("the event loop was held for %.1f s by %s", took, _NOBODY)
        else:
            where = "" if self._said == began else f":\n{holder[2]}"
            log.warning("the event loop was held for %.1f s by %s%s", took, holder[1], where)

    def look(self, holder: Callable[[], tuple[str, str]]) -> None:
        """From beside the loop: see whose turn it is, and say who holds it, once.

        `holder`: gives a name, and where. What holds it for longer than the time between two looks
        is seen at least once.
        """
        began = self._began
        if began is None or self._said == began:
            return
        held = self._now() - began
        if held > HELD or self._holder is None or self._holder[0] != began:
            name, where = holder()
            if self._began != began:
                return  # that may have been another's turn already
            self._holder = (began, name, where)
        if held > HELD:
            self._said = began
            log.warning("the event loop is held for %.1f s by %s:\n%s", held, *self._holder[1:])

    def _note(self, late: float) -> None:
        self._slide()
        self._longest[1] = max(self._longest[1], late)

    def _slide(self) -> None:
        now = self._now()
        if now - self._window_began >= _WINDOW:
            quiet = now - self._window_began >= 2 * _WINDOW
            self._longest = [0.0 if quiet else self._longest[1], 0.0]
            self._window_began = now

    def _look_on(self, over: threading.Event, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        before = self._now()
        while not over.wait(BEAT):
            now = self._now()
            if now - before < 2 * BEAT:  # else nobody was let run: not the loop's fault alone
                self.look(lambda: self._seen(loop, _frame(thread)))
            before = now

    def _seen(self, loop: asyncio.AbstractEventLoop, frame: FrameType | None) -> tuple[str, str]:
        name = self._whose
        if name is None:
            task = asyncio.current_task(loop)
            name = "a callback" if task is None else _name(task)
        where = "".join(traceback.format_stack(frame)[-_FRAMES:]) if frame else ""
        return name, where.rstrip()


def _frame(thread: int) -> FrameType | None:
    return sys._current_frames().get(thread)  # noqa: SLF001 (documented, in spite of its name)


def _name(task: "asyncio.Task[Any]") -> str:
    name, number = task.get_name(), task.get_name().removeprefix("Task-")
    if not number.isdigit():
        return name
    return getattr(task.get_coro(), "__qualname__", name)
