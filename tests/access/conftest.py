"""A server as `fleet-manager init` sets it up, with its own Mosquitto, and boxes that join it."""

import asyncio
import json
import re
import shutil
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Program, Programs, free_port, listens, run


class Server:
    """The broker of the conf that `init` wrote, the manager of its `--dir`, and the operator."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = Programs(directory)
        self.port = free_port()
        self.http = free_port()
        self.env = self.programs.environment(XDG_CONFIG_HOME=str(directory / "config"))
        self.broker: subprocess.Popen[bytes] | None = None
        self.manager: Program | None = None

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"

    @property
    def dir(self) -> Path:
        return self.directory / "fleet"

    def init(self, *more: str) -> str:
        words = ("init", "--host", "127.0.0.1", "--dir", str(self.dir), "--port", str(self.port))
        done = run("fleet-manager", *words, *more, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_broker(self, more: str = "") -> None:
        """Returns when it takes connections."""
        conf = self.dir / "mosquitto/mosquitto.conf"
        if more:
            conf.write_text(conf.read_text() + more)
        with (self.directory / "mosquitto.log").open("ab") as log:
            self.broker = subprocess.Popen(["mosquitto", "-c", str(conf)], stdout=log, stderr=log)
        listens(self.broker, self.port, self.directory / "mosquitto.log")

    async def start(self) -> None:
        """Init, broker, manager; returns when an operator can ask."""
        self.init()
        self.start_broker()
        await self.start_manager()

    async def start_manager(self) -> None:
        self.manager = self.programs.start(
            "fleet-manager",
            *("run", "--dir", str(self.dir), "--http", f"127.0.0.1:{self.http}"),
            name=f"manager-{len(self.programs.started)}",
        )
        await self.manager.says("INFO    connected;")

    def fleet(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return run("fleet", *words, env={**self.env, **env})

    async def says(self, *words: str, code: int = 0) -> str:
        """What `fleet` says; it has to end with this."""
        done = await asyncio.to_thread(self.fleet, *words)
        assert done.returncode == code, f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout if code == 0 else done.stderr

    async def ask(self, *words: str) -> Any:
        return json.loads(await self.says(*words, "--json"))

    async def token(self, *words: str) -> str:
        """The last word of what `fleet token` prints."""
        line = (await self.says("token", *words)).strip()
        found = re.fullmatch(rf"fleet-agent join {re.escape(self.url)} (\S+)", line)
        assert found, line
        return found[1]

    def join(self, token: str, name: str, *more: str, url: str = "") -> Program:
        """`fleet-agent join` on a box of its own."""
        place = self.box(name)
        place.mkdir(exist_ok=True)
        return self.programs.start(
            "fleet-agent",
            *("join", url or self.url, token, "--state-dir", str(place / "state"), *more),
            name=f"join-{name}",
            TMPDIR=str(place),
        )

    def box(self, name: str) -> Path:
        return self.directory / name

    def agent(self, name: str, which: str = "") -> Program:
        """`fleet-agent run` with nothing but its state directory and where recordings go."""
        place = self.box(name)
        (place / "agent.toml").write_text(f'recordings = "{place}/recordings"\ninterval = 5.0\n')
        state, settings = str(place / "state"), str(place / "agent.toml")
        words = ("run", "--state-dir", state, "--settings", settings)
        return self.programs.start("fleet-agent", *words, name=f"agent-{name}{which}")

    def metrics(self) -> str:
        """As Prometheus is shown them: with the token, by the fleet's own certificate."""
        token = (self.dir / "metrics.token").read_text().strip()
        context = ssl.create_default_context(cafile=str(self.dir / "ca.pem"))
        asked = urllib.request.Request(
            f"https://127.0.0.1:{self.http}/metrics", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(asked, timeout=60, context=context) as reply:  # noqa: S310
            text: str = reply.read().decode()
        return text

    def end(self) -> None:
        self.programs.end()
        if self.broker is not None:
            self.broker.kill()
            self.broker.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    """Not begun yet. Its directory can be walked into by the broker, which gives up being root."""
    directory = Path(tempfile.mkdtemp(prefix="fleet-join-"))
    directory.chmod(0o755)
    found = Server(directory)
    try:
        yield found
    finally:
        found.end()
        shutil.rmtree(directory, ignore_errors=True)


async def says(program: Program, text: str) -> None:
    """What a box says, and that it is over."""
    await program.says(re.escape(text))
    with suppress(ProcessLookupError):
        await program.ended()
