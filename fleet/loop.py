"""An event loop that is watched: who holds it is named, and a role that does is cut short.

A thread looks on from beside the loop, so that what holds it is named while it does: afterwards it
may be too late.
"""

import asyncio
import logging
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

log = logging.getLogger(__name__)

HELD: Final = 1.0
"""Seconds the event loop may be held before it is said by whom."""
BEAT: Final = 1.0
"""Seconds between two looks at the loop: at most `HELD`, so that who holds it so long is seen."""
HELD_TOO_LONG: Final = 5.0
"""Seconds after which what a role that is not fleet's does in the loop is cut short."""
_NOBODY: Final = "what let no other thread run, or the machine gave no time"
"""A call into C that keeps Python's lock, or a machine that stood still."""
_WINDOW: Final = 30.0
_FRAMES: Final = 12
"""Of what holds the loop, innermost ones that are logged."""

_THREADS: Final = 32
"""For roles that are not fleet's, all together."""
theirs: Final[ContextVar[bool]] = ContextVar("theirs", default=False)
"""Whether a task works for a role that is not fleet's; whatever it begins does so too."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class HeldTooLong(BaseException):
    """Raised in what holds the event loop; nobody who goes on after any Exception catches it."""

    def __init__(self) -> None:
        super().__init__(
            f"it held up all others for {HELD_TOO_LONG:g} s, and was cut short: what waits is "
            "awaited, or done in a thread (asyncio.to_thread)"
        )


def is_ours(thing: object) -> bool:
    """Whether a method, or the class of an object, comes with fleet."""
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return module.partition(".")[0] == __name__.partition(".")[0]


class WatchedLoop(asyncio.SelectorEventLoop):
    """An event loop that a `LoopWatch` can look at without waking it.

    Roles that are not fleet's have threads of their own: however many of them hang, none of the
    station's is wanting.
    """

    def __init__(self) -> None:
        self.turns = _Turns()
        self.of_roles = ThreadPoolExecutor(_THREADS, "role")
        super().__init__(self.turns)

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[Ts]], object], *args: *Ts
    ) -> None:
        """As ever, but for roles that are not fleet's.

        Raises:
            RuntimeError: one of those would hear what the agent has to.
        """
        self._refuse_theirs()
        super().add_signal_handler(sig, callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """The same."""
        self._refuse_theirs()
        return super().remove_signal_handler(sig)

    def _refuse_theirs(self) -> None:
        watch = self.turns.watch
        if theirs.get() if watch is None else watch.works_for_theirs:
            raise RuntimeError(
                "signals are the agent's: a role stops where its stop() is called, and whatever "
                "needs signals of its own is a child (spawn)"
            )

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """As ever."""
        if executor is None and theirs.get():
            executor = self.of_roles
        return super().run_in_executor(executor, func, *args)

    def close(self) -> None:
        """As ever; threads that hang are left."""
        self.of_roles.shutdown(wait=False, cancel_futures=True)
        super().close()


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
        self._theirs = False
        self._holder: tuple[float, str, str] | None = None
        """Whose turn was seen last: when it began, a name, and where."""
        self._said: float | None = None
        """When the turn began of which it was said last."""
        self._longest = [0.0, 0.0]
        self._window_began = now()

    @contextmanager
    def working_for(self, whose: str, *, theirs: bool = False) -> Iterator[None]:
        """Name who the loop works for, where no task has the name; nothing may be awaited.

        `theirs`: it is a role that is not fleet's.
        """
        before = self._whose, self._theirs
        self._whose, self._theirs = whose, theirs
        try:
            yield
        finally:
            self._whose, self._theirs = before

    @property
    def works_for_theirs(self) -> bool:
        """Whether what the loop does just now is for a role that is not fleet's."""
        return self._theirs or theirs.get()

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
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGURG, self._cut_short)  # ignored by who does not hear it
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

    @property
    def _too_long(self) -> bool:
        began = self._began
        return began is not None and self._now() - began > HELD_TOO_LONG

    def _cut_short(self, *_: object) -> None:
        """In whatever the loop does just now: end it, where it is a role's that all wait for."""
        if self._too_long and self.works_for_theirs:
            self._began = self._now()  # what it does about it has its own time
            raise HeldTooLong

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
                if self._too_long:
                    signal.pthread_kill(thread, signal.SIGURG)
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
