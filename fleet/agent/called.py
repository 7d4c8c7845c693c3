"""What somebody had this station do past the manager: kept until newer calls push it out.

The manager writes it down once it hears of it, so nobody changes anything unseen while it is away.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from fleet.agent.config.store import StateDirectory
from fleet.model import MAX_CALLS, CommandRequest, DirectCall, DirectCalls, call_in_words, plain
from fleet.station import OF_MANAGER, READ_COMMANDS
from fleet.wire import as_it_travels

log = logging.getLogger(__name__)

HERE: Final = "the box itself"
"""By whom, where somebody typed it on the box; no caller can have this name."""
_SHOWN: Final = 200
"""Characters of a call."""


class CallKeeper:
    """The last calls; `changed` is told of each."""

    def __init__(self, store: StateDirectory, changed: Callable[[], None]) -> None:
        self._store = store
        self._changed = changed
        self._unsaved = asyncio.Event()
        self._saving = asyncio.Lock()
        self.calls: DirectCalls = ()

    def begin(self) -> None:
        """Go on with what an earlier agent was told."""
        self.calls = self._store.calls()

    def note(self, caller: str, role: str, command: str, request: CommandRequest) -> None:
        """A command is about to be done."""
        if command in READ_COMMANDS or caller.startswith(OF_MANAGER):
            return
        given = {} if "sealed" in request.arguments else request.arguments
        what = call_in_words(role, request.instance, command, given)[:_SHOWN]
        log.info("%s called %s", caller, what)
        call = DirectCall(as_it_travels(datetime.now(UTC)), caller, what)
        self.calls = (*self.calls, call)[-MAX_CALLS:]
        self._unsaved.set()
        self._changed()

    async def run(self) -> None:
        """Save what is new, for ever."""
        while True:
            await self._unsaved.wait()
            await self.save()

    async def save(self) -> None:
        """Save what is new; returns when all is safe, whoever began to save it."""
        async with self._saving:
            if not self._unsaved.is_set():
                return
            self._unsaved.clear()
            try:
                await asyncio.to_thread(self._store.save_calls, self.calls)
            except OSError as error:
                log.error("what was called here is forgotten with this agent: %s", plain(error))
