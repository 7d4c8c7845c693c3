"""Whatever happens on the way: what is wanted last is what runs, once each, and nothing else."""

import asyncio
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.model import State
from fleet.roles import Failed, Host
from tests.agent.engine import Fake, FakeClock, FakeFactory, Station

MOST = 2
"""Instances the factory allows at once."""
KEYS = [Key("fake", name) for name in "abc"]


class Watched(Fake):
    """Counts how many of one instance are between start and stop."""

    def __init__(
        self, host: Host, settings: dict[str, Any], working: list[str], wrong: list[str]
    ) -> None:
        super().__init__(host, settings)
        self.working, self.wrong = working, wrong

    async def start(self) -> None:
        self.working.append(self.host.instance)
        if len(set(self.working)) != len(self.working) or len(self.working) > MOST:
            self.wrong.append(f"at work at once: {self.working}")
        try:
            await asyncio.sleep(0)
            await super().start()
        except Exception:
            self.working.remove(self.host.instance)
            raise

    async def stop(self) -> None:
        try:
            for _ in range(20):  # longer than a start takes
                await asyncio.sleep(0)
            await super().stop()
        finally:
            self.working.remove(self.host.instance)


class WatchedFactory(FakeFactory):
    def __init__(self) -> None:
        super().__init__(instances=MOST)
        self.working: list[str] = []
        self.wrong: list[str] = []

    def build(self, host: Host, settings: dict[str, Any]) -> Watched:
        role = Watched(host, settings, self.working, self.wrong)
        self.made.append(role)
        return role


role_settings = st.fixed_dictionaries(
    {},
    optional={
        "n": st.integers(1, 3),
        "live": st.booleans(),
        "start": st.sampled_from([Failed("DeviceMissing", "x"), ValueError("x")]),
        "update": st.just(ValueError("x")),
        "stop": st.just(ValueError("x")),
        "tick": st.just(Failed("DiskFull", "x")),
        "hang": st.just("start"),
        "stall_seconds": st.just(2),
    },
)
configs = st.dictionaries(st.sampled_from(KEYS), st.one_of(role_settings, st.none()), max_size=MOST)
events = st.one_of(
    st.tuples(st.just("apply"), configs),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.1, 1.0, 70.0])),
    st.tuples(st.just("yield"), st.integers(0, 5)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
    st.tuples(st.just("restart"), st.sampled_from(KEYS)),
)


@example([("apply", {KEYS[0]: {}, KEYS[1]: {}}), ("pass", 1.0)], {KEYS[1], KEYS[2]})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(events, max_size=15), st.sets(st.sampled_from(KEYS), max_size=MOST))
def test_what_is_wanted_last_is_what_runs(
    tmp_path: Path, events: list[Any], last: set[Key]
) -> None:
    asyncio.run(_live_through(tmp_path, events, last))


async def _live_through(tmp_path: Path, events: list[Any], last: set[Key]) -> None:
    clock = FakeClock()
    station, factory = Station(tmp_path, clock), WatchedFactory()
    for what, how in events:
        match what:
            case "apply":
                await station.supervisor.apply({key: _target(factory, how[key]) for key in how})
            case "pass":
                await clock.pass_(how)
            case "yield":
                for _ in range(how):
                    await asyncio.sleep(0)
            case "fail" if how < len(factory.made):
                factory.made[how].host.fail("Unplugged", "x")
            case "restart" if station.state(how) is not None:
                await station.supervisor.restart(how)
    await station.supervisor.apply({key: factory.wanted() for key in last})
    await clock.pass_(1)
    assert {key for key in KEYS if station.state(key) is State.RUNNING} == last
    assert {key for key in KEYS if station.state(key) is not None} == last
    assert sorted(factory.working) == sorted(key.instance for key in last)
    await station.supervisor.stop()
    assert factory.working == factory.wrong == []


def _target(factory: FakeFactory, settings: dict[str, Any] | None) -> Wanted | Unrunnable:
    if settings is None:
        return Unrunnable("InvalidConfiguration", "x")
    return factory.wanted(**settings)
