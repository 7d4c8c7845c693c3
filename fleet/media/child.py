"""A role that is one child process: it runs exactly as long as the child does."""

import asyncio
import signal
from abc import abstractmethod
from typing import TypeVar

from fleet.host import Child, Failed
from fleet.role import Role

S = TypeVar("S")


class ChildRole(Role[S]):
    """Starts `argv()`, fails when it ends unasked, stops it with `stop_signal`."""

    stop_signal = signal.SIGTERM
    grace = 5.0
    """Seconds the child has to end after `stop_signal`."""
    report = False
    """Whether its standard output is a report for this role, not log lines."""

    child: Child
    _watch: asyncio.Task[None] | None = None

    @abstractmethod
    def argv(self) -> list[str]:
        """The program and its arguments."""

    def stdin(self) -> bytes | None:
        """What it finds on its standard input, where nobody else can read it."""
        return None

    def environment(self) -> dict[str, str]:
        """What the child's environment has besides the usual."""
        return {}

    def failure(self, status: int | None) -> Failed:
        """What it means that the child ended unasked; `status` as `Child.wait` gives it."""
        ended = "ended" if status is None else f"ended with status {status}"
        if status is not None and status < 0:
            ended = f"was ended by {signal.Signals(-status).name}"
        words = self.child.last_words()
        return Failed(
            "ChildExited", f"{self.child.argv[0]} {ended}" + (f": {words}" if words else "")
        )

    def exited(self, status: int | None) -> None:
        """The child ended unasked; `status` as `Child.wait` gives it."""
        failure = self.failure(status)
        self.host.fail(failure.reason, failure.message)

    async def start(self) -> None:
        """Start the child or take over the one an earlier agent left."""
        self.child = await self.host.spawn(
            self.argv(),
            env=self.environment(),
            stop_signal=self.stop_signal,
            grace=self.grace,
            report=self.report,
            stdin=self.stdin(),
        )
        self._watch = self.host.task(self._until_exit(), "watch")

    async def gone(self) -> None:
        """The child is gone: finish what it has left, before `exited` says what that means."""

    async def _until_exit(self) -> None:
        status = await self.child.wait()
        await self.gone()
        self.exited(status)

    async def stop(self) -> None:
        """Stop the child and wait until it is gone."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
            await self.child.stop()
