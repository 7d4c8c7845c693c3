"""Stations that do with each config what the test says: obey, reject, fail, or nothing yet."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.manager.station import PretendStation, ask
from tests.stranger import Stranger

Behaviour = Callable[[PretendStation, Any], Awaitable[None]]


async def obey(station: PretendStation, config: Any) -> None:
    await station.obey(config)


async def ignore(station: PretendStation, config: Any) -> None:
    """It does not answer yet."""


async def reject(station: PretendStation, config: Any) -> None:
    problem = {"type": "BlockedRole", "role": "record", "instance": None, "path": None}
    problem["message"] = "record is blocked here"
    error = {"type": "BlockedRole", "message": "record is blocked", "problems": [problem]}
    await station.ack(config["revision"], "rejected", error)


async def fail(station: PretendStation, config: Any) -> None:
    station.revision, station.roles = config["revision"], config["roles"]
    await station.ack()
    await station.status("failed")


class Boxes:
    """Online stations; `behaviour` may be changed at any time, for a station or for all."""

    def __init__(self, stranger: Stranger) -> None:
        self.stranger = stranger
        self.behaviour: dict[str, Behaviour] = {}
        self.stations: dict[str, PretendStation] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def add(self, *ids: str, behaviour: Behaviour = obey) -> None:
        for id_ in ids:
            station = self.stations[id_] = PretendStation(self.stranger, id_)
            self.behaviour[id_] = behaviour
            await station.come_online(interval=60)
            self._tasks.append(asyncio.create_task(self._live(station)))

    async def _live(self, station: PretendStation) -> None:
        revision = 0
        while True:
            config = await station.stranger.expect(
                station.topic("config"),
                lambda said: said is not None and said["revision"] > revision,  # noqa: B023
                timeout=600,
            )
            revision = config["revision"]
            await self.behaviour[station.id](station, config)

    def given(self, id_: str) -> list[Any]:
        """The configs a station was sent, without repetitions."""
        found: list[Any] = []
        for message in self.stranger.on(f"fleet/v1/station/{id_}/config"):
            if message.payload and message.json not in found:
                found.append(message.json)
        return found

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def rollout(stranger: Stranger, **arguments: Any) -> Any:
    """How far the last rollout is."""
    reply = await ask(stranger, "rollout", **arguments)
    assert reply["error"] is None, reply
    return reply["result"]["rollout"]


async def rollout_ends(stranger: Stranger, timeout: float = 60) -> Any:
    """The last rollout once it is over."""
    async with asyncio.timeout(timeout):
        while True:
            found = await rollout(stranger)
            if found["phase"] != "running":
                return found
            await asyncio.sleep(0.05)


async def rollout_is(stranger: Stranger, **outcomes: str) -> Any:
    """The last rollout once its stations have these outcomes."""
    async with asyncio.timeout(60):
        while True:
            found = await rollout(stranger)
            now = {one["id"]: one["outcome"] for one in found["targets"]}
            if outcomes.items() <= now.items():
                return found
            await asyncio.sleep(0.05)


async def status_of(stranger: Stranger) -> dict[str, Any]:
    reply = await ask(stranger, "status")
    return {one["id"]: one for one in reply["result"]["stations"]}
