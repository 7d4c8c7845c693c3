"""A thread for calls that block, one after another; nobody waits for one without end."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, ParamSpec, TypeVar

from fleet.manager.store.records import StoreAway

P = ParamSpec("P")
T = TypeVar("T")

LONGEST: Final = 15.0
"""Seconds for a call: longer than the database itself waits for a lock or a statement."""

_Work = tuple["Future[Any]", Callable[[], Any]]


class StoreThread:
    """Runs calls in turn. `give_up` is called when one takes too long.

    It is a daemon: a call that never returns keeps no program from its end.
    """

    def __init__(self) -> None:
        self.give_up: Callable[[], None] = lambda: None
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._hung: Future[Any] | None = None
        self._since = 0.0
        Thread(target=self._run, name="store", daemon=True).start()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the call returns, within `LONGEST`.

        Raises:
            StoreAway: it does not come back; `unsure` where it was begun.
        """
        return await self.within(LONGEST, partial(call, *args, **kwargs))

    async def within(self, seconds: float, call: Callable[[], T]) -> T:
        """As `run`, within so many seconds."""
        if self._hung is not None and not self._hung.done():
            waited = time.monotonic() - self._since
            raise StoreAway(f"the store has not answered for {waited:.0f} s")
        work: Future[T] = Future()
        answer = asyncio.wrap_future(work)
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        began = time.monotonic()
        self._queue.put((work, partial(copy_context().run, call)))
        try:
            done, _ = await asyncio.wait((answer,), timeout=seconds)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if done:
            return answer.result()
        if work.cancel():
            raise StoreAway(f"the store does not answer within {seconds:.0f} s")
        self._hung, self._since = work, began
        self.give_up()
        raise StoreAway(f"the store does not answer within {seconds:.0f} s", unsure=True)

    def end(self) -> None:
        """Take no more; what runs is not waited for."""
        self._queue.put(None)

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del work, future, call
