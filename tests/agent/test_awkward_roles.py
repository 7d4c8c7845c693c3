"""Roles that do what no role should, in a real agent: the station and a neighbour go on."""

import re
from pathlib import Path
from typing import Any

import psutil

from tests.agent import roles
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

BASE = "fleet/v1/station/b1"
HEAD = """\
import asyncio
import sys
import threading
from attrs import frozen
from fleet.roles import Failed, Role, RoleFactory, command, register_factory

@frozen
class Settings:
    speed: float = {default}

@frozen
class Nothing:
    pass

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")

class Odd(BaseException):
    pass

class Metrics:
    def collect(self):
        return None

class Awkward(Role[Settings]):
    def cancelled(self):
        task = asyncio.create_task(asyncio.sleep(3600))
        task.cancel()
        return task

{body}

class Factory(RoleFactory[Settings]):
    role = Awkward
    settings = Settings

register_factory("{name}", Factory())
"""
BODIES = {
    "collector": "    async def start(self): self.host.registry.register(Metrics())",
    "bytes": "    async def start(self): self.host.note('X', b'no text')",
    "error": "    def tick(self): raise Failed('X', KeyError('it'))",
    "stall": "    async def start(self): self.stall_seconds = '10'",
    "tick": "    def tick(self): raise asyncio.CancelledError",
    "leave": "    def tick(self): raise KeyboardInterrupt",
    "odd": "    def tick(self): raise Odd",
    "exit": "    async def start(self): asyncio.create_task(self.go())\n"
    "    async def go(self): sys.exit(3)",
    "thread": "    async def start(self): threading.Thread(target=threading.Event().wait).start()",
    "mute": "    def tick(self): raise Mute",
    "start": "    async def start(self): await self.cancelled()",
    "stop": "    async def stop(self): await self.cancelled()",
    "ask": "    @command\n    async def ask(self, _: Nothing) -> Nothing: await self.cancelled()",
    "lies": "    @command\n    async def ask(self, _: Nothing) -> Nothing: return 5",
}
SHARED = (
    """\
import locale, os, signal
os.chdir("/")
os.environ["AT_IMPORT"] = "1"
"""
    + HEAD
)
CHANGES = """\
    def tick(self):
        os.environ["AT_TICK"] = os.environ.pop("HOME", "")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.host.task(self.later())

    async def later(self): os.umask(0)

    async def start(self):
        os.chdir("/")
        os.umask(0)
        locale.setlocale(locale.LC_ALL, "C")
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        await asyncio.sleep(0)
        assert os.getcwd() != "/"
        asyncio.create_task(self.beside())

    async def beside(self): os.chdir("/")

    @command
    async def ask(self, _: Nothing) -> Nothing:
        try:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        finally:
            os.umask(0)
"""
FAIL = {"error", "stall", "tick", "mute", "start", "leave", "odd"}


async def test_whatever_roles_do_the_station_is_heard_and_its_neighbours_run(
    tmp_path: Path, broker: Mosquitto, programs: Programs, stranger: Stranger
) -> None:
    directory = roles.write(tmp_path / "roles")
    for name, body in BODIES.items():
        (directory / f"{name}.py").write_text(HEAD.format(default="1.0", body=body, name=name))
    infinite = HEAD.format(default='float("inf")', body="    pass", name="infinite")
    (directory / "infinite.py").write_text(infinite)
    shared = SHARED.format(default="1.0", body=CHANGES, name="shared")
    (directory / "shared.py").write_text(shared)
    agent = programs.agent(broker, "b1", f'roles_dir = "{directory}"\ninterval = 1\n')
    said = await stranger.expect(f"{BASE}/registration", lambda r: r["factories"])
    assert "its default inf" in said["broken_roles"]["infinite"]
    await stranger.expect(f"{BASE}/presence", lambda p: p["state"] == "online")
    wanted: Any = {name: {"main": {}} for name in (*BODIES, "shared", "echo")}
    config = {"revision": 1, "at": None, "by": None, "roles": wanted}
    await stranger.publish(f"{BASE}/config", config, retain=True)
    status = await stranger.expect(
        f"{BASE}/status",
        lambda s: (
            s["revision"] == 1
            and all(s["roles"][name]["main"]["state"] in ("backoff", "failed") for name in FAIL)
            and all(s["roles"][name]["main"]["state"] == "running" for name in wanted.keys() - FAIL)
        ),
    )
    assert status["roles"]["bytes"]["main"]["message"] == "b'no text'"
    assert status["roles"]["error"]["main"]["message"] == "'it'"
    mark = stranger.mark()
    await stranger.expect(f"{BASE}/telemetry", after=mark)
    await agent.says("the metrics of collector/main cannot be read: TypeError")

    def runs_untold(status: Any) -> bool:
        one = status["roles"].get("collector", {}).get("main", {})
        return (one.get("state"), one.get("reason")) == ("running", "MetricsUnreadable")

    status = await stranger.expect(f"{BASE}/status", runs_untold)
    found = status["roles"]["collector"]["main"]
    assert "its metrics cannot be read: TypeError" in found["message"]
    changed = "its role changed, for the agent and all its roles: "
    await stranger.expect(
        f"{BASE}/status",
        lambda s: (
            s["roles"]
            and s["roles"]["shared"]["main"]["reason"] == "AgentChanged"
            and f"{changed}the working directory, the umask, what SIGHUP does, which"
            in s["roles"]["shared"]["main"]["message"]
        ),
    )
    for told in (
        "the role file shared changed, for the agent and all its roles: the working directory, ",
        f"shared/main: {changed}what SIGTERM does, the environment (AT_TICK HOME); ",
        f"shared/main: {changed}the umask; ",
        "a task or a thread of a role changed, for all of them: the working directory; put back",
    ):
        await agent.says(re.escape(told))
    wrong = (("ask", "cancelled"), ("lies", "not what the role says"), ("shared", "the agent's"))
    for role, words in wrong:
        mark = stranger.mark()
        asked: Any = {"instance": None, "arguments": {}}
        topic = f"{BASE}/command/ann/{role}/ask"
        await stranger.publish(topic, asked, correlation=role.encode())
        reply = await stranger.expect(f"{BASE}/reply/ann", after=mark)
        assert reply["error"]["type"] == "CommandFailed"
        assert words in reply["error"]["message"]
    await agent.says(
        "the command shared/ask changed, for the agent and all its roles: the umask; put back"
    )
    assert psutil.Process(agent.pid).cwd() != "/"
    none: Any = {"revision": 2, "at": None, "by": None, "roles": {"echo": {"main": {}}}}
    await stranger.publish(f"{BASE}/config", none, retain=True)
    await stranger.expect(f"{BASE}/status", lambda s: list(s["roles"]) == ["echo"])
    await agent.says("a task of a role would have ended the agent")
    agent.terminate()
    assert await agent.ended(60) == 0, "whatever threads it has left"
