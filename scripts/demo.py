"""The demonstration: a private broker, a manager, Prometheus and a whole room at work.

Everything is the real thing, as processes of their own; this only starts it, shows what
`fleet status` knows, and ends it. Run it as `make demo [DURATION=20]`.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.text import Text

from fleet.cli import view
from fleet.cli.connection import Access, Manager, Unreachable, converse
from fleet.cli.passwords import made
from fleet.cli.sync import standing_text, wanted
from fleet.model import PresenceState
from fleet.mqtt import Broker
from fleet.operations.people import UserAddArguments, UserListResult, UserResult
from fleet.operations.stations import StatusResult
from fleet.sealed import seal
from fleet.topics import Topics
from scripts.demo_parts import PartFailed, Parts, Recording, claim, scraping

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("examples/demo.toml")
STATIONS = {
    "hall1-cam": "b827eb0000a1",
    "hall1-slides": "b827eb0000a2",
    "hall1-mix": "b827eb0000a3",
    "hall2-slides": "b827eb0000b2",
}
BLOCKING = "hall2-slides"
COPIES = {"hall1-cam": "local-copy", "hall1-slides": "local-copy"}
"""Where a station's recordings are, if not at the top."""
STORAGE = "/mnt/storage"
"""Where copies go by the file; here they go beside the recordings."""
HEADER = ("ROOM", "STATION", "PRESENCE", "ROLE", "INSTANCE", "STATE", "REVISION", "RECORDED")
PACE = 0.5
"""Seconds between two looks."""
PLAIN_PACE = 5.0
"""Seconds between two tables where there is no terminal and nothing changes."""


async def _with_somebody(manager: Manager) -> str:
    """Put somebody into the list of people who can sign in on the page; their password."""
    password = made()
    key = (await manager.ask("user_list", {}, UserListResult)).key
    somebody = UserAddArguments("demo", "operator", seal(key, password.encode()))
    await manager.ask("user_add", somebody, UserResult)
    return password


class Demo:
    """One run: its parts, its recordings and what is shown of them."""

    def __init__(self, work: Path, recordings: Path) -> None:
        self.parts = Parts(work)
        self.console = Console(highlight=False, markup=False)
        self.recordings = {
            name: Recording(recordings / name / COPIES.get(name, "")) for name in STATIONS
        }
        self._recordings = recordings
        self._work = work
        self._claims: list[socket.socket] = []
        self._last: StatusResult | None = None
        self._printed: tuple[object, float] = (None, 0.0)

    async def run(self, duration: float | None) -> None:
        """Start all, apply the file, show what happens."""
        self._claims = claim(ROOT / FILE)
        broker, http, prometheus = await self._start()
        access = Access(Broker.parse(broker), "anonymous", Topics())  # as the line below asks
        await self._all_online(access)
        password = await converse(access, _with_somebody)
        self.console.print(f"page        http://{http}/")
        self.console.print(f"sign in     as demo, password {password}")
        self.console.print(f"Prometheus  http://{prometheus}/")
        self.console.print(f"fleet       export FLEET_BROKER={broker}; .venv/bin/fleet status\n")
        await self._apply(broker)
        await converse(access, lambda manager: self._show(manager, duration))

    async def _start(self) -> tuple[str, str, str]:
        """All parts; the broker's URL, and host and port of the page and of Prometheus."""
        programs = Path(sys.executable).parent
        port = await self.parts.broker(ROOT / "mosquitto/private.conf")
        broker = f"mqtt://127.0.0.1:{port}"
        manager = self.parts.start(
            "manager",
            [
                *(programs / "fleet-manager", "run", "--broker", broker),
                *("--state-dir", self._work / "manager", "--http", "127.0.0.1:0"),
            ],
        )
        for name, id_ in STATIONS.items():
            recordings = self._recordings / name
            recordings.mkdir(parents=True)
            settings = self._work / f"{name}.toml"
            blocked = 'blocked_roles = ["record"]\n' if name == BLOCKING else ""
            settings.write_text(f'{blocked}recordings = "{recordings}"\n')
            self.parts.start(
                name,
                [
                    *(programs / "fleet-agent", "run", "--broker", broker, "--station", id_),
                    *("--state-dir", self._work / name, "--settings", settings, "--allow-root"),
                ],
            )
        http = f"127.0.0.1:{await manager.port()}"
        prometheus = self.parts.start(
            "prometheus",
            [
                *("prometheus", f"--config.file={scraping(http, self._work)}"),
                f"--storage.tsdb.path={self._work / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
        )
        return broker, http, f"127.0.0.1:{await prometheus.port()}"

    async def _all_online(self, access: Access) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.parts.check()
            try:
                found = await converse(access, Manager.status)
            except Unreachable:
                continue  # the manager is still starting
            online = {one.id for one in found.stations if one.presence is PresenceState.ONLINE}
            if online >= set(STATIONS.values()):
                return
            await asyncio.sleep(0.1)
        raise PartFailed("the stations did not come online within 60 s")

    async def _apply(self, broker: str) -> None:
        fleet = Path(sys.executable).with_name("fleet")
        self.console.print(f"$ fleet apply --yes --force {FILE}")
        storage = self._recordings / "copies"
        storage.mkdir()
        file = self._work / FILE.name
        file.write_text((ROOT / FILE).read_text().replace(STORAGE, str(storage)))
        applied = await asyncio.create_subprocess_exec(
            *(fleet, "--broker", broker, "apply", "--yes", "--force", file),
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            code = await applied.wait()
        finally:
            if applied.returncode is None:
                applied.terminate()
        # 1: a station rejects it, which is part of the show, and why it has to be forced.
        if code not in (0, 1):
            raise PartFailed(f"fleet apply ended with status {code}")
        self.console.print()

    async def _show(self, manager: Manager, duration: float | None) -> None:
        end = None if duration is None else time.monotonic() + duration
        with self._display() as display:
            while end is None or time.monotonic() < end:
                self.parts.check()
                self._last = await manager.status()
                display(self._last)
                left = PACE if end is None else end - time.monotonic()
                await asyncio.sleep(max(0.0, min(PACE, left)))

    @contextmanager
    def _display(self) -> Iterator[Callable[[StatusResult], None]]:
        """A function that shows one look at the stations."""
        if not self.console.is_terminal:
            yield self._print
            return
        hint = Text("\nCtrl-C ends everything", "bright_black")
        with Live(console=self.console, auto_refresh=False) as live:
            yield lambda found: live.update(
                Group(view.table(self.lines(found), HEADER, self.console.width), hint),
                refresh=True,
            )

    def _print(self, found: StatusResult) -> None:
        """Lines of text: when something changes, and now and then to show what grows."""
        lines = self.lines(found)
        states = [(line.cells[:-1], line.beneath) for line in lines]
        if states != self._printed[0] or time.monotonic() - self._printed[1] >= PLAIN_PACE:
            print(*view.plain(lines, HEADER), "", sep="\n", flush=True)
            self._printed = states, time.monotonic()

    def lines(self, found: StatusResult) -> list[view.TableRow]:
        """The status table, with what was recorded in place of times and restarts."""
        lines = []
        for line in view.lines(found.stations, found.at):
            recording = self.recordings.get(line.cells[1])
            size = decimal(recording.size) if recording else "-"
            cells = (*line.cells[:6], line.cells[view.HEADER.index("REVISION")], size)
            reason = line.cells[-1]
            lines.append(view.TableRow(cells, ((reason,) if reason else ()) + line.beneath))
        return lines

    def conclude(self) -> bool:
        """A line per station; whether all recordings are whole."""
        known = wanted(self._last.stations) if self._last else ()
        said = {one.name: standing_text(one) for one in known}
        well = True
        print()
        for name, recording in self.recordings.items():
            if name == BLOCKING:
                print(said.get(name) or f"{name}: was not asked to record")
                continue
            try:
                seconds = recording.seconds()
            except ValueError as error:
                well = False
                print(f"{name}: {error}")
                continue
            files = f"{len(recording.files)} file{'s'[: len(recording.files) != 1]}"
            print(f"{name}: {seconds:.1f} s in {files}, {decimal(recording.size)}, decodes whole")
        place = os.path.relpath(self._recordings)
        print(f"recordings: {place}/")
        return well


async def run(duration: float | None, recordings: Path) -> bool:
    """The whole demonstration; whether it went well."""
    with tempfile.TemporaryDirectory(prefix="fleet-demo-") as work:
        demo = Demo(Path(work), recordings)
        running = asyncio.create_task(demo.run(duration))
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, running.cancel)
        why: BaseException | None = None
        try:
            await asyncio.wait([running])
            why = None if running.cancelled() else running.exception()
        finally:
            print("\nending all parts, the recordings are finalised", file=sys.stderr)
            await demo.parts.end()
            for number in signals:
                loop.remove_signal_handler(number)
        if why is not None and not isinstance(why, PartFailed | Unreachable):
            raise why
        if why is not None:
            print(f"demo: {why}", file=sys.stderr)
        return demo.conclude() and why is None


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="A broker, a manager and a room at work.")
    parser.add_argument("--duration", type=float, metavar="S", help="end by itself after S seconds")
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        default=ROOT / "demo" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        help="where the recordings go (default: demo/ and the time)",
    )
    arguments = parser.parse_args()
    sys.exit(not asyncio.run(run(arguments.duration, arguments.recordings.resolve())))


if __name__ == "__main__":
    main()
