"""The processes of the demonstration, and the files they leave."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from attrs import define, field, frozen

_PROMETHEUS = Path(__file__).resolve().parent.parent / "prometheus"
_PATIENCE = 20.0
"""Seconds a part has to end once asked to."""


class PartFailed(Exception):
    """A part did not start, or ended by itself; the text says which and its last output."""


@define
class Part:
    """One process, with its output in a file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises PartFailed once the process has ended."""
        status = self.process.poll()
        if status is not None:
            words = self.log.read_text(errors="replace").splitlines()[-10:]
            text = "\n".join(f"    {line}" for line in words) or "    (it said nothing)"
            raise PartFailed(f"{self.name} ended with status {status}; its last output:\n{text}")

    async def port(self) -> int:
        """The TCP port it was given when it asked for any, once it listens.

        Raises:
            PartFailed: it ended before.
        """
        while True:
            self.check()
            with suppress(psutil.NoSuchProcess):
                for one in psutil.Process(self.process.pid).net_connections("tcp"):
                    if one.status == psutil.CONN_LISTEN:
                        port: int = one.laddr.port
                        return port
            await asyncio.sleep(0.02)


@define
class Parts:
    """All processes, in the order they were started."""

    directory: Path
    """Where their logs go."""
    started: list[Part] = field(factory=list)

    def start(self, name: str, argv: Sequence[str | Path]) -> Part:
        """Start a process that a Ctrl-C at the terminal does not reach.

        Raises:
            PartFailed: the program is not there.
        """
        log = self.directory / f"{name}.log"
        own = {k: v for k, v in os.environ.items() if not k.startswith(("FLEET_", "NOTIFY_"))}
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=own,
                    start_new_session=True,
                )
            except OSError as error:
                raise PartFailed(f"{name} cannot be started: {error}") from None
        part = Part(name, process, log)
        self.started.append(part)
        return part

    def check(self) -> None:
        """Raises PartFailed if any has ended."""
        for part in self.started:
            part.check()

    async def broker(self, config: Path) -> int:
        """Start Mosquitto; the port it listens on.

        Raises:
            PartFailed: it does not come up.
        """
        for attempt in range(5):
            port = free_port()
            part = self.start("broker", ["mosquitto", "-c", config, "-p", str(port)])
            while part.process.poll() is None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    return port
                await asyncio.sleep(0.02)
            if attempt < 4:  # somebody else may have taken the port
                self.started.remove(part)
        part.check()
        raise AssertionError("unreachable")

    async def end(self) -> None:
        """End all and see that none is left.

        The last started first, one by one: a station says goodbye through the broker.
        """
        for part in reversed(self.started):
            part.process.terminate()
            await self._ended(part)

    async def _ended(self, part: Part) -> None:
        end = time.monotonic() + _PATIENCE
        while part.process.poll() is None:
            if time.monotonic() > end:
                print(f"{part.name} does not end; it is killed", file=sys.stderr)
                _kill(part.process.pid)
                part.process.wait()
                return
            await asyncio.sleep(0.05)


def _kill(pid: int) -> None:
    """The process and what it started, which would outlive it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def claim(conference: Path) -> list[socket.socket]:
    """Claim the ports that a conference file has things listen on, until the sockets are closed.

    Raises:
        PartFailed: one is taken; its readers would record what somebody else offers there.
    """
    claims = []
    for station in tomllib.loads(conference.read_text())["stations"].values():
        for role in ("ingest", "mix"):
            for name, settings in station["roles"].get(role, {}).items():
                claims.append(_claim(f"{role}/{name}", settings, conference))
    return claims


def _claim(instance: str, settings: dict[str, Any], conference: Path) -> socket.socket:
    address = settings["listen"], settings["port"]
    mark = socket.socket(socket.AF_UNIX)
    try:
        # Another demo may not listen yet: it is known by a name beside the port.
        mark.bind("\0fleet demo {}:{}".format(*address))
        socket.create_server(address).close()
    except OSError as error:
        mark.close()
        raise PartFailed(
            f"{instance} cannot listen on {address[0]}:{address[1]}: {error.strerror}; "
            f"end what does (another demo?), or change the port in {conference}"
        ) from None
    return mark


def scraping(manager: str, directory: Path) -> Path:
    """The configuration of a Prometheus that scrapes `manager` (host:port), in `directory`.

    It is the one beside this repository's rules, for a place with no Alertmanager.
    """
    source = _PROMETHEUS / "prometheus.yml"
    configuration = yaml.safe_load(source.read_text())
    del configuration["alerting"]
    configuration["rule_files"] = [str(_PROMETHEUS / name) for name in configuration["rule_files"]]
    (job,) = configuration["scrape_configs"]
    job["static_configs"] = [{"targets": [manager]}]
    made = directory / source.name
    made.write_text(yaml.safe_dump(configuration))
    return made


@frozen
class Recording:
    """What a station has recorded, in its own directory."""

    directory: Path

    @property
    def files(self) -> list[Path]:
        """The segments by name; what is streamed lies in a directory of its own."""
        return sorted(path for path in self.directory.glob("[!.]*") if path.is_file())

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(path.stat().st_size for path in self.files)

    def seconds(self) -> float:
        """How long it plays; decodes all of it.

        Raises:
            ValueError: there is nothing, or something in it cannot be decoded.
        """
        if not self.files:
            raise ValueError("nothing was recorded")
        return sum(map(_decoded_seconds, self.files))


def _decoded_seconds(path: Path) -> float:
    decoded = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    if decoded.returncode or decoded.stderr.strip():
        raise ValueError(f"{path.name} does not decode: {decoded.stderr.strip()[-200:]}")
    probed = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-show_entries", "format=duration:stream=codec_type"),
            *("-of", "default=nokey=1:noprint_wrappers=1", path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    *streams, seconds = probed.stdout.split()
    if not {"video", "audio"} <= set(streams):
        raise ValueError(f"{path.name} has only {' and '.join(sorted(set(streams)))}")
    return float(seconds)
