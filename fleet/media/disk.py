"""Work on a disk that may be slow or hang, so that the event loop never waits for it."""

import _thread
import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from fleet.host import Failed

T = TypeVar("T")

PATIENCE: Final = 15.0
"""Seconds a disk may take before it is said that it hangs."""


class DiskWork:
    """What one owner does on the disk of `directory`: one after the other, in a thread beside.

    The thread is one that the program's end does not wait for, should the disk have gone.
    """

    def __init__(self, directory: Path, now: Callable[[], float] = time.monotonic) -> None:
        self.directory = directory
        self._now = now
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False
        self._looking: Future[object] | None = None
        self._since = 0.0

    async def do(self, work: Callable[[], T], patience: float = PATIENCE) -> T:
        """The result of `work`, or what it raises.

        Raises:
            Failed: `DiskHangs`, there is none after so many seconds.
        """
        try:
            return await asyncio.wait_for(self.begin(work), patience)
        except TimeoutError:
            raise self._hangs(patience) from None

    def look(self, work: Callable[[], object]) -> None:
        """Have `work` done, unless it still is; what the last one raised is raised here.

        Raises:
            Failed: `DiskHangs`, it has been at it for too long.
        """
        last = self._looking
        if last is not None and not last.done():
            waited = self._now() - self._since
            if waited > PATIENCE:
                raise self._hangs(waited)
            self._start()  # there may have been no thread for it
            return
        # The next look asks what became of it, so the loop is not woken for that; and it begins
        # once the loop is done with others, so that the two do not get into each other's way.
        self._looking, self._since = Future(), self._now()
        self._waiting.append(partial(_settle, self._looking, work))
        asyncio.get_running_loop().call_soon(self._start)
        if last is not None:
            last.result()

    def forget(self) -> None:
        """What the last look found is of no interest any more."""
        self._looking = None

    def begin(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Have `work` done after what is being done; nobody has to wait for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as raised:
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop may be over by now
                loop.call_soon_threadsafe(settle, result, error)

        self._waiting.append(run)
        self._start()
        return future

    def _start(self) -> None:
        with self._lock:
            if self._waiting and not self._busy:
                with contextlib.suppress(RuntimeError):  # none is left: the next look asks again
                    # Unlike a `Thread` it has not to be waited for until it has begun.
                    _thread.start_new_thread(self._work, ())
                    self._busy = True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return
                work = self._waiting.popleft()
            work()

    def _hangs(self, waited: float) -> Failed:
        return Failed(
            "DiskHangs",
            f"the disk of {self.directory} has not answered for {waited:.0f} s: check it",
        )


def _settle(future: "Future[object]", work: Callable[[], object]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
