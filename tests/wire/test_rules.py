"""Rules of the wire's page that no other test here is about; each test has the name of its rule."""

import asyncio
import math
import re
import signal
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from fleet.agent import commands, session
from fleet.agent.box import machine
from fleet.agent.box.registration import payload, registration
from fleet.agent.commands import Commands
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.validate import examine
from fleet.agent.hidden import Hidden
from fleet.host import Command
from fleet.manager.hearing import SAID
from fleet.manager.rollouts import convergence
from fleet.model import (
    MAX_INSTANCES,
    MAX_PAYLOAD,
    MAX_REQUEST,
    MAX_REVISION,
    Config,
    Family,
    Log,
    Registration,
    Sample,
    State,
    Telemetry,
    is_name,
    is_station_id,
)
from fleet.mqtt import Message
from fleet.station import LogsArguments
from fleet.strict import Mistakes, structure
from fleet.topics import Address
from fleet.wire import Undecodable, decode, encode, loads
from tests.processes import ROOT, Mosquitto, Programs, until
from tests.stranger import Stranger

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
PAGE = (ROOT / "docs/protocol.md").read_text()


def said(words: str) -> None:
    """The page has the rule in these words."""
    assert words in " ".join(PAGE.split()), words


@frozen
class Connect:
    """What a client says first, as the standard lays it out."""

    level: int
    flags: int
    keepalive: int
    properties: bytes
    client: str

    @classmethod
    def read(cls, data: bytes) -> "Connect":
        assert data[0] == 0x10
        at = 1
        while data[at] & 0x80:
            at += 1
        at += 1
        assert data[at : at + 6] == b"\0\4MQTT"
        level, flags, keepalive, length = struct.unpack(">BBHB", data[at + 6 : at + 11])
        end = at + 11 + length
        (size,) = struct.unpack(">H", data[end : end + 2])
        name = data[end + 2 : end + 2 + size].decode()
        return cls(level, flags, keepalive, data[at + 11 : end], name)

    @property
    def clean_start(self) -> bool:
        return bool(self.flags & 0x02)

    @property
    def will(self) -> tuple[bool, int, bool]:
        """Whether there is one, its QoS, whether it is retained."""
        return bool(self.flags & 0x04), self.flags >> 3 & 3, bool(self.flags & 0x20)


async def test_each_side_connects_by_version_5_with_a_clean_start_and_a_will(
    programs: Programs,
) -> None:
    said("| MQTT | version 5;")
    said("A station connects with a clean start and a will")
    heard: dict[str, Connect] = {}
    both = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect = Connect.read(await reader.read(65536))
        heard[connect.client.split("-")[1]] = connect
        if len(heard) == 2:
            both.set()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    agent = ("run", "--broker", url, "--station", "b1", "--state-dir", str(programs.directory))
    programs.start("fleet-agent", *agent)
    manager = ("run", "--broker", url, "--state-dir", str(programs.directory / "m"))
    programs.start("fleet-manager", *manager, "--http", "127.0.0.1:0")
    async with asyncio.timeout(60):
        await both.wait()
    for connect in heard.values():
        assert (connect.level, connect.clean_start, connect.keepalive) == (5, True, 15)
        assert connect.will == (True, 1, True)
        assert b"\x27" not in connect.properties, "a Maximum Packet Size"
    said("| Keepalive | 15 s;")
    said("No side tells the broker a Maximum Packet Size of its own")
    for who, connect in heard.items():
        assert re.fullmatch(rf"fleet-{who}-[0-9a-f]{{16}}", connect.client)
    server.close()


SHOWS = """
from attrs import frozen
from fleet.roles import Role, RoleFactory, command, register_factory

@frozen
class Nothing:
    pass

class Shows(Role[Nothing]):
    async def start(self):
        self.host.thumbnail(b"\\xff\\xd8\\xff a picture")

    @command
    async def ask(self, _: Nothing) -> Nothing:
        self.host.thumbnail(b"\\xff\\xd8\\xff another")
        return Nothing()

    async def stop(self):
        print("finalised", flush=True)

class Factory(RoleFactory[Nothing]):
    role = Shows
    settings = Nothing

register_factory("shows", Factory())
"""


async def test_prefix_response_topic_thumbnails_time_and_sigint(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    said("the prefix is `fleet` unless configured")
    said("a Response Topic is not read")
    said("The user property `at` says when the picture was taken")
    said("SIGTERM and SIGINT end an agent: its instances are stopped, their files finalised")
    (tmp_path / "roles").mkdir()
    (tmp_path / "roles/shows.py").write_text(SHOWS)
    base = "event/26/v1/station/b1"
    async with Stranger(broker.port, "#") as stranger:
        settings = f'roles_dir = "{tmp_path}/roles"\nprefix = "event/26"\n'
        agent = programs.agent(broker, "b1", settings)
        await stranger.expect(f"{base}/presence", lambda p: p["state"] == "online")
        config: Any = {"revision": 1, "at": None, "by": None, "roles": {"shows": {"main": {}}}}
        await stranger.publish(f"{base}/config", config, retain=True)
        await stranger.expect(f"{base}/status", lambda s: "shows" in s["roles"])
        asked: Any = {"instance": None, "arguments": {}}
        topic, where = f"{base}/command/ann/shows/ask", "elsewhere"
        await stranger.expect(
            f"{base}/status",
            lambda s: s["roles"].get("shows", {}).get("main", {}).get("state") == "running",
        )
        await stranger.publish(topic, asked, correlation=b"1", response_topic=where)
        reply = await stranger.expect_message(f"{base}/reply/ann")
        assert (reply.correlation, reply.json["error"]) == (b"1", None)
        agent.signal(signal.SIGINT)
        await stranger.expect(f"{base}/presence", lambda p: p["state"] == "offline")
        assert await agent.ended() == 0
        assert "finalised" in agent.log()
        pictures = stranger.on(f"{base}/thumbnail/shows/main")
        assert pictures[-1].payload == b"\xff\xd8\xff another"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", pictures[-1].user["at"])
        assert (pictures[-1].qos, pictures[-1].retain) == (0, False)
        assert {one.topic.partition("/v1/")[0] for one in stranger.heard} == {"event/26"}


# Sizes and names.


@pytest.mark.parametrize(("limit", "words"), [(MAX_PAYLOAD, "256 KiB"), (MAX_REQUEST, "16 MiB")])
def test_a_payload_has_at_most(limit: int, words: str) -> None:
    said("at most 256 KiB, the manager's requests and replies 16 MiB")
    number, unit = words.split()
    assert limit == int(number) * 1024 ** {"KiB": 1, "MiB": 2}[unit]
    text = b'{"a": "' + b"x" * (limit - 9) + b'"}'
    assert len(text) == limit
    assert loads(text, limit)
    with pytest.raises(Undecodable, match=f"at most {limit} are allowed"):
        loads(text + b" ", limit)


def test_a_config_has_at_most_1000_instances() -> None:
    said("What the manager wants of the station: at most 1,000 instances.")
    assert MAX_INSTANCES == 1000
    nobody = Catalogue({}, {}, {})

    def problems(number: int) -> list[str]:
        named: dict[str, Any] = {f"i{n}": {} for n in range(number)}
        return [one.message for one in examine({"x": named}, nobody).problems]

    assert not any("at most 1000" in one for one in problems(1000))
    assert any("1001 instances are wanted" in one for one in problems(1001))


@pytest.mark.parametrize(
    ("valid", "name", "is_one"),
    [
        (is_station_id, "a" * 64, True),
        (is_station_id, "a" * 65, False),
        (is_station_id, "", False),
        (is_station_id, "A", False),
        (is_station_id, "-", True),
        (is_station_id, "a\n", False),
        (is_name, "A" * 64, True),
        (is_name, "A" * 65, False),
        (is_name, "-a", False),
        (is_name, "a_-9", True),
        (is_name, "a\n", False),
    ],
)
def test_names_and_ids(valid: Callable[[str], bool], name: str, is_one: bool) -> None:
    said("| Station ids | `[a-z0-9-]{1,64}` |")
    said("`[A-Za-z0-9][A-Za-z0-9_-]{0,63}`, case-sensitive")
    assert valid(name) is is_one


@pytest.mark.parametrize(
    ("revision", "is_one"), [(0, False), (1, True), (MAX_REVISION, True), (MAX_REVISION + 1, False)]
)
def test_revisions_are_whole_numbers_from_1_to_2_to_the_53_minus_1(
    revision: int, is_one: bool
) -> None:
    said("whole numbers from 1 to 2⁵³ \N{MINUS SIGN} 1")
    assert MAX_REVISION == 2**53 - 1
    config = encode(Config(1, None, None, {})).replace(b'"revision":1', b'"revision":%d' % revision)
    if is_one:
        assert decode(config, Config).revision == revision
    else:
        with pytest.raises(Undecodable):
            decode(config, Config)


@pytest.mark.parametrize(("lines", "is_one"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_lines_of_logs_are_1_to_1000_else_100(lines: int, is_one: bool) -> None:
    said("`lines` of each (1 to 1000, else 100)")
    assert structure({}, LogsArguments).lines == 100
    if is_one:
        assert structure({"lines": lines}, LogsArguments).lines == lines
    else:
        with pytest.raises(Mistakes, match="1 to 1000"):
            structure({"lines": lines}, LogsArguments)


# What is said.


def test_mac_may_be_null(monkeypatch: pytest.MonkeyPatch) -> None:
    said("`mac` may be null")
    monkeypatch.setattr(machine, "mac", lambda: None)
    encoded, _ = payload(registration("boot", Catalogue({}, {}, {}), (), "key"))
    assert b'"mac":null' in encoded
    assert decode(encoded, Registration).mac is None


def test_states_are_those_and_another_counts_as_unknown() -> None:
    (listed,) = re.findall(r"^States: (.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    states = re.findall(r"`(\w+)`(?: \(|,|\.)", listed)
    assert sorted([*states, "unknown"]) == sorted(State)
    one = {"since": "2026-02-01T09:30:00Z", "restarts": 0, "reason": None, "message": None}
    status = {"boot": "b", "at": "2026-02-01T09:30:00Z", "revision": 0}
    for state in (*states, "dreaming"):
        text = str({**status, "roles": {"r": {"i": {**one, "state": state}}}})
        told = text.replace("None", "null").replace("'", '"').encode()
        got: Any = decode(told, SAID["status"])
        assert got.roles["r"]["i"].state == (state if state in states else "unknown")


def test_a_value_is_a_number_or_nan_and_the_infinities_in_words() -> None:
    said('a value is a number or `"NaN"`, `"+Inf"`, `"-Inf"`')
    values = (1.5, math.nan, math.inf, -math.inf)
    family = Family("f", "gauge", "", tuple(Sample("f", {}, value) for value in values))
    told = encode(Telemetry("b", AT, (family,)))
    assert re.findall(rb'\["f",\{\},(.*?)\]', told) == [b"1.5", b'"NaN"', b'"+Inf"', b'"-Inf"']
    back = [one.value for one in decode(told, Telemetry).families[0].samples]
    assert back[0] == 1.5
    assert math.isnan(back[1])
    assert back[2:] == [math.inf, -math.inf]
    for wrong in (b"NaN", b'"nan"', b'"Infinity"', b"1e999", b'"1.5"', b"true", b"null"):
        with pytest.raises(Undecodable):
            decode(told.replace(b'"NaN"', wrong), Telemetry)


def test_dropped_says_how_many_lines_were_left_out() -> None:
    said("| `dropped` | how many lines were left out since the last batch |")
    assert decode(b'{"lines": [], "dropped": 3}', Log).dropped == 3
    for wrong in (b"-1", b"1.0", b'"3"', b"null"):
        with pytest.raises(Undecodable):
            decode(b'{"lines": [], "dropped": %s}' % wrong, Log)


def test_pushes_are_5_and_30_seconds_apart_and_words_are_said_again_a_second_apart() -> None:
    said("otherwise 5 s after an online station was first heard with no ack, then every 30 s")
    assert (convergence.NO_ACK, convergence.AGAIN) == (5.0, 30.0)
    said("what is wanted gets a new number, at most once a minute")
    assert convergence.RENEWAL_PACE == 60.0
    said("at once, at most once a second")
    assert session.AGAIN_GAP == 1.0
    said("up to five together, one a second in the mean")
    assert (session.STATUS_BURST, session.STATUS_GAP) == (5, 1.0)


# Commands.


@frozen
class Nothing:
    pass


class Asked:
    """Commands whose one command counts; replies by correlation data."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        self.runs = 0
        self.replies: list[tuple[bytes, bytes]] = []
        self._work = work
        self._replied = asyncio.Event()
        command = Command("count", Nothing, Nothing, self._count)
        self.commands = Commands(
            lambda *_: command,
            {},
            lambda _, correlation, reply: self._sent(correlation, reply),
            lambda *_: None,
            Hidden(),
        )

    async def _count(self, _: Nothing) -> Nothing:
        self.runs += 1
        await self._work()
        return Nothing()

    def _sent(self, correlation: bytes, reply: bytes) -> None:
        self.replies.append((correlation, reply))
        self._replied.set()

    async def ask(self, correlation: bytes) -> None:
        address = Address("b1", "command", ("ann", "x", "count"))
        asked = Message("t", b'{"instance": null, "arguments": {}}', False, correlation=correlation)
        self._replied.clear()
        assert self.commands.received(address, asked)
        async with asyncio.timeout(60):
            await self._replied.wait()


async def test_a_command_without_an_expiry_has_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    said("The message expiry is the deadline, 30 s without one")
    assert commands.DEADLINE == 30.0
    monkeypatch.setattr(commands, "DEADLINE", 0.02)
    never = Asked(asyncio.Event().wait)  # type: ignore[arg-type]
    await never.ask(b"1")
    assert b'"DeadlineExceeded"' in never.replies[0][1]
    assert b"not done within 0.02 s" in never.replies[0][1]


async def test_no_more_commands_wait_than_a_box_has_memory_for() -> None:
    said("comes while 2,000 wait for their replies")
    assert commands.MOST_AT_ONCE == 2000
    over = asyncio.Event()
    asked = Asked(over.wait)  # type: ignore[arg-type]
    address = Address("b1", "command", ("ann", "x", "count"))

    def ask(number: int) -> bool:
        payload = b'{"instance": null, "arguments": {}}'
        message = Message("t", payload, False, correlation=b"%d" % number)
        return asked.commands.received(address, message)

    assert all(ask(number) for number in range(2000))
    assert not ask(2000)
    over.set()
    await until(lambda: len(asked.replies) == 2000, what="the replies")
    await asyncio.sleep(0)  # the last one's task is over then
    assert ask(2001)


async def test_a_repeat_runs_nothing_anew_unless_a_thousand_others_came_in_between() -> None:
    said("gets the same reply, unless a thousand others came in between")

    async def at_once() -> None:
        return None

    asked = Asked(at_once)
    await asked.ask(b"first")
    for number in range(900):
        await asked.ask(b"%d" % number)
    await asked.ask(b"first")
    assert asked.runs == 901
    assert asked.replies[-1] == asked.replies[0]
    for number in range(900, 2000):
        await asked.ask(b"%d" % number)
    await asked.ask(b"first")
    assert asked.runs == 2002
