"""How an agent ends: in order at any moment of its start, within seconds whatever roles do."""

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agent.engine import marked
from tests.processes import ROOT, Mosquitto, Program, Programs, run, until
from tests.stranger import Stranger

ROLES = """
import asyncio, time
from attrs import frozen
from fleet.roles import ChildRole, Role, RoleFactory, register_factory

@frozen
class Settings:
    n: int = 0

class Sleeper(ChildRole[Settings]):
    def argv(self):
        return ["sleep", "1000"]

class Stubborn(Sleeper):
    async def never(self, said):
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        self.thread = asyncio.get_running_loop().run_in_executor(None, time.sleep, 1000)
        print(said, flush=True)
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                print("stays", flush=True)

    async def update(self, settings):
        await self.never("updates")

    async def stop(self):
        await self.never("stops")

class Of(RoleFactory[Settings]):
    settings = Settings
    def __init__(self, role):
        self.role = role

register_factory("sleeper", Of(Sleeper))
register_factory("stubborn", Of(Stubborn))
"""
BASE = "fleet/v1/station/b1"


@pytest.fixture
def settings(tmp_path: Path) -> str:
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "odd.py").write_text(ROLES)
    return f'roles_dir = "{roles}"\ninterval = 1\n'


def decide(state: Path, revision: int, roles: object) -> None:
    state.mkdir(parents=True, exist_ok=True)
    config = {"revision": revision, "at": None, "by": None, "roles": roles}
    (state / "decision.json").write_text(json.dumps({"in_force": config, "rejection": None}))


async def children(state: Path, count: int) -> list[psutil.Process]:
    await until(lambda: len(marked(state)) == count, what=f"{count} children")
    return marked(state)


async def killed(
    programs: Programs, broker: Mosquitto, settings: str, state: Path, *sleepers: str
) -> Program:
    """An agent that was killed, and left these running."""
    decide(state, 1, {"sleeper": {name: {} for name in sleepers}})
    agent = programs.agent(broker, "b1", settings)
    await children(state, len(sleepers))
    agent.kill()
    return agent


@pytest.mark.parametrize("seconds", [0.0, 0.15, 0.4])
async def test_sigterm_at_any_moment_of_a_start_ends_what_an_earlier_agent_left(
    broker: Mosquitto, programs: Programs, settings: str, tmp_path: Path, seconds: float
) -> None:
    state = tmp_path / "b1/state"
    await killed(programs, broker, settings, state, "a", "b")
    programs.cold = seconds == 0.0  # what comes before is a matter of reading modules
    second = programs.agent(broker, "b1")
    await until(lambda: second.catches(signal.SIGTERM), what="the agent listening")
    await asyncio.sleep(seconds)
    second.signal(signal.SIGTERM)
    second.signal(signal.SIGHUP)  # which asks for less, whenever it comes
    assert await second.ended() == 0
    assert marked(state) == []


async def test_a_stop_before_the_agent_listens_is_heard_as_soon_as_it_does(
    broker: Mosquitto, programs: Programs, settings: str, tmp_path: Path
) -> None:
    state = tmp_path / "b1/state"
    first = await killed(programs, broker, settings, state, "a")
    unit = (ROOT / "systemd/fleet-agent.service").read_text()
    (held,) = re.findall(r"^ExecStart=(/usr/bin/env .*?) \\\n", unit, re.MULTILINE)
    second = Program(
        [*held.split(), *first.argv],
        tmp_path / "second.log",
        programs.environment(),
        "second",
        cold=True,
    )
    programs.started.append(second)
    await until(lambda: "python" in str(Path(f"/proc/{second.pid}/exe").readlink()), what="Python")
    assert not second.catches(signal.SIGTERM)
    second.signal(signal.SIGTERM)
    assert await second.ended() == 0
    assert marked(state) == []


async def test_what_an_agent_that_died_left_running_is_ended_by_a_stop(
    broker: Mosquitto, programs: Programs, settings: str, tmp_path: Path
) -> None:
    """As the unit has it typed, where it is stopped before the next agent is there."""
    state = tmp_path / "b1/state"
    agent = await killed(programs, broker, settings, state, "a")
    await agent.ended()
    env = programs.environment(FLEET_STATE_DIR=str(state))
    ended = await asyncio.to_thread(run, "fleet-agent", "stop", env=env)
    assert (ended.returncode, ended.stdout) == (
        0,
        "no agent ran here; what one had left running is ended: sleeper/a\n",
    )
    assert marked(state) == []
    # Where all ended well before, the unit's own question frightens nobody.
    env["SERVICE_RESULT"] = "success"
    asked = await asyncio.to_thread(run, "fleet-agent", "stop", env=env)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")


@pytest.mark.parametrize("change", ["updates", "stops"])
async def test_sighup_lets_go_within_seconds_whatever_is_being_done(
    broker: Mosquitto, programs: Programs, settings: str, tmp_path: Path, change: str
) -> None:
    state = tmp_path / "b1/state"
    decide(state, 1, {"stubborn": {"a": {}}, "sleeper": {"b": {}}})
    agent = programs.agent(broker, "b1", settings)
    before = {one.pid for one in await children(state, 2)}
    roles: Any = {"sleeper": {"b": {}}} | (
        {"stubborn": {"a": {"n": 1}}} if change == "updates" else {}
    )
    config = {"revision": 2, "at": None, "by": None, "roles": roles}
    async with Stranger(broker.port, f"{BASE}/#") as stranger:
        await stranger.publish(f"{BASE}/config", config, retain=True)
        await agent.says(change)
        begun = time.monotonic()
        agent.signal(signal.SIGHUP)
        assert await agent.ended() == 0
    assert time.monotonic() - begun < 50
    assert {one.pid for one in marked(state)} == before
    for pid in before:
        os.kill(pid, signal.SIGKILL)


async def test_a_stop_while_it_lets_go_ends_what_it_has_let_go(
    broker: Mosquitto, programs: Programs, settings: str, tmp_path: Path
) -> None:
    """As late as can be: a role has left a thread in it that never ends."""
    state = tmp_path / "b1/state"
    decide(state, 1, {"stubborn": {"a": {}}, "sleeper": {"b": {}}})
    agent = programs.agent(broker, "b1", settings)
    await children(state, 2)
    roles: Any = {"sleeper": {"b": {}}}
    config = {"revision": 2, "at": None, "by": None, "roles": roles}
    async with Stranger(broker.port, f"{BASE}/#") as stranger:
        await stranger.publish(f"{BASE}/config", config, retain=True)
        await agent.says("stops")
        agent.signal(signal.SIGHUP)
        await agent.says("SIGHUP: the agent ends")
        agent.signal(signal.SIGTERM)
        assert await agent.ended() == 0
    assert marked(state) == []
