"""A host, a clock and real children for tests of a role; no agent, no broker.

async with running(ClockFactory(), {"file": "clock.txt"}, tmp_path) as run:
    await run.passes(3)
    assert run.host.failed is None
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from prometheus_client import CollectorRegistry

from fleet.host import Child, Failed, Host, Secret, check_thumbnail, startable
from fleet.model import is_name
from fleet.role import Role, RoleFactory
from fleet.schema import json_schema
from fleet.strict import structure, unstructure

__all__ = ["KitChild", "KitHost", "RunningRole", "running"]

S = TypeVar("S")
T = TypeVar("T")
_TERM_SECONDS: Final = 5.0


class KitChild(Child):
    """A real process in a session of its own; it writes to files below `directory`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        argv: Sequence[str],
        directory: Path,
        stop_signal: signal.Signals,
        grace: float,
    ) -> None:
        self.pid, self.argv, self.since, self.adopted = process.pid, argv, datetime.now(UTC), False
        self.output = directory / "stdout"
        self._process = process
        self._words = (self.output, directory / "stderr")
        self._stopping = ((stop_signal, grace), (signal.SIGTERM, _TERM_SECONDS))

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.returncode is not None

    async def wait(self) -> int | None:
        """Its exit status."""
        return await self._process.wait()

    async def stop(self) -> None:
        """As a station does it."""
        for number, seconds in self._stopping:
            self._signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._process.wait()
                break
        self._signal(signal.SIGKILL)  # also what it has started and left
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def last_words(self, lines: int = 5) -> str:
        """The last lines of both its streams."""
        said = [file.read_text(errors="replace") for file in self._words]
        return "\n".join([line for text in said for line in text.splitlines()][-lines:])

    @property
    def printed(self) -> int:
        """What stands in its files."""
        return sum(file.stat().st_size for file in self._words)


class KitHost(Host):
    """Keeps what the role says; directories are below `directory`, secrets in `secrets`."""

    def __init__(self, directory: Path, secrets: Mapping[str, str]) -> None:
        self.role, self.instance, self.station = "role", "main", "station1"
        self.name, self.room = "hall1-mix", "hall1"
        self.recordings = directory / "recordings"
        self.state = directory / "state"
        self.registry = CollectorRegistry()
        self.failed: Failed | None = None
        """What ended this running, if it failed."""
        self.completed = False
        """Whether the role said that its work is done."""
        self.noted: tuple[str | None, str | None] = (None, None)
        """Reason and message of the last note."""
        self.lines: list[str] = []
        """What the role logged."""
        self.thumbnails: list[bytes] = []
        self.commands = {}
        self.children: dict[str, KitChild] = {}
        """By name, the one started last of each."""
        self.seconds = 0
        """What the clock shows: seconds since `start`."""
        self.progressed = 0
        """When the role reported progress last."""
        self.ended = asyncio.Event()
        """Set when it failed or completed."""
        self._secrets = secrets
        self._tasks: set[asyncio.Task[Any]] = set()
        for one in (self.recordings, self.state):
            one.mkdir(parents=True, exist_ok=True)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str = "main",
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 5.0,
        report: bool = False,  # noqa: ARG002 (its output is a file of its own anyway)
        stdin: bytes | None = None,
    ) -> Child:
        """Start the program; nothing is ever taken over."""
        if not is_name(name):
            raise ValueError(f"{name!r} cannot be the name of a child")
        if name in self.children and not self.children[name].ended:
            raise ValueError(f"a child {name!r} is running already")
        argv = startable(argv, env or {}, stop_signal, grace)
        directory = self.state / "children" / name
        directory.mkdir(parents=True, exist_ok=True)
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
        with (
            (directory / "stdout").open("wb") as out,
            (directory / "stderr").open("wb") as err,
            tempfile.TemporaryFile() as given,
        ):
            given.write(stdin or b"")
            given.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=given,
                    stdout=out,
                    stderr=err,
                    env=environment,
                    start_new_session=True,
                )
            except FileNotFoundError:
                text = f"{argv[0]} is not on this station: install it"
                raise Failed("ProgramMissing", text) from None
            except OSError as error:
                text = f"{argv[0]} cannot be run: {error.strerror}"
                raise Failed("ProgramUnusable", text) from None
        child = KitChild(process, argv, directory, stop_signal, grace)
        self.children[name] = child
        return child

    def records(self) -> None:
        """The disk is there."""

    def secret(self, secret: Secret, to: str | None = None) -> str:  # noqa: ARG002 (a Host's)
        """One of those that were given."""
        try:
            return self._secrets[secret.secret]
        except KeyError:
            text = f"the secret {secret.secret!r} was not given to running(secrets=…)"
            raise Failed("SecretMissing", text) from None

    def progress(self) -> None:
        """Kept in `progressed`."""
        self.progressed = self.seconds

    def note(self, reason: str | None, message: str | None = None) -> None:
        """Kept in `noted`."""
        self.noted = (reason, message)

    def log(self, text: str) -> None:
        """Kept in `lines`."""
        self.lines += str(text).splitlines()

    def thumbnail(self, jpeg: bytes) -> None:
        """Kept in `thumbnails`."""
        check_thumbnail(jpeg)
        self.thumbnails.append(jpeg)

    def fail(self, reason: str, message: str) -> None:
        """Kept in `failed`; the first word counts."""
        if not self.ended.is_set():
            self.failed = Failed(reason, message)
            self.ended.set()

    def complete(self, message: str | None = None) -> None:  # noqa: ARG002 (nobody reads it)
        """Kept in `completed`; the first word counts."""
        if not self.ended.is_set():
            self.completed = True
            self.ended.set()

    def task(self, work: Coroutine[Any, Any, T], name: str = "task") -> "asyncio.Task[T]":
        """What it raises is in `failed`."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Failed):
            self.fail(error.reason, error.message)
        elif error is not None:
            self.fail("RoleCrashed", f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """End what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(child.stop() for child in self.children.values()))


class RunningRole(Generic[S]):
    """One running of a role, from `start` on."""

    def __init__(self, role: Role[S], host: KitHost) -> None:
        self.role = role
        self.host = host

    @property
    def seconds(self) -> int:
        """What the clock shows: seconds since `start`."""
        return self.host.seconds

    async def passes(self, seconds: int) -> None:
        """Let so much time pass at once, with a tick each second; it ends where the running does.

        Time is the station's alone: a role that asks the system's clock sees no other time.
        """
        for _ in range(seconds):
            await asyncio.sleep(0)
            if self.host.ended.is_set():
                return
            self.host.seconds += 1
            try:
                self.role.tick()
            except Failed as failed:
                self.host.fail(failed.reason, failed.message)
            quiet, patience = self.seconds - self.host.progressed, self.role.stall_seconds
            if patience is not None and quiet > patience:
                text = f"made no progress for {quiet} s: {self.role.stall_advice}"
                self.host.fail("Stalled", text)

    async def update(self, settings: Mapping[str, Any]) -> bool:
        """Give it new settings, as they stand in the file; whether it took them while running.

        Raises:
            Mistakes: they are not what its class says.
        """
        return await self.role.update(structure(dict(settings), type(self.role.settings)))

    async def call(self, command: str, **arguments: Any) -> Any:
        """The result of a command, as plain JSON values.

        Raises:
            KeyError: it offers no such command.
            Mistakes: arguments or result are not what their class says.
        """
        asked = self.host.commands[command]
        result = await asked.handler(structure(arguments, asked.arguments))
        return unstructure(result, asked.result)


@asynccontextmanager
async def running(
    factory: RoleFactory[S],
    settings: Mapping[str, Any],
    directory: Path,
    *,
    secrets: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningRole[S]]:
    """Run a role as a station would, with the settings as they stand in the file.

    `directory`: an empty one. At the end the role is stopped, and then what it has left.

    Raises:
        Mistakes: the settings are not what its class says, with the path of each.
        Failed: it could not start.
    """
    json_schema(factory.settings)
    checked = structure(dict(settings), factory.settings)
    host = KitHost(directory, secrets or {})
    role = factory.build(host, checked)
    for command in role.commands():
        host.register(command)
    try:
        try:
            await role.start()
            yield RunningRole(role, host)
        finally:
            await role.stop()
    finally:
        await host.close()
