"""What an agent costs, and how fast it is: idle, when a config comes, when a child dies."""

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from bench.thin import Thin
from tests.processes import Mosquitto, Program, Programs

STATION = "bench-agent"
TOPIC = f"fleet/v1/station/{STATION}"
INSTANCES = 4
IDLE = 20.0
"""Seconds an idle agent is watched."""
CONFIGS = 15
DEATHS = 10
RECORD = {"source": {"type": "test", "size": "64x64", "rate": 5}}


class _Boss:
    """Sends configs to the agent and hears what it says, and when."""

    def __init__(self) -> None:
        self._thin: Thin
        self._news = asyncio.Event()
        self.heard: list[tuple[float, str, Any]] = []
        self.revision = 0

    async def open(self, port: int) -> None:
        kinds = ("presence", "ack", "status")
        topics = [f"{TOPIC}/{kind}" for kind in kinds]
        self._thin = await Thin.open(port, "boss", self._heard, *topics)

    def close(self) -> None:
        self._thin.close()

    def _heard(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        kind = topic.rpartition("/")[2]
        self.heard.append((time.perf_counter(), kind, json.loads(payload)))
        self._news.set()

    def push(self, roles: object) -> float:
        """Send the next revision; when that was."""
        self.revision += 1
        config = {"revision": self.revision, "at": None, "by": "bench", "roles": roles}
        self.heard.clear()
        began = time.perf_counter()
        self._thin.publish(f"{TOPIC}/config", json.dumps(config).encode(), retain=True)
        return began

    async def hears(self, kind: str, wanted: Callable[[Any], bool]) -> float:
        """When it first heard so."""
        async with asyncio.timeout(30):
            while True:
                self._news.clear()
                for at, what, value in self.heard:
                    if what == kind and wanted(value):
                        return at
                await self._news.wait()

    def all_run(self, status: Any) -> bool:
        shown = [one for named in status["roles"].values() for one in named.values()]
        return status["revision"] == self.revision and all(
            one["state"] == "running" for one in shown
        )


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found.update(map(int, (task / "children").read_text().split()))
    return found


async def _child(pid: int, known: set[int]) -> tuple[float, int]:
    """When a child that was not `known` is there, and its id; looked at every half millisecond."""
    async with asyncio.timeout(60):
        while not (new := _children(pid) - known):
            await asyncio.sleep(0.0005)
    return time.perf_counter(), new.pop()


def _switches(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def _row(values: Sequence[float]) -> tuple[str, str, str]:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.2f}", f"{ordered[0]:.2f}", f"{ordered[-1]:.2f}"


async def measure(broker: Mosquitto, programs: Programs) -> list[Table]:
    """The tables of `make bench`'s second part."""
    boss = _Boss()
    await boss.open(broker.port)
    agent = programs.agent(broker, STATION)
    await boss.hears("presence", lambda presence: presence["state"] == "online")
    times = await _configs(boss, agent)
    times |= await _deaths(boss, agent)
    idle = await _idle(boss, agent)
    boss.close()
    return [times_table(times), idle]


def times_table(times: dict[str, list[float]]) -> Table:
    """Label -> milliseconds, one row each."""
    table = Table(title="An agent at work, ms")
    for column in ("", "median", "least", "most", "runs"):
        table.add_column(column, justify="left" if not column else "right")
    for label, values in times.items():
        table.add_row(label, *_row(values), str(len(values)))
    return table


async def _configs(boss: _Boss, agent: Program) -> dict[str, list[float]]:
    acks: list[float] = []
    children: list[float] = []
    running: list[float] = []
    for number in range(CONFIGS):
        boss.push({})
        await boss.hears("status", lambda s: s["revision"] == boss.revision and not s["roles"])
        while _children(agent.pid):
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.1)  # so that this is no burst of statuses
        began = boss.push({"record": {"main": RECORD | {"segment_seconds": 60 + number}}})
        child, _ = await _child(agent.pid, set())
        children.append(1000 * (child - began))
        acked = await boss.hears("ack", lambda ack: ack["revision"] == boss.revision)
        acks.append(1000 * (acked - began))
        running.append(1000 * (await boss.hears("status", boss.all_run) - began))
    return {
        "config sent -> ack heard": acks,
        "config sent -> child there": children,
        "config sent -> status says running": running,
    }


async def _deaths(boss: _Boss, agent: Program) -> dict[str, list[float]]:
    noticed: list[float] = []
    successors: list[float] = []
    for number in range(DEATHS):
        boss.push({"record": {"main": RECORD | {"segment_seconds": 100 + number}}})
        await boss.hears("status", boss.all_run)
        await asyncio.sleep(1.1)
        known = _children(agent.pid)
        (victim,) = known
        boss.heard.clear()
        os.kill(victim, signal.SIGKILL)
        died = time.perf_counter()
        successor = asyncio.create_task(_child(agent.pid, known))
        noticed.append(
            1000
            * (
                await boss.hears(
                    "status", lambda s: s["roles"]["record"]["main"]["reason"] is not None
                )
                - died
            )
        )
        at, _ = await successor
        successors.append(1000 * (at - died))
    return {
        "child killed -> status says so": noticed,
        "child killed -> successor there (first delay: random)": successors,
    }


async def _idle(boss: _Boss, agent: Program) -> Table:
    boss.push({"record": {f"main{n}": RECORD for n in range(INSTANCES)}})
    await boss.hears("status", boss.all_run)
    await asyncio.sleep(2)
    process = psutil.Process(agent.pid)
    cpu, switches = sum(process.cpu_times()[:2]), _switches(agent.pid)
    await asyncio.sleep(IDLE)
    cpu, switches = sum(process.cpu_times()[:2]) - cpu, _switches(agent.pid) - switches
    memory = process.memory_full_info()
    table = Table(title=f"An agent with {INSTANCES} instances at work, over {IDLE:.0f} s")
    for column in ("CPU % of a core", "resident MiB", "of these its own", "wake-ups/s", "threads"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{100 * cpu / IDLE:.2f}",
        f"{memory.rss / 2**20:.1f}",
        f"{memory.uss / 2**20:.1f}",
        f"{switches / IDLE:.1f}",
        str(process.num_threads()),
    )
    return table
