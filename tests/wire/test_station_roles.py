"""A role the station's owner wrote: its limit, its commands, and that it hurts no other."""

import secrets
import time

import pytest

from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger
from tests.wire.conftest import SETTINGS, STATION
from tests.wire.sides import Boss, config, records, writers

DRILL = """
import asyncio
from attrs import frozen
from fleet.roles import CommandFailed, Role, RoleFactory, command, register_factory

@frozen
class DrillSettings:
    stop_seconds: float = 0.0

@frozen
class Nap:
    seconds: float

@frozen
class Naps:
    naps: int

@frozen
class Nothing:
    pass

class Drill(Role[DrillSettings]):
    naps = 0

    async def stop(self) -> None:
        await asyncio.sleep(self.settings.stop_seconds)

    @command
    async def nap(self, asked: Nap) -> Naps:
        self.naps += 1
        await asyncio.sleep(asked.seconds)
        return Naps(self.naps)

    @command
    async def refuse(self, asked: Nothing) -> Nothing:
        raise CommandFailed("not today")

    @command
    async def crash(self, asked: Nothing) -> Nothing:
        raise ZeroDivisionError("oops")

class DrillFactory(RoleFactory[DrillSettings]):
    role = Drill
    settings = DrillSettings
    instances = 2

register_factory("drill", DrillFactory())
"""


@pytest.fixture
async def driller(broker: Mosquitto, stranger: Stranger, programs: Programs) -> Boss:
    """As `boss`, for a station with the role `drill` and a role file that cannot be imported."""
    roles = programs.directory / "roles"
    roles.mkdir()
    (roles / "drill.py").write_text(DRILL)
    (roles / "hammer.py").write_text("import nothing_of_that_name\n")
    boss = Boss(stranger, STATION)
    programs.agent(broker, STATION, f'{SETTINGS}roles_dir = "{roles}"\n')
    await boss.online()
    return boss


async def test_the_registration_tells_of_it_and_of_what_is_broken(driller: Boss) -> None:
    registration = driller.stranger.latest(driller.topic("registration"))
    factory = registration["factories"]["drill"]
    assert factory["instances"] == 2
    assert set(factory["commands"]) == {"nap", "refuse", "crash"}
    assert set(factory["commands"]["nap"]) == {"arguments", "result"}
    assert "nothing_of_that_name" in registration["broken_roles"]["hammer"]
    ack = await driller.ask(config(1, {"hammer": {"main": {}}}))
    assert ack["error"]["type"] == "MissingRoleFactory"
    assert "nothing_of_that_name" in ack["error"]["problems"][0]["message"]


async def test_too_many_instances_are_one_problem_of_the_role(driller: Boss) -> None:
    await driller.push(1, {"drill": {"a": {}, "b": {}}})
    ack = await driller.ask(config(2, {"drill": {"a": {}, "b": {}, "c": {}}}))
    (problem,) = ack["error"]["problems"]
    assert (problem["type"], problem["role"]) == ("InvalidConfiguration", "drill")
    assert (problem["instance"], problem["path"]) == (None, None)
    assert "3" in problem["message"]
    assert "2" in problem["message"]
    assert ack["in_force"]["revision"] == 1


async def test_each_way_a_command_fails_has_its_type(driller: Boss) -> None:
    _, reply = await driller.command("drill", "nap", {"seconds": 0})
    assert reply["error"]["type"] in {"UnknownCommand", "NoSuchInstance"}, "it does not run yet"
    await driller.push(1, {"drill": {"a": {}, "b": {}}})

    async def kind(command: str, arguments: object, instance: str | None = "a") -> str | None:
        _, reply = await driller.command("drill", command, arguments, instance=instance)
        return reply["error"] and str(reply["error"]["type"])

    assert await kind("nap", {"seconds": 0}) is None
    assert await kind("nap", {"seconds": 0}, None) == "NoSuchInstance", "two run"
    assert await kind("nap", {"seconds": 0}, "c") == "NoSuchInstance"
    assert await kind("refuse", {}) == "CommandFailed"
    assert await kind("crash", {}) == "CommandFailed"
    assert await kind("nap", {"seconds": "1"}) == "InvalidArguments"
    assert await kind("nap", {"seconds": True}) == "InvalidArguments"
    assert await kind("nap", {}) == "InvalidArguments"
    assert await kind("stop", {}) == "UnknownCommand"
    _, reply = await driller.command("drill", "nap", {"seconds": "1", "x": 2}, instance="a")
    paths = {problem["path"] for problem in reply["error"]["problems"]}
    assert paths == {"/seconds", "/x"}

    await driller.push(2, {"drill": {"b": {}}})
    _, reply = await driller.command("drill", "nap", {"seconds": 0})
    assert reply == {"result": {"naps": 1}, "error": None}, "one is left, and is meant"
    await driller.push(3, {})
    _, reply = await driller.command("drill", "nap", {"seconds": 0})
    assert reply["error"]["type"] in {"UnknownCommand", "NoSuchInstance"}


async def test_a_slow_command_holds_up_nobody_and_its_deadline_is_the_message_expiry(
    driller: Boss,
) -> None:
    await driller.push(1, {"drill": {"main": {}}})
    slow = secrets.token_bytes(8)
    topic = driller.topic("command/me/drill/nap")
    asked = {"instance": None, "arguments": {"seconds": 1000}}
    mark = driller.stranger.mark()
    await driller.stranger.publish(topic, asked, correlation=b"slower", expiry=1000)
    _, reply = await driller.command("drill", "nap", {"seconds": 0})
    assert reply["result"] == {"naps": 2}, "while the other one lasts"
    await driller.push(2, {"drill": {"main": {}}})
    began = time.monotonic()
    for _ in range(2):
        await driller.stranger.publish(topic, asked, correlation=slow, expiry=4)
    late = await driller.reply(slow, mark)
    assert late.json["error"]["type"] == "DeadlineExceeded"
    assert time.monotonic() - began > 2.5
    _, reply = await driller.command("drill", "nap", {"seconds": 0})
    assert reply["result"] == {"naps": 4}, "the repeat did not run"


async def test_a_slow_stop_holds_up_neither_acks_nor_commands_nor_others(
    driller: Boss, programs: Programs
) -> None:
    slow = {"main": {"stop_seconds": 1000}}
    await driller.push(1, records("main") | {"drill": slow})
    before = writers(programs)
    ack = await driller.ask(config(2, records("main")))
    assert ack["revision"] == 2
    ack = await driller.ask(config(3, records("main", "second")))
    assert ack["revision"] == 3
    _, reply = await driller.command("station", "info")
    assert reply["error"] is None
    status = await driller.stranger.expect(
        driller.topic("status"),
        lambda said: said["roles"].get("record", {}).get("second", {}).get("state") == "running",
    )
    assert status["roles"]["drill"]["main"]["state"] == "stopping"
    assert set(before) < set(writers(programs))
    programs.started[0].kill()
