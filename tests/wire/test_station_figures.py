"""What a role measures, from its author's line of prometheus_client to the manager's /metrics."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.processes import Mosquitto, Program, Programs
from tests.wire.conftest import STATION, Desk
from tests.wire.sides import Boss

GAUGER = """
from attrs import frozen
from prometheus_client import Counter, Gauge, Histogram

from fleet.roles import Role, RoleFactory, register_factory

@frozen
class GaugerSettings:
    series: int = 1

class Gauger(Role[GaugerSettings]):
    async def start(self) -> None:
        registry = self.host.registry
        self.ticks = Counter("gauger_ticks", "Ticks.", registry=registry)
        Histogram("gauger_wait_seconds", "Waits.", buckets=(1, 5), registry=registry).observe(2)
        many = Gauge("gauger_many", "Many.", ["n"], registry=registry)
        for n in range(self.settings.series):
            many.labels(str(n)).set(n)

    def tick(self) -> None:
        self.ticks.inc()

class GaugerFactory(RoleFactory[GaugerSettings]):
    role = Gauger
    settings = GaugerSettings

register_factory("gauger", GaugerFactory())
"""
WHOSE = {"station": STATION, "room": "hall1", "role": "gauger"}


@pytest.fixture
def start(desk: Desk, broker: Mosquitto, programs: Programs) -> Callable[[], Program]:
    roles = programs.directory / "roles"
    roles.mkdir()
    (roles / "gauger.py").write_text(GAUGER)
    settings = f'interval = 2.0\nroles_dir = "{roles}"\n'
    return lambda: programs.agent(broker, STATION, settings)


async def ticks(desk: Desk, enough: Callable[[float], bool]) -> float:
    """Wait until the counter is shown and is enough."""
    deadline = time.monotonic() + 60
    while True:
        found = await desk.metric("gauger_ticks_total", **WHOSE)
        if found is not None and enough(found):
            return found
        assert time.monotonic() < deadline, f"the counter is {found}"
        await asyncio.sleep(0.05)


async def test_a_roles_metrics_carry_whose_they_are_and_leave_when_unheard(
    desk: Desk, start: Callable[[], Program]
) -> None:
    agent = start()
    await desk.want(STATION, {"gauger": {"a": {}, "b": {"series": 3}}})
    of_b = {**WHOSE, "role_instance": "b"}
    await desk.shows(1, "gauger_wait_seconds_count", **of_b)
    await desk.shows(0, "gauger_wait_seconds_bucket", le="1.0", **of_b)
    await desk.shows(1, "gauger_wait_seconds_bucket", le="5.0", **of_b)
    await desk.shows(1, "gauger_wait_seconds_bucket", le="+Inf", **of_b)
    await desk.shows(0 + 1 + 2, "gauger_many", **of_b)
    agent.kill()
    await desk.shows(None, "gauger_many")
    assert await desk.metric("fleet_station_memory_total_bytes") is None


async def test_a_counter_begins_anew_with_the_agent_under_the_same_labels(
    desk: Desk, start: Callable[[], Program]
) -> None:
    agent = start()
    await desk.want(STATION, {"gauger": {"main": {}}})
    high = await ticks(desk, lambda count: count >= 5)
    names = {name for name in await desk.metrics() if name.startswith("gauger_ticks")}
    agent.terminate()
    await agent.ended()
    start()

    await ticks(desk, lambda count: count < high)  # rate() and increase() see through a reset
    after = {name for name in await desk.metrics() if name.startswith("gauger_ticks")}
    assert after == names
    assert len(names) == 1, "no _created: it would be one more series for each"


async def test_a_role_past_200_series_is_cut_and_says_so(
    desk: Desk, start: Callable[[], Program]
) -> None:
    start()
    await desk.want(STATION, {"gauger": {"a": {"series": 150}, "b": {"series": 150}}})
    fixed = 2 * (1 + 5)  # of each instance: the counter, and what a histogram of 3 buckets has
    await desk.shows(2 * 150 + fixed - 200, "fleet_role_series_omitted", **WHOSE)
    mine = [name for name in await desk.metrics() if name.startswith("gauger_")]
    assert len(mine) == 200


async def test_settings_reach_the_registration_with_ranges_and_units(
    desk: Desk, start: Callable[[], Program], programs: Programs
) -> None:
    start()
    boss = Boss(desk.stranger, STATION)
    await boss.online()
    registration = desk.stranger.latest(boss.topic("registration"))
    described = registration["factories"]["record"]["settings"]["properties"]["segment_seconds"]
    assert {"type", "minimum", "maximum", "default", "description"} <= described.keys()
