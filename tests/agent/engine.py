"""What tests of the engine share: a clock that is wound by hand, roles that do as they are told."""

import asyncio
import heapq
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from attrs import frozen

from fleet.agent.engine.clock import Clock
from fleet.agent.engine.reconcile import Key, Wanted
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.processes.adoption import Place
from fleet.agent.processes.left_behind import VARIABLE
from fleet.model import InstanceStatus, LogLine
from fleet.roles import ChildRole, Host, Role, RoleFactory, command
from tests.processes import until


class FakeTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock(Clock):
    """Stands still until `pass_`; what it had to call is called in order."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.wall = datetime(2026, 2, 1, 9, 0, tzinfo=UTC)
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._count = count()

    def monotonic(self) -> float:
        return self.seconds

    def uptime(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.wall + timedelta(seconds=self.seconds)

    def call_later(self, delay: float, callback: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self.seconds + delay, next(self._count), timer))
        return timer

    async def pass_(self, seconds: float) -> None:
        """Let time pass, and everything happen that it brings about."""
        await settle()
        until = self.seconds + seconds
        while self._timers and self._timers[0][0] <= until:
            self.seconds, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
                await settle()
        self.seconds = until


async def settle() -> None:
    """Let every task run until all of them wait for something."""
    waiting_to_run: Any = vars(asyncio.get_running_loop())["_ready"]  # nothing public tells
    for _ in range(1000):
        await asyncio.sleep(0)
        if not waiting_to_run:
            return
    raise AssertionError("there is a task that never waits")


@frozen
class Text:
    text: str


class Fake(Role[dict[str, Any]]):
    """Does what its settings say; every one made is in its factory's `made`."""

    def __init__(self, host: Host, settings: dict[str, Any]) -> None:
        super().__init__(host, settings)
        self.stall_seconds = settings.get("stall_seconds")
        self.calls: list[str] = []
        self.hold = asyncio.Event()
        """While its settings say `hang`, start, update or stop wait for this."""

    async def _do(self, what: str) -> None:
        self.calls.append(what)
        if self.settings.get("hang") == what:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.calls.append(f"{what} cut short")
                raise
        error = self.settings.get(what)
        if isinstance(error, (Exception, SystemExit)):
            raise error
        if error == "cancels itself":
            other = asyncio.create_task(asyncio.sleep(3600))
            other.cancel()
            await other

    async def start(self) -> None:
        await self._do("start")
        if "stall_seconds" in self.settings and not self.settings.get("silent"):
            self.host.progress()

    async def update(self, settings: dict[str, Any]) -> bool:
        await self._do("update")
        if not settings.get("live"):
            return False
        self.settings = settings
        return True

    async def stop(self) -> None:
        await self._do("stop")

    @command
    async def say(self, asked: Text) -> Text:
        return Text(asked.text.upper())

    def tick(self) -> None:
        error = self.settings.get("tick")
        if isinstance(error, (Exception, SystemExit, asyncio.CancelledError)):
            raise error


class FakeFactory(RoleFactory[dict[str, Any]]):
    settings = dict[str, Any]
    role = Fake

    def __init__(self, instances: int = 0) -> None:
        self.instances = instances
        self.made: list[Fake] = []

    def build(self, host: Host, settings: dict[str, Any]) -> Fake:
        error = settings.get("build")
        if isinstance(error, (Exception, SystemExit)):
            raise error
        role = Fake(host, settings)
        self.made.append(role)
        return role

    def wanted(self, **settings: Any) -> Wanted:
        return Wanted(self, settings, repr(sorted(settings.items(), key=str)))


@frozen
class ChildSettings:
    argv: tuple[str, ...]
    report: bool = False
    grace: float = 5.0
    stop_signal: int = 15
    env: tuple[tuple[str, str], ...] = ()
    patience: float = 0.0
    """A setting that is taken live."""


class Command(ChildRole[ChildSettings]):
    """A child with any arguments."""

    def __init__(self, host: Host, settings: ChildSettings) -> None:
        super().__init__(host, settings)
        self.report = settings.report
        self.grace = settings.grace
        self.stop_signal = settings.stop_signal  # type: ignore[assignment]

    def argv(self) -> list[str]:
        return list(self.settings.argv)

    def environment(self) -> dict[str, str]:
        return dict(self.settings.env)

    async def update(self, settings: ChildSettings) -> bool:
        if settings.argv != self.settings.argv:
            return False
        self.settings = settings
        return True


class ChildFactory(RoleFactory[ChildSettings]):
    role = Command
    settings = ChildSettings

    def wanted(self, *argv: str, **more: Any) -> Wanted:
        settings = ChildSettings(argv, **more)
        return Wanted(self, settings, repr(settings))


class Station:
    """A supervisor, with all it said."""

    def __init__(
        self, base: Path, clock: Clock | None = None, adopt: bool = True, id_: str = "b1"
    ) -> None:
        self.state_dir = base / "state"
        self.place = Place(id_, self.state_dir, base / "recordings", base / "secrets", adopt=adopt)
        self.lines: list[LogLine] = []
        self.thumbnails: list[tuple[Key, bytes]] = []
        self.seen: dict[Key, list[str]] = {}
        """The states each instance was seen in, in order."""
        self.changed: Callable[[], None] = lambda: None
        self.messages: set[str | None] = set()
        self.supervisor = Supervisor(
            self.place,
            changed=self._changed,
            lines=self.lines.append,
            thumbnail=lambda key, jpeg: self.thumbnails.append((key, jpeg)),
            clock=clock,
        )

    def _changed(self) -> None:
        self.changed()
        for role, named in self.supervisor.statuses().items():
            for instance, status in named.items():
                self.messages.add(status.message)
                states = self.seen.setdefault(Key(role, instance), [])
                if states[-1:] != [status.state]:
                    states.append(status.state)

    def status(self, key: Key) -> InstanceStatus:
        return self.supervisor.statuses()[key.role][key.instance]

    def state(self, key: Key) -> str | None:
        return getattr(
            self.supervisor.statuses().get(key.role, {}).get(key.instance), "state", None
        )

    def processes(self) -> list[psutil.Process]:
        """The living processes with this station's mark."""
        return marked(self.state_dir)


def marked(state_dir: Path) -> list[psutil.Process]:
    """The living processes that carry the mark of an agent with this state directory.

    One that has only just been started carries it once its program has been read: `begun`.
    """
    return [process for process, _ in _marks(state_dir)]


async def begun(state_dir: Path, *instances: str) -> None:
    """Wait until each of these has a process that carries its mark."""
    await until(
        lambda: {*instances} <= {instance for _, instance in _marks(state_dir)},
        what=f"processes of {instances}",
    )


def _marks(state_dir: Path) -> list[tuple[psutil.Process, str]]:
    found = []
    for process in psutil.process_iter():
        try:
            mark = json.loads(process.environ().get(VARIABLE, "{}"))
            mine = mark.get("state_dir") == str(state_dir.resolve())
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, mark["instance"]))
        except psutil.Error:
            continue
    return sorted(found, key=lambda one: one[0].pid)
