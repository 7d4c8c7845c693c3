"""The agent on the wire: real processes, a real broker, and a stranger who acts as manager."""

import asyncio
import errno
import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fleet.agent.config.accept import Memory
from fleet.agent.config.store import StateDirectory
from fleet.agent.credential import WayIn
from fleet.agent.run import Agent
from fleet.agent.session import STATUS_BURST, Pace
from fleet.agent.settings import AgentSettings
from fleet.model import Config
from tests.agent import roles
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Heard, Stranger

ID = "b1"
BASE = f"fleet/v1/station/{ID}"
CONFIG, ACK, STATUS = f"{BASE}/config", f"{BASE}/ack", f"{BASE}/status"
PRESENCE, REGISTRATION = f"{BASE}/presence", f"{BASE}/registration"

Start = Callable[..., Program]


@pytest.fixture
def agent(broker: Mosquitto, programs: Programs, tmp_path: Path) -> Start:
    """Starts `fleet-agent run` with the role `echo`; more settings lines may be given."""
    roles_dir = roles.write(tmp_path / "roles")

    def start(settings: str = "", every: float = 1, **env: str) -> Program:
        lines = f'roles_dir = "{roles_dir}"\ninterval = {every}\n{settings}'
        return programs.agent(broker, ID, lines, **env)

    return start


def config(revision: int, roles: Any, **more: Any) -> dict[str, Any]:
    return {"revision": revision, "at": "2026-02-01T09:30:00Z", "by": "ann", "roles": roles, **more}


def running(instance: str = "main", role: str = "echo") -> Callable[[Any], bool]:
    return lambda s: s["roles"].get(role, {}).get(instance, {}).get("state") == "running"


def at_revision(revision: int) -> Callable[[Any], bool]:
    return lambda s: running()(s) and s["roles"]["echo"]["main"]["revision"] == revision


async def online(stranger: Stranger, after: int = 0) -> Any:
    return await stranger.expect(PRESENCE, lambda p: p["state"] == "online", after=after)


async def push(stranger: Stranger, payload: Any) -> Any:
    """The ack that follows."""
    mark = stranger.mark()
    await stranger.publish(CONFIG, payload, retain=True)
    return await stranger.expect(ACK, after=mark)


async def ask(
    stranger: Stranger, what: str, arguments: Any, *, instance: str | None = None, **kwargs: Any
) -> Any:
    mark = stranger.mark()
    kwargs.setdefault("correlation", b"c1")
    payload = {"instance": instance, "arguments": arguments}
    await stranger.publish(f"{BASE}/command/ann/{what}", payload, **kwargs)
    message = await stranger.expect_message(f"{BASE}/reply/ann", after=mark)
    assert message.correlation == kwargs["correlation"]
    return message.json


async def test_introduces_itself_in_order_with_online_last(
    agent: Start, broker: Mosquitto, stranger: Stranger
) -> None:
    agent()
    await online(stranger)
    kinds = [m.topic.removeprefix(BASE + "/") for m in stranger.heard if m.qos]
    assert kinds[:4] == ["registration", "ack", "status", "presence"]
    registration = stranger.latest(REGISTRATION)
    assert list(registration) == [
        *("boot", "agent", "hostname", "mac", "addresses", "blocked_roles", "factories"),
        *("broken_roles", "devices", "public_key", "secrets"),
    ]
    assert registration["factories"]["echo"]["instances"] == 3
    assert set(registration["factories"]["echo"]["commands"]["say"]) == {"arguments", "result"}
    ack = stranger.latest(ACK)
    assert ack["revision"] == 0
    assert ack["result"] is None
    assert ack["in_force"] == {"revision": 0, "roles": {}}
    assert stranger.latest(PRESENCE)["epoch"] == 1
    assert stranger.latest(PRESENCE)["interval"] == 1
    async with Stranger(broker.port, f"{BASE}/+") as late:
        await late.expect(PRESENCE)
        kept = {m.topic for m in late.heard if m.retain}
        assert kept == {REGISTRATION, ACK, STATUS, PRESENCE}


async def test_registers_also_with_a_role_whose_schema_is_longer_than_a_message(
    agent: Start, stranger: Stranger, tmp_path: Path
) -> None:
    program = agent()
    program.kill()
    long = (tmp_path / "roles/echo.py").read_text().replace('"echo"', '"long"')
    long = long.replace("le=9)", "le=9, description='x' * 300_000)")
    (tmp_path / "roles/long.py").write_text(long)
    agent()
    await program.says("the schemas of long are left out")
    await online(stranger)
    factories = stranger.latest(REGISTRATION)["factories"]
    assert factories["long"]["settings"] == {}
    assert set(factories["long"]["commands"]) == set(factories["echo"]["commands"])
    assert factories["echo"]["settings"]["properties"]


async def test_all_topics_begin_with_the_prefix_that_is_set(
    agent: Start, broker: Mosquitto
) -> None:
    async with Stranger(broker.port, "#") as all_topics:
        agent(FLEET_PREFIX="venue/east")
        await all_topics.expect(f"venue/east/v1/station/{ID}/presence")
        assert {m.topic.partition("/v1/")[0] for m in all_topics.heard} == {"venue/east"}


async def test_runs_what_it_accepted_and_says_so(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    wanted = {"echo": {"main": {"number": 3}}}
    ack = await push(stranger, config(7, wanted))
    assert (ack["revision"], ack["result"], ack["error"]) == (7, "accepted", None)
    assert ack["in_force"] == {"revision": 7, "roles": wanted}
    status = await stranger.expect(STATUS, running())
    assert status["revision"] == 7
    assert set(status["roles"]["echo"]["main"]) == {
        *("state", "since", "restarts", "reason", "message", "revision")
    }


async def test_rejects_with_every_problem_and_runs_on(agent: Start, stranger: Stranger) -> None:
    agent('blocked_roles = ["mix"]')
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    since = stranger.latest(STATUS)["roles"]["echo"]["main"]["since"]
    ack = await push(
        stranger,
        config(
            2,
            {
                "mix": {"main": {}},
                "Echo": {"main": {}},
                "echo": {"main": {"number": 10}, "b": {"numbr": 1}, "c": {}, "d": {}},
            },
        ),
    )
    assert (ack["result"], ack["error"]["type"]) == ("rejected", "BlockedRole")
    problems = ack["error"]["problems"]
    assert [(p["type"], p["role"], p["instance"], p["path"]) for p in problems] == [
        ("BlockedRole", "mix", None, None),
        ("MissingRoleFactory", "Echo", None, None),
        ("InvalidConfiguration", "echo", "main", "/number"),
        ("InvalidConfiguration", "echo", "b", "/numbr"),
        ("InvalidConfiguration", "echo", None, None),
    ]
    assert "case-sensitive" in problems[1]["message"]
    assert "1 to 9" in problems[2]["message"]
    assert "'number'" in problems[3]["message"]
    assert ack["in_force"]["revision"] == 1
    mark = stranger.mark()
    status = await stranger.expect(STATUS, after=mark)
    assert (status["revision"], status["roles"]["echo"]["main"]["since"]) == (1, since)


async def test_unreadable_payload_is_rejected_under_no_number_each_time(
    agent: Start, stranger: Stranger
) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(4, {}))
    for payload in (b"{", b'{"revision": true}', b'{"revision": "5"}', b"[]", b"\xff"):
        ack = await push(stranger, payload)
        assert (ack["revision"], ack["result"]) == (None, "rejected")
        assert ack["in_force"]["revision"] == 4
    ack = await push(stranger, config(4, {}))
    assert (ack["revision"], ack["result"]) == (4, "accepted")


async def test_started_without_a_broker_runs_what_it_had(
    agent: Start, broker: Mosquitto, stranger: Stranger
) -> None:
    first = agent()
    await online(stranger)
    await push(stranger, config(3, {"echo": {"main": {}, "bad": {"broken": True}}}, name="cam"))
    await stranger.expect(STATUS, running())
    first.terminate()
    assert await first.ended() == 0
    broker.stop()
    second = agent()
    await second.says("start echo/main")
    await second.says("not connected")
    mark = stranger.mark()
    broker.start()
    await stranger.expect(STATUS, running(), after=mark)
    bad = stranger.latest(STATUS)["roles"]["echo"]["bad"]
    assert bad["reason"] == "DeviceMissing"
    ack = await stranger.expect(ACK, after=mark)
    assert (ack["revision"], ack["result"]) == (3, "accepted")


async def test_is_back_by_itself_when_the_broker_lost_everything(
    agent: Start, broker: Mosquitto, stranger: Stranger
) -> None:
    agent()
    boot = (await online(stranger))["boot"]
    await push(stranger, config(1, {"echo": {"main": {}}}))
    mark = stranger.mark()
    broker.stop()
    broker.start()
    presence = await online(stranger, mark)
    assert (presence["boot"], presence["epoch"]) == (boot, 2)
    ack = await stranger.expect(ACK, after=mark)
    assert (ack["revision"], ack["result"]) == (1, "accepted")


async def test_says_lost_when_killed_and_offline_when_stopped(
    agent: Start, stranger: Stranger
) -> None:
    first = agent()
    boot = (await online(stranger))["boot"]
    first.kill()
    lost = await stranger.expect(PRESENCE, lambda p: p["state"] == "lost")
    assert (lost["boot"], lost["epoch"], lost["interval"]) == (boot, 1, 1)
    mark = stranger.mark()
    second = agent()
    assert (await online(stranger, mark))["boot"] != boot
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    second.terminate()
    second.terminate()
    await stranger.expect(PRESENCE, lambda p: p["state"] == "offline", after=mark)
    assert await second.ended() == 0
    status = stranger.latest(STATUS)["roles"]["echo"]["main"]
    assert status["state"] == "stopped"
    assert stranger.heard[-1].topic == PRESENCE


async def test_sighup_leaves_without_a_word(
    agent: Start, broker: Mosquitto, stranger: Stranger
) -> None:
    program = agent()
    await online(stranger)
    program.signal(signal.SIGHUP)
    assert await program.ended() == 0
    async with Stranger(broker.port, PRESENCE) as late:
        assert (await late.expect(PRESENCE))["state"] == "online"


async def test_remembers_a_rejection_over_a_restart(agent: Start, stranger: Stranger) -> None:
    program = agent()
    await online(stranger)
    await push(stranger, config(1, {}))
    rejected = await push(stranger, config(2, {"nothing": {"x": {}}}))
    program.kill()
    await stranger.publish(CONFIG, b"", retain=True)
    mark = stranger.mark()
    agent()
    ack = await stranger.expect(ACK, after=mark)
    assert (ack["revision"], ack["error"]) == (2, rejected["error"])
    assert ack["in_force"] == {"revision": 1, "roles": {}}


def test_statuses_go_out_in_bursts_and_one_a_second_in_the_mean() -> None:
    pace, now = Pace(0.0), 0.0
    gone = []
    while now < 60:
        now += pace.wait(now)
        pace.spend(now)
        gone.append(now)
        now += 0.01
    assert gone[:STATUS_BURST] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
    assert len(gone) <= 60 + STATUS_BURST
    assert min(later - earlier for earlier, later in pairwise(gone[STATUS_BURST:])) > 0.99
    assert pace.wait(now + 3600) == 0


async def test_a_status_says_at_once_that_a_change_runs_and_never_more_than_a_burst_does(
    agent: Start, stranger: Stranger
) -> None:
    agent(every=600)  # no heartbeat comes
    await online(stranger)
    for revision in (1, 2, 3):
        await stranger.publish(CONFIG, config(revision, {"echo": {"main": {"number": revision}}}))
        status = await stranger.expect(STATUS, at_revision(revision))
        assert status["revision"] == revision
    for revision in range(4, 30):
        await stranger.publish(CONFIG, config(revision, {"echo": {f"i{revision}": {}}}))
    await stranger.expect(STATUS, running("i29"))
    at = [datetime.fromisoformat(one.json["at"]) for one in stranger.on(STATUS)]
    assert len(at) <= STATUS_BURST + 2 + (at[-1] - at[0]).total_seconds()


async def test_command_is_answered(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    assert await ask(stranger, "echo/say", {"text": "hello"}) == {
        "result": {"text": "HELLO"},
        "error": None,
    }


async def test_every_way_a_command_can_fail_has_its_type(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}, "other": {}}}))
    await stranger.expect(STATUS, lambda s: running()(s) and running("other")(s))
    text = {"text": "x"}

    async def failure(number: int, *args: Any, **kwargs: Any) -> Any:
        reply = await ask(stranger, *args, correlation=b"%d" % number, **kwargs)
        assert reply["result"] is None
        return reply["error"]

    assert (await failure(1, "echo/nope", text))["type"] == "UnknownCommand"
    assert (await failure(2, "nope/say", text))["type"] == "UnknownCommand"
    assert (await failure(3, "station/nope", {}))["type"] == "UnknownCommand"
    several = await failure(4, "echo/say", text)
    assert several["type"] == "NoSuchInstance"
    assert "main" in several["message"]
    assert "other" in several["message"]
    assert (await failure(5, "echo/say", text, instance="third"))["type"] == "NoSuchInstance"
    wrong = await failure(6, "echo/say", {"text": 5, "more": 1}, instance="main")
    assert wrong["type"] == "InvalidArguments"
    assert {p["path"] for p in wrong["problems"]} == {"/text", "/more"}
    refused = await failure(7, "echo/refuse", text, instance="main")
    assert (refused["type"], refused["message"]) == ("CommandFailed", "not today")
    crashed = await failure(8, "echo/crash", text, instance="main")
    assert (crashed["type"], crashed["message"]) == ("CommandFailed", "RuntimeError: oops")
    late = await failure(9, "echo/sleep", {"seconds": 60}, instance="main", expiry=1)
    assert late["type"] == "DeadlineExceeded"
    mark = stranger.mark()
    await stranger.publish(f"{BASE}/command/ann/echo/say", b"{", correlation=b"10")
    unreadable = await stranger.expect(f"{BASE}/reply/ann", after=mark)
    assert unreadable["error"]["type"] == "InvalidArguments"


async def test_repeated_command_runs_once_and_gets_the_same_reply(
    agent: Start, stranger: Stranger
) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    first = await ask(stranger, "echo/say", {"text": "a"}, correlation=b"same")
    assert await ask(stranger, "echo/say", {"text": "a"}, correlation=b"same") == first
    counted = await ask(stranger, "echo/count", {"text": ""}, correlation=b"other")
    assert counted["result"] == {"number": 1}


async def test_slow_command_blocks_nobody(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    slow = {"instance": None, "arguments": {"seconds": 60}}
    await stranger.publish(f"{BASE}/command/ann/echo/sleep", slow, correlation=b"slow")
    assert (await ask(stranger, "echo/say", {"text": "b"}))["result"] == {"text": "B"}
    assert (await push(stranger, config(2, {})))["result"] == "accepted"


async def test_retained_command_and_one_without_correlation_are_ignored(
    agent: Start, stranger: Stranger
) -> None:
    agent()
    await online(stranger)
    topic = f"{BASE}/command/ann/station/info"
    payload: dict[str, Any] = {"instance": None, "arguments": {}}
    await stranger.publish(topic, payload, correlation=b"r", retain=True)
    await stranger.publish(topic, payload)
    reply = await ask(stranger, "station/info", {}, correlation=b"good")
    assert reply["result"]["agent"]
    assert [m.correlation for m in stranger.on(f"{BASE}/reply/ann")] == [b"good"]


async def test_station_commands_work_on_every_station(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    await stranger.expect(STATUS, running())
    named = {"role": "echo", "instance": "main"}
    restarted = await ask(stranger, "station/restart", named, correlation=b"1")
    assert restarted == {"result": {"restarting": "echo/main"}, "error": None}
    missing = await ask(stranger, "station/restart", named | {"instance": "x"}, correlation=b"2")
    assert missing["error"]["type"] == "NoSuchInstance"
    logs = await ask(stranger, "station/logs", named, correlation=b"3")
    assert logs["result"]["instances"] == [{**named, "lines": [], "at": []}]


async def test_empty_payload_is_ignored(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    mark = stranger.mark()
    await stranger.publish(CONFIG, b"", retain=True)
    await ask(stranger, "station/info", {})
    assert not [m for m in stranger.heard[mark:] if m.topic == ACK]


async def test_telemetry_and_log_are_not_retained(
    agent: Start, broker: Mosquitto, stranger: Stranger
) -> None:
    agent()
    telemetry = await stranger.expect(f"{BASE}/telemetry")
    assert set(telemetry) == {"boot", "at", "families"}

    def kept(messages: list[Heard]) -> set[str]:
        return {m.topic for m in messages if m.retain}

    async with Stranger(broker.port, f"{BASE}/#") as late:
        await late.expect(PRESENCE)
        assert f"{BASE}/telemetry" not in kept(late.heard)


async def test_a_flood_of_garbage_changes_nothing(agent: Start, stranger: Stranger) -> None:
    agent()
    await online(stranger)
    await push(stranger, config(1, {"echo": {"main": {}}}))
    garbage: list[bytes] = [
        json.dumps(one).encode()
        for one in (
            *({"revision": 9}, {"revision": 9, "roles": []}, {"revision": 2**60}, 5, "x", None),
            config(9, {"echo": []}),
            config(9, {"echo": {"main": []}}),
            config(9, {"echo": {"": {}}}),
            config(9, None),
            {**config(9, {}), "at": "yesterday"},
            {**config(9, {}), "by": 5},
        )
    ]
    garbage += [b"[" * 20000, b'{"revision": 9, "revision": 9}', b"{" + b" " * 300_000 + b"}"]
    for payload in garbage:
        ack = await push(stranger, payload)
        assert ack["result"] == "rejected", payload[:60]
        assert ack["error"]["type"] in ("InvalidConfiguration", "MissingRoleFactory")
        assert ack["in_force"]["revision"] == 1
    assert (await push(stranger, config(10, {"echo": {"main": {}}})))["result"] == "accepted"


async def test_lines_of_a_child_come_on_the_log_topic(
    agent: Start, stranger: Stranger, tmp_path: Path
) -> None:
    (tmp_path / "roles" / "talk.py").write_text(
        "from attrs import frozen\n"
        "from fleet.roles import ChildRole, RoleFactory, register_factory\n"
        "@frozen\nclass Settings: pass\n"
        "class Talk(ChildRole[Settings]):\n"
        "    def argv(self) -> list[str]:\n"
        "        return ['sh', '-c', 'echo hello; seq 1 5000 >&2; exec sleep 1000']\n"
        "class TalkFactory(RoleFactory[Settings]):\n"
        "    role = Talk\n    settings = Settings\n"
        "register_factory('talk', TalkFactory())\n"
    )
    agent()
    await online(stranger)
    await push(stranger, config(1, {"talk": {"main": {}}}))
    hello = await stranger.expect(f"{BASE}/log", lambda log: log["lines"])
    first = hello["lines"][0]
    assert set(first) == {"at", "role", "instance", "stream", "text"}
    assert (first["role"], first["instance"]) == ("talk", "main")

    def dropped() -> int:
        return sum(one.json["dropped"] for one in stranger.on(f"{BASE}/log"))

    await until(lambda: dropped() > 4000, what="lines that were left out")
    at = [
        datetime.fromisoformat(line["at"])
        for one in stranger.on(f"{BASE}/log")
        for line in one.json["lines"]
    ]
    assert len(at) <= 50 * ((max(at) - min(at)).total_seconds() + 2)
    named = {"role": "talk", "instance": "main", "lines": 3}
    logs = await ask(stranger, "station/logs", named)
    assert "5000" in logs["result"]["instances"][0]["lines"]


async def test_what_could_not_be_run_at_boot_runs_as_soon_as_its_tools_are_there(
    broker: Mosquitto, stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.agent.abilities.LOOK_AROUND", 0.1)
    settings = AgentSettings(
        broker.url, station=ID, state_dir=str(tmp_path / "state"), blocked_roles=("monitor",)
    )
    store = StateDirectory(settings.state)
    source = {"type": "test", "size": "64x64", "rate": 5}
    roles: Any = {
        "record": {"main": {"source": source}, "bad": {"source": source, "segment_seconds": 0}},
        "gone": {"main": {}},
        "monitor": {"main": {"source": source}},
    }
    store.save(Memory(Config(1, None, None, roles)))
    there, path = os.environ["PATH"].split(os.pathsep), tmp_path / "path"
    links = {path / str(number): place for number, place in enumerate(there)}
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, links)))  # the agent sees that it stays so
    running_agent = Agent(settings, WayIn(settings), store)
    task = asyncio.create_task(running_agent.run())
    status = await stranger.expect(STATUS, lambda s: "record" in s["roles"])
    main = status["roles"]["record"]["main"]
    assert (main["state"], main["reason"]) == ("failed", "MissingRoleFactory")
    assert "apt install ffmpeg" in main["message"]
    path.mkdir()
    for link, place in links.items():
        link.symlink_to(place)
    status = await stranger.expect(STATUS, running("main", "record"))
    bad, gone = status["roles"]["record"]["bad"], status["roles"]["gone"]["main"]
    assert (bad["state"], bad["reason"]) == ("failed", "InvalidConfiguration")
    assert "/segment_seconds" in bad["message"]
    assert (gone["state"], gone["reason"]) == ("failed", "MissingRoleFactory")
    assert "ffmpeg" not in stranger.latest(REGISTRATION)["broken_roles"].get("record", "")
    blocked = status["roles"]["monitor"]["main"]
    assert (blocked["state"], blocked["reason"]) == ("failed", "BlockedRole")
    # What the file then says, once somebody has corrected it.
    corrected = {"record": {"main": {"source": source}, "bad": {"source": source}}}
    assert (await push(stranger, config(2, corrected)))["result"] == "accepted"
    status = await stranger.expect(STATUS, running("bad", "record"))
    assert set(status["roles"]) == {"record"}
    running_agent.end(signal.SIGTERM)
    await task
    store.close()


async def test_config_that_could_not_be_saved_is_tried_again_by_itself(
    broker: Mosquitto, stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.agent.config.received.SAVE_AGAIN", 0.1)
    settings = AgentSettings(broker.url, station=ID, state_dir=str(tmp_path / "state"))
    store = StateDirectory(settings.state)
    full = OSError(errno.ENOSPC, "No space left on device")
    save = StateDirectory.save

    def refuse(self: StateDirectory, memory: Memory) -> None:
        raise full

    monkeypatch.setattr(StateDirectory, "save", refuse)
    running_agent = Agent(settings, WayIn(settings), store)
    task = asyncio.create_task(running_agent.run())
    await online(stranger)
    rejected = await push(stranger, config(5, {}))
    assert (rejected["revision"], rejected["result"]) == (5, "rejected")
    assert "No space left" in rejected["error"]["message"]
    monkeypatch.setattr(StateDirectory, "save", save)
    ack = await stranger.expect(ACK, lambda one: one["result"] == "accepted")
    assert ack["in_force"] == {"revision": 5, "roles": {}}
    running_agent.end(signal.SIGTERM)
    await task
    store.close()
