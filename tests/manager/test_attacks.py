"""Everything that one station and the network can do, at once: nobody else notices."""

import asyncio
import re
import sys
import time
import urllib.request
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import psutil
import pytest

from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import ROOT, Mosquitto, Programs
from tests.stranger import Stranger

T = TypeVar("T")
GOOD = ("good1", "good2")
SEED = 20261126
MOST_MIB = 200


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        text: str = answer.read().decode()
    return text


def shown_on_page(room: str, url: str) -> bool:
    """Whether the page tells of a room; it may be a second old at first."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
        return any(room in line.decode() for line in answer)


@pytest.mark.long
@pytest.mark.timeout(700)
async def test_whatever_one_station_and_the_network_do_the_others_are_shown_as_they_are(
    broker: Mosquitto, programs: Programs, long: bool
) -> None:
    manager = programs.manager(broker)
    await manager.says("connected;")
    url = re.findall(r"serving (http://\S+)/metrics", manager.log())[-1]
    # A client in Python that heard what the attacker says would be held by its properties.
    heard = ("manager/#", *(f"station/{id_}/config" for id_ in GOOD))
    async with Stranger(broker.port, *(f"fleet/v1/{topic}" for topic in heard)) as stranger:
        good = [PretendStation(stranger, id_) for id_ in GOOD]
        for one in good:
            await one.come_online()
        await apply(stranger, conference(*zip(("cam", "slides"), GOOD, strict=True)))
        for one in good:
            await one.obey(await one.config())
        await attacked(good, broker, url, manager.pid, 600 if long else 0)


async def attacked(
    good: Sequence[PretendStation], broker: Mosquitto, url: str, manager: int, seconds: int
) -> None:
    """Ask everything again and again while somebody attacks; says what the slowest answer took."""
    stranger = good[0].stranger
    slowest = dict.fromkeys(("status", "show", "metrics", "page"), 0.0)
    most = 0

    async def took(what: str, answer: Awaitable[T]) -> T:
        began = time.monotonic()
        found = await answer
        slowest[what] = max(slowest[what], time.monotonic() - began)
        return found

    argv = [sys.executable, "-m", "tests.manager.attacks", str(broker.port), url.rpartition(":")[2]]
    attacker = await asyncio.create_subprocess_exec(
        *argv, str(seconds), str(SEED), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        while attacker.returncode is None:
            for station in good:
                await station.status()
            said = (await took("status", ask(stranger, "status")))["result"]["stations"]
            shown = {one["name"]: one for one in said if one["id"] != "bad1"}
            assert list(shown) == ["cam", "slides"]
            for one in shown.values():
                assert one["presence"] == "online"
                assert one["in_sync"]
                assert one["roles"]["record"]["main"]["state"] == "running"
            assert (await took("show", ask(stranger, "show", station="cam")))["error"] is None
            text = await took("metrics", asyncio.to_thread(read, f"{url}/metrics"))
            up = {one for one in text.splitlines() if one.startswith("fleet_station_up{")}
            named = (f'fleet_station_up{{room="hall1",station="{id_}"}} 1.0' for id_ in GOOD)
            assert up.issuperset(named)
            assert "ALERTS" not in text
            events = f"{url}/events"
            assert await took("page", asyncio.to_thread(shown_on_page, "hall1", events))
            most = max(most, psutil.Process(manager).memory_info().rss // 2**20)
            await asyncio.sleep(0.1)  # people and programs look now and then
    finally:
        if attacker.returncode is None:
            attacker.kill()
        out, _ = await attacker.communicate()
    print(out.decode(), {what: f"{took:.2f} s" for what, took in slowest.items()}, f"{most} MiB")
    assert attacker.returncode == 0
    assert most < MOST_MIB
