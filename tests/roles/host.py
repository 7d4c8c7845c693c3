"""A host that runs one role's instance with real processes, and no agent around it."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
from prometheus_client import CollectorRegistry

from fleet.roles import Child, Command, Failed, Host, Secret
from tests.processes import go_first

T = TypeVar("T")


async def _readable(descriptor: int) -> None:
    """Wait until it can be read, and close it."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class RealChild(Child):
    """A process in a session of its own; another host may go on with it."""

    def __init__(
        self, pid: int, argv: Sequence[str], since: datetime, adopted: bool, directory: Path
    ) -> None:
        self.pid, self.argv, self.since, self.adopted = pid, argv, since, adopted
        self.output = directory / "report"
        self._log = directory / "log"
        self.stop_signal, self.grace = signal.SIGTERM, 5.0

    @property
    def runs(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        return False

    async def wait(self) -> int | None:
        with contextlib.suppress(ProcessLookupError):
            await _readable(os.pidfd_open(self.pid))
        with contextlib.suppress(ChildProcessError):
            _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 (it has ended)
            return os.waitstatus_to_exitcode(status)
        return None

    async def stop(self) -> None:
        for number in (self.stop_signal, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.grace):
                    await self.wait()
                return

    def last_words(self, lines: int = 5) -> str:
        return "\n".join(self._log.read_text().splitlines()[-lines:])

    @property
    def printed(self) -> int:
        return self.output.stat().st_size + self._log.stat().st_size


class RealHost(Host):
    """What happened to the role is kept in `failed`, `completed` and `progressed`."""

    def __init__(
        self, base: Path, instance: str, station: str, room: str | None, role: str = "record"
    ) -> None:
        self.role, self.instance, self.station = role, instance, station
        self.name, self.room = "hall1-cam", room
        self.recordings = base / "recordings"
        self.media_dirs = (Path("/"),)
        self.state = base / "state" / station / role / instance
        self.state.mkdir(parents=True, exist_ok=True)
        self.registry = CollectorRegistry()
        self.failed: Failed | None = None
        self.completed = False
        self.progressed = 0.0
        self.children: list[RealChild] = []
        self.noted: tuple[str | None, str | None] = (None, None)
        self.thumbnails: list[bytes] = []
        self.lines: list[str] = []
        self.secrets: dict[str, str] = {}
        self.sent: list[tuple[str, str | None]] = []
        """Secrets that were asked for, and the hosts to which they go."""

    def __str__(self) -> str:
        """How it stands, for who waits in vain."""
        lines = [f"{self.role}/{self.instance}: failed {self.failed}, noted {self.noted}"]
        for child in self.children:
            state = "runs" if child.runs else "has ended"
            report = child.output.read_text(errors="replace").splitlines()[-20:]
            lines += [f"{child.argv[:3]} {state}: {child.last_words()}", *report]
        return "\n".join(lines)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str = "main",
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 5.0,
        report: bool = False,
        stdin: bytes | None = None,
    ) -> Child:
        place = self.state / "children" / name
        place.mkdir(parents=True, exist_ok=True)
        note = place / "child.json"
        if note.exists():
            told = json.loads(note.read_text())
            since = datetime.fromisoformat(told["since"])
            left = RealChild(told["pid"], told["argv"], since, True, place)
            if left.runs:
                return self._keep(left, stop_signal, grace)
        with (
            (place / "report").open("wb" if report else "ab") as out,
            (place / "log").open("wb") as log,
            tempfile.TemporaryFile() as given,
        ):
            given.write(stdin or b"")
            given.seek(0)
            process = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs meanwhile)
                argv,
                stdin=given,
                stdout=out,
                stderr=log,
                env=os.environ | dict(env or {}),
                start_new_session=True,
            )
        process.returncode = 0  # RealChild reaps it
        go_first(process.pid)
        since = datetime.now(UTC)
        note.write_text(
            json.dumps({"pid": process.pid, "argv": list(argv), "since": since.isoformat()})
        )
        child = RealChild(process.pid, argv, since, False, place)
        return self._keep(child, stop_signal, grace)

    def _keep(self, child: RealChild, stop_signal: signal.Signals, grace: float) -> RealChild:
        child.stop_signal, child.grace = stop_signal, grace
        self.children.append(child)
        return child

    def records(self) -> None:
        pass

    def secret(self, secret: Secret, to: str | None = None) -> str:
        self.sent.append((secret.secret, to))
        if secret.secret not in self.secrets:
            raise Failed("SecretMissing", secret.secret)
        return self.secrets[secret.secret]

    def progress(self) -> None:
        self.progressed = time.monotonic()

    def log(self, text: str) -> None:
        self.lines.append(text)

    def note(self, reason: str | None, message: str | None = None) -> None:
        self.noted = (reason, message)

    def thumbnail(self, jpeg: bytes) -> None:
        self.thumbnails.append(jpeg)

    def fail(self, reason: str, message: str) -> None:
        self.failed = Failed(reason, message)

    def complete(self, message: str | None = None) -> None:
        self.completed = True

    def task(self, work: Coroutine[Any, Any, T], name: str = "task") -> asyncio.Task[T]:
        return asyncio.create_task(work, name=name)

    def register(self, command: Command) -> None:
        pass

    def deregister(self, name: str) -> None:
        pass
