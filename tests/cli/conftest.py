"""The command `fleet` as a person or a script runs it, against a real manager."""

import asyncio
import fcntl
import os
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.manager.station import PretendStation, conference
from tests.processes import Mosquitto, Program, Programs, Started, warm
from tests.stranger import Stranger
from tests.test_broker import passwords, users  # noqa: F401 (fixtures)

FLEET = Path(sys.executable).with_name("fleet")


@frozen
class Outcome:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Fleet:
    """Runs `fleet` with its output piped, or on a terminal of its own."""

    def __init__(self, broker: Mosquitto, programs: Programs) -> None:
        self._broker = broker
        self._programs = programs

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        base = {"FLEET_BROKER": self._broker.url, "TERM": "xterm-256color"}
        return self._programs.environment(**(base | dict(env)))

    async def __call__(
        self,
        *args: str | Path,
        timeout: float = 120,
        env: Mapping[str, str] = {},
        stdin: str = "",
    ) -> Outcome:
        """`stdin`: what it can read there, less than a pipe holds."""
        (out, into), (err, beside), (theirs, ours) = os.pipe(), os.pipe(), os.pipe()
        process = self._start(args, env, (theirs, into, beside))
        os.write(ours, stdin.encode())
        for end in (theirs, ours, into, beside):
            os.close(end)
        reading = asyncio.gather(_all(out), _all(err))
        try:
            async with asyncio.timeout(timeout):
                said, complained = await asyncio.shield(reading)
                code = await asyncio.to_thread(process.wait)
        finally:
            process.kill()
            await reading  # nothing else ends it
        assert "Traceback" not in complained
        return Outcome(code, said, complained)

    def _start(
        self, args: tuple[str | Path, ...], env: Mapping[str, str], files: tuple[int, int, int]
    ) -> Started:
        argv = [str(FLEET), *map(str, args)]
        env = self.environment(env)
        return warm().start(argv, env, Path.cwd(), files, self._programs.instead)

    async def offers(self, words: str, expected: Collection[str], **env: str) -> None:
        """Press Tab behind these words in bash until this is offered, and nothing else.

        On a busy machine it is pressed again, as people do: an answer that takes long is none.
        """
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(f"{words}x".split()) - 1)}
        env |= {"_FLEET_COMPLETE": "complete_bash", **asked}
        async with asyncio.timeout(60):
            while True:
                found = await self(env=env)
                assert found.err == ""
                offered = found.out.split()
                if offered or not expected:
                    break
        assert sorted(offered) == sorted(expected), words

    async def on_terminal(
        self, *args: str | Path, columns: int = 80, types: str = "", env: Mapping[str, str] = {}
    ) -> tuple[int, str]:
        """Exit code and all that appeared; `types` is typed once it asks something."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = self.environment({"NO_COLOR": "", "COLUMNS": "", **env})
        process = self._start(args, environment, (theirs, theirs, theirs))
        os.close(theirs)
        seen = b""
        try:
            async with asyncio.timeout(120):
                while chunk := await asyncio.to_thread(_read, ours):
                    seen += chunk
                    if types and seen.rstrip().endswith((b"[y/N]:", b"(hidden):")):
                        os.write(ours, types.encode())
                        types = ""
                code = await asyncio.to_thread(process.wait)
        finally:
            process.kill()
            os.close(ours)
        return code, seen.decode().replace("\r\n", "\n")


async def _all(pipe: int) -> str:
    """What comes out of a pipe until its other end is closed."""
    with os.fdopen(pipe, "rb") as end:
        return (await asyncio.to_thread(end.read)).decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end was closed
        return b""


@pytest.fixture
def fleet(broker: Mosquitto, programs: Programs) -> Fleet:
    """Runs `fleet`; there is a broker, and a manager only with the fixture `manager`."""
    return Fleet(broker, programs)


@pytest.fixture
async def manager(broker: Mosquitto, programs: Programs, stranger: Stranger) -> Program:
    """A manager that is online."""
    program = programs.manager(broker)
    await stranger.expect("fleet/v1/manager/presence", lambda said: said["state"] == "online")
    return program


Play = Callable[..., Awaitable[PretendStation]]


@pytest.fixture
async def play(manager: Program, stranger: Stranger) -> AsyncIterator[Play]:
    """Bring a station online that does as it is told: `await play("cam1")`."""
    tasks: list[asyncio.Task[None]] = []

    async def obey(station: PretendStation) -> None:
        revision = 0
        while True:
            config = await station.stranger.expect(
                station.topic("config"),
                lambda said: said is not None and said["revision"] > revision,  # noqa: B023
                timeout=100,
            )
            revision = config["revision"]
            await station.obey(config)

    async def start(id_: str, *, obedient: bool = True, **registration: Any) -> PretendStation:
        station = PretendStation(stranger, id_)
        await station.register(**registration)
        await station.ack()
        await station.status()
        await station.presence()
        if obedient:
            tasks.append(asyncio.create_task(obey(station)))
        return station

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """A conference file with these stations (name, id), each recording."""

    def write(*stations: tuple[str, str], extra: str = "", seconds: int = 180) -> Path:
        path = tmp_path / "conference.toml"
        path.write_text(conference(*stations, extra=extra, seconds=seconds))
        return path

    return write


def rejection(message: str = "expected 1 to 86400, got 0") -> dict[str, Any]:
    """The error of an ack that rejects."""
    problem = {
        "type": "InvalidConfiguration",
        "role": "record",
        "instance": "main",
        "path": "/segment_seconds",
        "message": message,
    }
    return {"type": "InvalidConfiguration", "message": "1 problem", "problems": [problem]}
