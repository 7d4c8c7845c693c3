"""`fleet call`, to a real agent over a real broker."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fleet.cli.arguments import BadArguments, typed
from fleet.cli.commands.call import table
from fleet.station import ABOUT, COMMANDS
from tests.cli.conftest import Fleet, Outcome
from tests.cli.drill import STATION, drilled
from tests.manager.station import PretendStation
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger
from tests.wire.sides import Boss

STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", {"type": "integer"}, 5),
        ("5", STRING, "5"),
        ('"5"', STRING, '"5"'),
        ("a=b", STRING, "a=b"),
        ("", STRING, ""),
        ("5", {"type": "number"}, 5),
        ("true", {"type": "boolean"}, True),
        ("true", STRING, "true"),
        ("null", {"anyOf": [STRING, {"type": "null"}]}, None),
        ("5", {"anyOf": [STRING, {"type": "null"}]}, "5"),
        ("red", {"enum": ["red", "green"]}, "red"),
        ("2", {"enum": [1, 2]}, 2),
        ('["a", "b"]', {"type": "array", "items": STRING}, ["a", "b"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("5", {}, 5),
        ("main", {}, "main"),
    ],
)
def test_a_value_is_typed_by_the_schema(text: str, schema: Any, value: Any) -> None:
    (got,) = typed([f"key={text}"], {"properties": {"key": schema}}).values()
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("five", {"type": "integer"}),
        ("5.0", {"type": "integer"}),
        ("true", {"type": "integer"}),
        ("1", {"type": "boolean"}),
        ("True", {"type": "boolean"}),
        ("1e999", {"type": "number"}),
        ("NaN", {"type": "number"}),
        ("blue", {"enum": ["red", "green"]}),
        ("a,b", {"type": "array"}),
        ("[" * 20000, {"type": "array"}),
    ],
)
def test_a_value_of_another_type_is_a_mistake(text: str, schema: Any) -> None:
    with pytest.raises(BadArguments, match="key: expected"):
        typed([f"key={text}"], {"properties": {"key": schema}})


def test_without_a_schema_json_is_json_and_all_else_is_text() -> None:
    given = ["a=5", "b=main", "c=[1]", "d=true"]
    assert typed(given, None) == {"a": 5, "b": "main", "c": [1], "d": True}


def test_a_result_is_a_line_a_value() -> None:
    result = {"a": 1, "names": ["x", "y"], "disks": [{"free": 2}], "none": None, "no": []}
    assert list(table(result)) == [
        "a             1",
        "names         x, y",
        "disks.0.free  2",
        "none          -",
        "no            -",
    ]


@pytest.fixture
async def boss(broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path) -> Boss:
    """A station that runs drill/a, with nobody but us as its manager."""
    found, _ = await drilled(broker, stranger, programs, tmp_path)
    await found.push(1, {"drill": {"a": {}}})
    return found


def commands_heard(stranger: Stranger) -> int:
    return sum("/command/" in message.topic for message in stranger.heard)


async def test_arguments_are_typed_by_the_registration_and_the_result_is_readable(
    fleet: Fleet, boss: Boss
) -> None:
    given = ["text=5", "count=3", "share=1", "loud=true", "colour=green", "maybe=null"]
    given += ['names=["x", "y"]', 'table={"k": 7}']
    found = await fleet("call", STATION, "drill", "echo", *given)
    assert (found.code, found.err) == (0, "")
    assert [line.split(maxsplit=1) for line in found.lines] == [
        ["text", "5"],
        ["count", "3"],
        ["share", "1.0"],
        ["loud", "true"],
        ["colour", "green"],
        ["names", "x, y"],
        ["table.k", "7"],
        ["maybe", "-"],
    ]
    found = await fleet("call", STATION, "drill", "echo", *given, "--json")
    reply = json.loads(found.out)
    assert reply["error"] is None
    assert (reply["result"]["text"], reply["result"]["count"]) == ("5", 3)
    assert reply["result"]["table"] == {"k": 7}


async def test_what_cannot_be_right_is_said_before_anything_is_sent(
    fleet: Fleet, boss: Boss, stranger: Stranger
) -> None:
    found = await fleet("call", STATION, "drill", "echo", "txt=x", "count=many", "loud")
    assert (found.code, found.out) == (2, "")
    assert "txt is not known (did you mean 'text'?)" in found.err
    assert "colour (one of red, green)" in found.err
    assert "count: expected integer 1 to 9, got 'many'" in found.err
    assert "'loud' is not an argument: expected key=value" in found.err
    assert "text is missing: expected string" in found.err
    found = await fleet("call", STATION, "station", "restart", "role=drill", "instanze=a")
    assert found.code == 2
    assert "did you mean 'instance'?" in found.err
    found = await fleet("call", STATION, "dr/ill", "echo")
    assert found.code == 2
    assert commands_heard(stranger) == 0


async def test_each_error_of_a_station_is_told_with_its_type_and_ends_with_1(
    fleet: Fleet, boss: Boss
) -> None:
    async def refused(*args: str) -> str:
        found = await fleet("call", STATION, *args)
        assert (found.code, found.out) == (1, "")
        return found.err

    assert "UnknownCommand: 'drill' has no command 'ecko' here (did you mean 'echo'?)" in (
        await refused("drill", "ecko")
    )
    assert "UnknownCommand" in await refused("station", "explode")
    assert "NoSuchInstance: drill/b does not run: a running" in (
        await refused("drill", "refuse", "--instance", "b")
    )
    bad = await refused("drill", "echo", "text=x", "count=10")
    assert "InvalidArguments drill /count: expected 1 to 9, got 10" in bad
    assert "CommandFailed: not today" in await refused("drill", "refuse")
    assert "it called sys.exit('enough')" in await refused("drill", "leave")
    assert "DeadlineExceeded: not done within 1 s" in (
        await refused("drill", "nap", "seconds=30", "--timeout", "1")
    )
    await boss.push(2, {"drill": {"a": {}, "b": {}}})
    assert "NoSuchInstance: which drill is meant: a, b running, name one" in (
        await refused("drill", "refuse")
    )
    found = await fleet("call", STATION, "drill", "nap", "seconds=0", "--instance", "b")
    assert found.code == 0
    found = await fleet("call", STATION, "drill", "refuse", "--instance", "b", "--json")
    assert found.code == 1
    assert json.loads(found.out)["error"]["type"] == "CommandFailed"


async def test_a_command_offered_by_hand_can_be_called_though_its_schema_is_not_known(
    fleet: Fleet, boss: Boss
) -> None:
    found = await fleet("call", STATION, "drill", "byhand", "seconds=0.0")
    assert (found.code, found.out) == (0, "seconds  0.0\n")
    found = await fleet("call", STATION, "drill", "byhand", "seconds=soon")
    assert found.code == 1
    assert 'InvalidArguments drill /seconds: expected a number, got "soon"' in found.err


async def test_commands_of_one_name_in_two_roles_never_clash(
    fleet: Fleet, boss: Boss, tmp_path: Path
) -> None:
    await boss.push(
        2, {"drill": {"a": {}}, "say": {"a": {"file": str(tmp_path / "roles/drill.py")}}}
    )
    found = await fleet("call", STATION, "say", "nap")
    assert (found.code, found.out) == (0, "")
    found = await fleet("call", STATION, "drill", "nap", "seconds=0")
    assert (found.code, found.out) == (0, "seconds  0.0\n")


async def test_the_commands_every_station_has(fleet: Fleet, boss: Boss) -> None:
    found = await fleet("call", STATION, "station", "info")
    assert found.code == 0
    keys = {line.split()[0] for line in found.lines}
    assert {"hostname", "uptime_seconds", "agent", "clock", "disks.0.free_bytes"} <= keys
    assert {"load", "python", "system"} <= keys
    mark = boss.stranger.mark()
    before = boss.stranger.latest(boss.topic("status"))["roles"]
    found = await fleet("call", STATION, "station", "restart", "role=drill", "instance=a")
    assert found.out == "restarting  drill/a\n"
    await boss.stranger.expect(
        boss.topic("status"), partial(run_anew, before, ["drill/a"]), after=mark
    )


async def test_the_commands_of_a_role_are_listed_and_completed(fleet: Fleet, boss: Boss) -> None:
    found = await fleet("call", STATION, "drill")
    assert (found.code, found.err) == (0, "")
    assert {"echo", "nap", "refuse"} <= {line for line in found.lines if line[0] != " "}
    assert "  count   integer 1 to 9" in found.out
    found = await fleet("call", STATION)
    assert (found.code, found.err) == (0, "")
    assert {"drill", "say", "station"} <= {line for line in found.lines if line[0] != " "}
    assert "  restart  Stop an instance and start it again." in found.lines
    assert ABOUT.keys() == COMMANDS.keys(), "each says what it does"
    found = await fleet("call", STATION, "--json")
    assert {"echo", "nap", "refuse"} <= set(json.loads(found.out)["roles"]["drill"])
    found = await fleet("call", STATION, "station", "--json")
    assert set(json.loads(found.out)["commands"]) == set(COMMANDS)
    found = await fleet("call", STATION, "dril")
    assert (found.code, found.out) == (2, "")
    assert "roles with commands: drill, " in found.err
    await fleet.offers(f"fleet call {STATION} drill echo text=x co", {"count=", "colour="})


def run_anew(before: Any, instances: list[str], status: Any) -> bool:
    """Whether all of these have begun to run since."""
    for role, _, instance in (one.partition("/") for one in instances):
        one = status["roles"][role][instance]
        if one["state"] != "running" or one["since"] == before[role][instance]["since"]:
            return False
    return True


async def test_what_runs_is_restarted_by_role_instance_or_all_of_it(
    fleet: Fleet, boss: Boss
) -> None:
    await boss.push(2, {"drill": {"a": {}, "b": {}}})
    for words, expected in (
        (["drill/b"], ["drill/b"]),
        (["drill"], ["drill/a", "drill/b"]),
        ([], ["drill/a", "drill/b"]),
    ):
        mark = boss.stranger.mark()
        before = boss.stranger.latest(boss.topic("status"))["roles"]
        found = await fleet("restart", STATION, *words)
        assert (found.code, found.out) == (0, "")
        assert found.err == f"{STATION} restarts {', '.join(expected)}\n"
        await boss.stranger.expect(
            boss.topic("status"), partial(run_anew, before, expected), after=mark
        )

    for which, code, said in (
        ("dril", 2, "no dril runs on cam1"),
        ("drill/", 2, "is not a ROLE[/INSTANCE]"),
        ("/a", 2, "is not a ROLE[/INSTANCE]"),
        ("drill/c", 1, "NoSuchInstance: drill/c: "),
    ):
        found = await fleet("restart", STATION, which)
        assert (found.code, found.out) == (code, "")
        assert said in found.err


async def unreachable(fleet: Fleet, *args: str, env: dict[str, str] | None = None) -> Outcome:
    found = await fleet("call", *args, "station", "info", env=env or {})
    assert (found.code, found.out) == (4, "")
    return found


@pytest.fixture
async def deaf(broker: Mosquitto) -> AsyncIterator[Stranger]:
    """A stranger who listens to no commands, so that nobody does."""
    async with Stranger(broker.port, "fleet/v1/station/+/presence") as client:
        yield client


async def test_a_station_that_is_not_there_is_said_at_once(
    fleet: Fleet, broker: Mosquitto, deaf: Stranger, programs: Programs, tmp_path: Path
) -> None:
    stranger = deaf
    boss, agent = await drilled(broker, stranger, programs, tmp_path)
    agent.terminate()
    await boss.stranger.expect(boss.topic("presence"), lambda p: p["state"] == "offline")
    found = await unreachable(fleet, STATION)
    assert "cam1 is offline: its fleet-agent was stopped at" in found.err
    await stranger.publish(
        boss.topic("presence"),
        stranger.latest(boss.topic("presence")) | {"state": "lost"},
        retain=True,
    )
    assert "cam1 is lost" in (await unreachable(fleet, STATION)).err
    await stranger.publish(
        boss.topic("presence"),
        stranger.latest(boss.topic("presence")) | {"state": "online"},
        retain=True,
    )
    assert "does not listen" in (await unreachable(fleet, STATION)).err  # and no deadline passed


async def test_a_station_that_hangs_is_given_up_after_the_deadline(
    fleet: Fleet, broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path
) -> None:
    _, agent = await drilled(broker, stranger, programs, tmp_path)
    agent.signal(signal.SIGSTOP)
    try:
        found = await fleet("call", STATION, "station", "info", "--timeout", "1")
    finally:
        agent.signal(signal.SIGCONT)
    assert found.code == 4
    assert "no answer within 1 s; whether it did what was asked is not known" in found.err


async def test_the_manager_knows_stations_by_name(
    fleet: Fleet, manager: Program, broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    programs.agent(broker, STATION)
    path = tmp_path / "conference.toml"
    path.write_text('[rooms.h]\n[stations.h-cam]\nid = "cam1"\nroom = "h"\n')
    assert (await fleet("apply", "--yes", path)).code == 0
    for name in ("h-cam", STATION):
        found = await fleet("call", name, "station", "info", "--json")
        assert found.code == 0, found.err
        assert json.loads(found.out)["result"]["agent"]
    found = await fleet("call", "h-kam", "station", "info")
    assert (found.code, found.out) == (2, "")
    assert "did you mean h-cam?" in found.err
    await fleet("call", "h-cam", "station", "restart", "role=mix", "instance=a")
    shown = ""
    async with asyncio.timeout(60):
        while "called" not in shown:
            shown = (await fleet("history", "h-cam")).out
    (line,) = [one for one in shown.splitlines() if "called" in one]
    assert line.split()[1:5] == ["called", "-", "anonymous", "station"]
    assert line.endswith("(the station says)")
    assert "info" not in shown, "who reads changes nothing"
    await fleet.offers("fleet call h-", {"h-cam"})


async def test_without_a_manager_a_box_is_known_by_its_id_and_its_host_name(
    fleet: Fleet, deaf: Stranger
) -> None:
    for id_, host in (("a1", "left"), ("a2", "twin"), ("a3", "twin")):
        station = PretendStation(deaf, id_)
        await station.register(hostname=host)
        await station.presence()
    left, twin, nobody = await asyncio.gather(
        *(unreachable(fleet, name) for name in ("left", "twin", "Nobody_"))
    )
    assert "left does not listen" in left.err
    assert "a2, a3 have this host name" in twin.err
    assert "no manager is online that knows which station Nobody_ is" in nobody.err.replace("'", "")
    assert "give the station's id" in nobody.err


async def test_what_the_broker_forbids_is_forbidden(
    fleet: Fleet, brokers: Callable[[str], Mosquitto], programs: Programs, tmp_path: Path
) -> None:
    acl = tmp_path / "calls.acl"
    acl.write_text(
        "topic readwrite fleet/v1/#\ntopic deny fleet/v1/station/+/command/anonymous/#\n"
    )
    broker = brokers(
        f"listener {{port}} 127.0.0.1\nallow_anonymous true\nuser root\nacl_file {acl}\n"
    )
    async with Stranger(broker.port, "fleet/v1/#") as stranger:
        await drilled(broker, stranger, programs, tmp_path)
        args = ("--broker", broker.url, "call", STATION, "station", "info")
        found = await fleet(*args)
        assert (found.code, found.out) == (1, "")
        assert "Forbidden: the broker does not let 'anonymous' do this" in found.err
        # Whom the broker keeps from the stations is answered through the manager.
        await programs.manager(broker).says("connected")
        asked = await fleet(
            *args[:2], "call", STATION, "station", "restart", "role=x", "instance=y"
        )
        history = await fleet(*args[:2], "history", STATION, "--json")
        found = await fleet(*args)
    assert (asked.code, found.code) == (1, 0)
    assert "x/y" in asked.err
    assert "hostname" in found.out
    assert ("call", "anonymous", 'station restart {"role":"x","instance":"y"}') in [
        (one["kind"], one["by"], one["text"]) for one in json.loads(history.out)["events"]
    ]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("call ca", ["cam1"]),
        ("call cam1 d", ["drill"]),
        ("call cam1 st", ["station"]),
        ("call cam1 drill ", ["echo", "leave", "nap", "refuse"]),
        ("call cam1 station ", sorted(COMMANDS)),
        ("logs cam1 dr", ["drill", "drill/a"]),
        ("call nobody d", []),
    ],
)
async def test_station_role_command_and_instance_are_completed_without_a_manager(
    fleet: Fleet, boss: Boss, words: str, completed: list[str]
) -> None:
    await fleet.offers(f"fleet {words}", completed)
