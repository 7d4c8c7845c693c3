"""The real parts a test runs on: a broker and the programs, each ended with the test."""

import asyncio
import json
import os
import platform
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent


PATIENCE = 60.0
"""Seconds that a test waits for what has to come: no machine is so busy, and only a fault waits."""

_BLOCK = 128
_FIRST = "-10"


def _ports() -> Iterator[int]:
    """Below those that the system gives to connections, in blocks that one process has alone.

    The first of a block stays bound for that.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    starts = range(20_000, max(below, 32_768), _BLOCK)
    begin = os.getpid() % len(starts)
    for start in (*starts[begin:], *starts[:begin]):
        with socket.socket() as claim, suppress(OSError):
            claim.bind(("", start))
            yield from range(start + 1, start + _BLOCK)


_own_ports = _ports()


def free_port() -> int:
    """A port, TCP and UDP, that nothing uses and nothing else is given while the tests run."""
    for port in _own_ports:
        with (
            suppress(OSError),
            socket.socket() as tcp,
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("", port))
            udp.bind(("", port))
            return port
    raise AssertionError("no port is left")


async def keeps_pace(attempt: Callable[[], Awaitable[str]], times: int = 4) -> None:
    """Passes with the first of so many attempts that has nothing to complain of.

    For what takes processor time at once, which a machine with many tests may lack now and then: a
    fault of ours complains each time.
    """
    complaints: list[str] = []
    while complaint := await attempt():
        complaints.append(complaint)
        assert len(complaints) < times, "\n".join(complaints)


def go_first(pid: int) -> None:
    """Give a process, which leads a session, the machine before other tests, where we may.

    On a box it need not share processors with half a dozen others, and it cannot wait.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(_FIRST)
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, pid, int(_FIRST))


async def until(
    condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "the condition"
) -> Any:
    """The first true value of `condition`, looked at every 10 ms until `timeout`.

    A look that takes long is taken less often: the machine is there for what is waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"{what} did not come about within {timeout} s")
        await asyncio.sleep(max(0.01, 3 * (now - began)))


SILENT = "fleet.manager.stations.inventory.SILENT_INTERVALS"
_PATIENT = {
    SILENT: 30.0,
    "fleet.manager.echo._ECHO": 20.0,
    "fleet.manager.operations.actions.PATIENCE": 20.0,
}
"""What a busy machine must not end: a box that says each second that it is there may be halted for
longer than three.
"""

WARM = ("fleet", "fleet-agent", "fleet-manager")
"""What `tests.warm` can start."""
_CHILDLESS = {"fleet", "fleet-manager"}
"""What never begins a process: nothing outlives it."""


class Started:
    """A program that was started warm, with what is needed of `subprocess.Popen`."""

    def __init__(self, pid: int, report: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._report = report

    def fileno(self) -> int:
        """It can be read once the process has ended."""
        return self._report

    def poll(self) -> int | None:
        """Its exit status, None as long as it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; subprocess.TimeoutExpired."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return status

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self], [], [], timeout)[0]:
            self.returncode = int(os.read(self._report, 16))
            os.close(self._report)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warm:
    """Starts programs from a process that has read their modules already (`tests.warm`).

    All workers of a run have one together: the first that needs it starts it, and it ends once the
    run is over.
    """

    def __init__(self) -> None:
        common = os.environ.get("PYTEST_XDIST_TESTRUNUID")
        run = os.getppid() if common else os.getpid()
        name = f"\0fleet-tests-{common or run}"  # it is nowhere in the file system
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        """Whoever asks gets the answer to that, also where threads of a test ask at once."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, suppress(OSError):
            door.bind(name)
            door.listen(128)
            self._begun = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(door.fileno()), str(run)],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                pass_fds=[door.fileno()],
            )
        deadline = time.monotonic() + PATIENCE
        while self._socket.connect_ex(name):  # another has the name, and does not listen yet
            assert time.monotonic() < deadline, "nobody starts programs"
            time.sleep(0.01)

    def start(
        self,
        argv: list[str],
        env: Mapping[str, str],
        cwd: Path,
        files: tuple[int, int, int],
        instead: Mapping[str, float] = {},
    ) -> Started:
        """Start a console script of this project; `files` become its standard files.

        `instead`: as `Programs` has it.
        """
        asked = {"program": Path(argv[0]).name, "argv": argv, "env": dict(env), "cwd": str(cwd)}
        asked["instead"] = dict(instead)
        ours, theirs = os.pipe()
        with self._turn:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [*files, theirs])
            pid = int(self._socket.recv(32))
        os.close(theirs)
        return Started(pid, ours)


@cache
def warm() -> Warm:
    """The one of this run."""
    return Warm()


def run(
    program: str,
    *args: str,
    env: Mapping[str, str],
    cwd: Path = ROOT,
    timeout: float = PATIENCE,
    stdin: str = "",
) -> "subprocess.CompletedProcess[str]":
    """What a console script of this project says, and how it ends, within so many seconds."""
    argv = [str(Path(sys.executable).with_name(program)), *args]
    with (
        tempfile.TemporaryFile("w+") as typed,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        typed.write(stdin)
        typed.seek(0)
        files = (typed.fileno(), out.fileno(), err.fileno())
        process = warm().start(argv, env, cwd, files)
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, status, out.read(), err.read())


class Program:
    """A process with its output in a file.

    A console script starts warm; where the start itself is what a test looks at, cold.
    """

    def __init__(
        self,
        argv: list[str],
        log: Path,
        env: dict[str, str],
        name: str,
        *,
        cold: bool = False,
        instead: Mapping[str, float] = {},
    ) -> None:
        self.name = name
        self.argv = argv
        self._log = log
        self.process: subprocess.Popen[bytes] | Started
        with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
            if cold:
                assert not instead, "nobody replaces anything in what reads its modules itself"
                self.process = subprocess.Popen(
                    argv, stdin=nothing, stdout=output, stderr=output, env=env, cwd=log.parent
                )
            else:
                files = (nothing.fileno(), output.fileno(), output.fileno())
                self.process = warm().start(argv, env, log.parent, files, instead)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        """Everything it wrote."""
        return self._log.read_text(errors="replace")

    def catches(self, number: signal.Signals) -> bool:
        """Whether it has begun to listen to a signal."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        mask = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(mask & 1 << (number - 1))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def ended(self, timeout: float = PATIENCE) -> int:
        """Its exit status, once it ends."""
        await until(lambda: not self.running, timeout, f"the end of {self.name}")
        return self.process.wait()

    async def says(self, pattern: str, timeout: float = PATIENCE) -> None:
        """Wait until its output matches `pattern`."""
        what = f"{pattern!r} in the output of {self.name}"
        await until(lambda: re.search(pattern, self.log()), timeout, what)


def listens(broker: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until a broker takes connections; one that does not is ended."""
    deadline = time.monotonic() + PATIENCE
    while broker.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    broker.kill()
    broker.wait()
    raise AssertionError(f"mosquitto does not start: {log.read_text()}")


class Mosquitto:
    """A private broker; `stop` and `start` keep the port, and nothing else is kept.

    `config` (with its own listener: `{port}` is put in) replaces `mosquitto/private.conf`.
    """

    def __init__(self, directory: Path, config: str | None = None) -> None:
        self._directory = directory
        self._config = config
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._directory / "mosquitto.log"

    @property
    def pid(self) -> int:
        """While it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it takes connections."""
        if self._config is None:
            argv = ["-c", str(ROOT / "mosquitto/private.conf"), "-p", str(self.port)]
        else:
            file = self._directory / "mosquitto.conf"
            file.write_text(self._config.format(port=self.port))
            argv = ["-c", str(file)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ["mosquitto", *argv], stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        listens(self._process, self.port, self.log)

    def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def acquaint(home: Path) -> None:
    """Let a child of an agent with this home know GStreamer's plugins without a look at each."""
    place = home / ".cache/gstreamer-1.0" / f"registry.{platform.machine()}.bin"
    known = os.environ.get("GST_REGISTRY")
    if known and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.hardlink_to(known)  # it is never written to, but replaced


class Programs:
    """Starts fleet's programs; each has a log in `directory`, and all end with the test.

    `cold`: from now on they read their modules themselves, as they do on a box. `instead`: seconds
    for constants of theirs (`module.NAME`) that a test does not want to wait for.
    """

    cold = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.instead: dict[str, float] = {}
        self.started: list[Program] = []

    def environment(self, **more: str) -> dict[str, str]:
        """What every program gets: nothing of the developer's own settings."""
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("FLEET_", "NOTIFY_", "XDG_CONFIG"))
        }
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        acquaint(home)
        usual = {"HOME": str(home), "NO_COLOR": "1", "FLEET_ALLOW_ROOT": "1"}
        return kept | usual | more

    def start(self, program: str, *args: str, name: str = "", **env: str) -> Program:
        """A console script of this project, by its name."""
        name = name or program
        path = Path(sys.executable).with_name(program)
        cold = self.cold or program not in WARM or not {"PYTHONPATH", "LD_PRELOAD"}.isdisjoint(env)
        started = Program(
            [str(path), *args],
            self.directory / f"{name}.log",
            self.environment(**env),
            name,
            cold=cold,
            instead=self.instead if cold else _PATIENT | self.instead,
        )
        self.started.append(started)
        return started

    def agent(self, broker: Mosquitto, station: str, settings: str = "", **env: str) -> Program:
        """`fleet-agent run`; state and recordings live in `directory/<station>`.

        `settings`: TOML lines; they are kept for the next start of the same station. It measures
        and says that it is there every other second, unless they say otherwise.
        """
        place = self.directory / station
        place.mkdir(exist_ok=True)
        file = place / "agent.toml"
        if settings or not file.exists():
            usual = {
                "recordings": f'"{place}/recordings"',
                "media_dirs": f'["{self.directory}"]',
                "interval": "2.0",
            }
            lines = [f"{key} = {value}\n" for key, value in usual.items() if key not in settings]
            file.write_text("".join(lines) + settings)
        return self.start(
            "fleet-agent",
            *("run", "--broker", broker.url, "--station", station),
            *("--state-dir", str(place / "state"), "--settings", str(file)),
            name=f"agent-{station}",
            **env,
        )

    def manager(self, broker: Mosquitto, *args: str, http: int = 0, **env: str) -> Program:
        """`fleet-manager run`; its state lives in `directory/manager`."""
        return self.start(
            "fleet-manager",
            *("run", "--broker", broker.url, "--state-dir", str(self.directory / "manager")),
            *("--http", f"127.0.0.1:{http}", *args),
            name="manager",
            **env,
        )

    def end(self) -> None:
        """SIGTERM, then SIGKILL, also for children that outlived their agent."""
        for program in self.started:
            if program.running:
                program.terminate()
        begun = {Path(program.argv[0]).name for program in self.started}
        deadline = time.monotonic() + 10  # it is killed then
        for program in self.started:
            try:
                program.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
        for process in self.leftovers() if begun - _CHILDLESS else []:
            with suppress(psutil.Error):
                process.kill()
                process.wait(5)

    def leftovers(self) -> list[psutil.Process]:
        """Processes that work in `directory`, such as children left for the next agent."""
        ours, found = os.fsencode(self.directory), []
        for pid in psutil.pids():
            with suppress(psutil.Error, OSError):
                if pid != os.getpid() and any(ours in place for place in _places(pid)):
                    found.append(psutil.Process(pid))
        return found


def argv_of(process: psutil.Process) -> list[str]:
    """A process's arguments; none where it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def _places(pid: int) -> Iterator[bytes]:
    """What a process names, where it works, what it has opened; OSError when it is gone.

    As paths these would take several times as long, after each test.
    """
    process = os.fsencode(f"/proc/{pid}/")
    yield Path(os.fsdecode(process), "cmdline").read_bytes()
    yield os.readlink(process + b"cwd")  # noqa: PTH115
    for name in os.listdir(process + b"fd"):  # noqa: PTH208
        yield os.readlink(process + b"fd/" + name)  # noqa: PTH115
