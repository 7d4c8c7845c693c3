"""Push to ack: from a change asked for to the last station's ack, real manager and thin one.

All see the same broker, the same simulated stations and the same observer, one after the other.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psutil
from attrs import frozen

from bench.stations import ROOT, station_id
from bench.thin import Thin


def roles(revision: int) -> dict[str, object]:
    """What is wanted: a usual recording, other with each revision."""
    source = {"type": "test", "size": "1280x720", "rate": 25}
    return {"record": {"main": {"source": source, "segment_seconds": 60 + revision % 1000}}}


def conference(count: int, revision: int) -> str:
    """A conference file for so many stations of one profile."""
    seconds = 60 + revision % 1000
    text = (
        '[conference]\nid = "bench"\n[rooms.hall]\n[profiles.source.roles]\nrecord.main = {source ='
        f' {{type = "test", size = "1280x720", rate = 25}}, segment_seconds = {seconds}}}\n'
    )
    for name in map(station_id, range(count)):
        text += f'[stations.{name}]\nid = "{name}"\nroom = "hall"\nprofiles = ["source"]\n'
    return text


@frozen
class Run:
    """Milliseconds after the change was asked for; `first`: the first station has its config."""

    first: float
    acks: Sequence[float]
    cpu: float
    """CPU milliseconds of the manager."""

    @property
    def total(self) -> float:
        return max(self.acks)

    def at(self, part: float) -> float:
        """By when so large a part (0 to 1) of the acks was there."""
        return sorted(self.acks)[min(len(self.acks) - 1, int(part * len(self.acks)))]


class Observer:
    """Hears every config and ack, and when."""

    def __init__(self) -> None:
        self._thin: Thin
        self._configs: list[float] = []
        self._acks: dict[str, float] = {}
        self._revisions: dict[str, int] = {}
        self._left = 0
        self._done = asyncio.Event()
        self._replies: dict[bytes, asyncio.Future[bytes]] = {}

    async def open(self, port: int) -> None:
        topics = (f"{ROOT}/{station_id(0)}/config", f"{ROOT}/+/ack", "fleet/v1/manager/reply/bench")
        self._thin = await Thin.open(port, "observer", self._heard, *topics)

    def close(self) -> None:
        self._thin.close()

    def _heard(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        now = time.perf_counter()
        if topic.endswith("/config"):
            self._configs.append(now)
        elif topic.endswith("/ack"):
            if topic not in self._acks and self._left and b'"accepted"' in payload:
                self._acks[topic] = now
                self._left -= 1
                if not self._left:
                    self._done.set()
        elif correlation in self._replies:
            self._replies[correlation].set_result(payload)

    async def ask(self, operation: str, arguments: object) -> Any:
        """The result of a request to the real manager."""
        correlation = str(time.perf_counter_ns()).encode()
        reply = self._replies[correlation] = asyncio.get_running_loop().create_future()
        topic = f"fleet/v1/manager/request/bench/{operation}"
        self._thin.publish(topic, json.dumps(arguments).encode(), correlation=correlation)
        answer = json.loads(await reply)
        if answer["error"] is not None:
            raise RuntimeError(answer["error"])
        return answer["result"]

    async def run(self, count: int, change: Callable[[], Awaitable[None]], pid: int) -> Run:
        """Ask for a change and time what follows, until `count` acks are there."""
        self._configs.clear()
        self._acks.clear()
        self._done.clear()
        self._left = count
        process = psutil.Process(pid)
        before = sum(process.cpu_times()[:2])
        began = time.perf_counter()
        asked = asyncio.ensure_future(change())
        async with asyncio.timeout(60):
            await self._done.wait()
            await asked
        cpu = sum(process.cpu_times()[:2]) - before
        acks = [1000 * (at - began) for at in self._acks.values()]
        return Run(1000 * (self._configs[0] - began), acks, 1000 * cpu)


def median(runs: Sequence[Run], what: Callable[[Run], float]) -> float:
    """The middle of what is measured over several runs."""
    return statistics.median(map(what, runs))
