"""What the tests of the wire share: an agent or a manager, with a stranger on the other side."""

import asyncio
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.processes import SILENT, Mosquitto, Program, Programs, free_port
from tests.stranger import Stranger
from tests.wire.sides import Boss, Box, Json, dumps_toml

STATION = "b827eb0000a1"
SETTINGS = 'interval = 1.0\nblocked_roles = ["shelved", "stream"]\n'


@pytest.fixture
async def boss(broker: Mosquitto, stranger: Stranger, programs: Programs) -> Boss:
    """The manager's side of a fresh agent that is online and has never had a config."""
    boss = Boss(stranger, STATION)
    programs.agent(broker, STATION, SETTINGS)
    await boss.online()
    return boss


class Desk:
    """A real manager, what operators ask it, and its metrics."""

    def __init__(self, broker: Mosquitto, programs: Programs, stranger: Stranger) -> None:
        self.broker = broker
        self.programs = programs
        self.stranger = stranger
        self.http = free_port()
        self.program: Program

    async def start(self) -> Json:
        """Start a manager (again) on the same store; its presence once it is online."""
        mark = self.stranger.mark()
        self.programs.instead = {SILENT: 3}
        self.program = self.programs.manager(self.broker, http=self.http)
        presence: Json = await self.stranger.expect(
            "fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark
        )
        return presence

    async def ask(self, operation: str, **arguments: Any) -> Any:
        """The result of a request that must not be refused."""
        correlation = secrets.token_bytes(8)
        mark = self.stranger.mark()
        topic = f"fleet/v1/manager/request/me/{operation}"
        await self.stranger.publish(topic, arguments, correlation=correlation)
        reply = await self.stranger.expect("fleet/v1/manager/reply/me", after=mark)
        assert reply["error"] is None, reply["error"]
        return reply["result"]

    async def want(self, station: str, roles: Mapping[str, Any], room: str = "hall1") -> int:
        """Apply a conference file with one station; the revision now wanted of it."""
        return (await self.want_all({station: roles}, room))[station]

    async def want_all(self, stations: Mapping[str, Any], room: str = "hall1") -> dict[str, int]:
        text = f'[conference]\nid = "wire"\n[rooms.{room}]\n'
        for station, roles in stations.items():
            text += f'[stations.box-{station}]\nid = "{station}"\nroom = "{room}"\n'
            text += f"roles = {dumps_toml(roles)}\n"
        result = await self.ask("apply", text=text, name="wire.toml")
        revisions: dict[str, int] = result["revisions"]
        return revisions

    async def metrics(self) -> dict[str, float]:
        """Every sample of `/metrics`."""

        def read() -> str:
            url = f"http://127.0.0.1:{self.http}/metrics"
            with urllib.request.urlopen(url, timeout=60) as answer:
                text: str = answer.read().decode()
            return text

        text = await asyncio.to_thread(read)
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def metric(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of `name` that have these labels; None if there is none."""
        found = [
            value
            for sample, value in (await self.metrics()).items()
            if sample.split("{")[0] == name
            and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', sample)).items()
        ]
        return sum(found) if found else None

    async def shows(self, value: float | None, name: str, **labels: str) -> None:
        """Wait until a metric has `value`."""
        began = time.monotonic()
        deadline = began + 60
        while (seen := await self.metric(name, **labels)) != value:
            now = time.monotonic()
            assert now < deadline, f"{name}{labels} is {seen}, not {value}"
            # What lasts is looked at less often: the machine is there for what is waited for.
            await asyncio.sleep(min(0.5, 0.05 + 0.1 * (now - began)))

    async def station(self, station: str) -> Json:
        """What the manager says of one station."""
        result = await self.ask("status")
        found: Json = next(one for one in result["stations"] if one["id"] == station)
        return found


@pytest.fixture
async def desk(broker: Mosquitto, stranger: Stranger, programs: Programs) -> Desk:
    """A fresh manager that is online."""
    desk = Desk(broker, programs, stranger)
    await desk.start()
    return desk


class Boxes:
    """Stations played by the test; all are gone at its end."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._made: list[Box] = []

    def make(self, station: str, interval: float = 60) -> Box:
        self._made.append(Box(self._broker, station, interval))
        return self._made[-1]

    async def connect(self, station: str, interval: float = 60) -> Box:
        box = self.make(station, interval)
        await box.connect()
        return box

    async def end(self) -> None:
        for box in self._made:
            if box.epoch:
                await box.stranger.__aexit__(None, None, None)


@pytest.fixture
async def boxes(broker: Mosquitto) -> AsyncIterator[Boxes]:
    made = Boxes(broker)
    yield made
    await made.end()
