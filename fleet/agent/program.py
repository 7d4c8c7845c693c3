"""The process of an agent: the loop it runs in, and its end, whatever roles have left there."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from fleet.agent.config.store import StateDirectory
from fleet.agent.credential import WayIn
from fleet.agent.local.left import end_left
from fleet.agent.run import Agent
from fleet.agent.settings import AgentSettings
from fleet.loop import WatchedLoop
from fleet.notify import Notifier

log = logging.getLogger(__name__)
T = TypeVar("T")

_LINGER: Final = 2.0
"""Seconds that what roles have left behind in this process may take to end."""


def run(
    settings: AgentSettings, way: WayIn, early: Sequence[signal.Signals] = ()
) -> signal.Signals:
    """Run an agent until a signal tells it to end; SIGHUP if its children live on, else SIGTERM.

    `early`: signals that came before this was called. Whatever a role has left in this process
    that does not end is left behind: then this does not return, and the process ends.

    Raises:
        BadState, StateInUse: it cannot begin.
    """
    loop = WatchedLoop()
    try:
        agent = _complete(loop, _run(settings, way, early))
        loop.of_roles.shutdown(wait=False, cancel_futures=True)
        all_ended = _complete(loop, _all_ended()) and _no_threads()
        if agent.left and agent.stopped:
            end_left(settings)
        ended_by = signal.SIGTERM if agent.stopped else signal.SIGHUP
        if not all_ended:
            log.warning("something that a role began does not end: it is left behind")
            if ended_by == signal.SIGHUP and Notifier().listening:
                end_by(ended_by)
            logging.shutdown()
            os._exit(0)
        return ended_by
    finally:
        loop.close()


def _complete(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, whatever a task that a role made by itself raises meanwhile.

    `sys.exit()` and KeyboardInterrupt leave a loop; it goes on where they did.
    """
    task = loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            log.error("a task of a role would have ended the agent, which goes on", exc_info=error)


def end_by(number: signal.Signals) -> None:
    """End this process by that signal."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


async def _run(settings: AgentSettings, way: WayIn, early: Sequence[signal.Signals]) -> Agent:
    store = StateDirectory(settings.state)
    try:
        agent = Agent(settings, way, store)
        await agent.run(early)
    finally:
        store.close()
    return agent


async def _all_ended() -> bool:
    """Cancel all tasks and wait for the threads, for a while; whether none is left."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    threads = asyncio.create_task(asyncio.get_running_loop().shutdown_default_executor())
    _, left = await asyncio.wait({threads, *tasks}, timeout=_LINGER)
    return not left


def _no_threads() -> bool:
    """Wait for threads that would keep the process, for a while; whether none is left."""
    until = time.monotonic() + _LINGER
    others = [one for one in threading.enumerate() if one is not threading.main_thread()]
    for one in others:
        if not one.daemon:
            one.join(max(0.0, until - time.monotonic()))
    return all(one.daemon or not one.is_alive() for one in others)
