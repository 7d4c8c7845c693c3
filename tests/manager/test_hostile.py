"""One station's credential in the wrong hands: its own row suffers, and no other."""

import asyncio
import struct
import time
from collections import Counter
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from fleet.manager.answering import Answering
from fleet.manager.requests import OperatorRequests
from fleet.manager.stations.allowances import ASKED_BURST, HISTORY_BURST, Allowances
from fleet.model import MAX_PAYLOAD, Reply
from fleet.mqtt import Message
from fleet.topics import Topics
from fleet.wire import decode
from tests.manager.boxes import Boxes, status_of
from tests.manager.station import NOW, PretendStation, ask
from tests.manager.test_said import metrics
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

PICTURE = "fleet/v1/station/bad1/thumbnail/monitor/main"
JPEG = b"\xff\xd8\xff"


def test_who_says_too_much_waits_and_nobody_else() -> None:
    work = Allowances(burst=2, per_second=0.5)
    assert work.take("bad", 0.0, 0.0)
    work.spend("bad", 0.0, 3.0)
    assert not work.take("bad", 1.0, 0.0)
    assert work.take("good", 1.0, 0.0)
    assert work.take("bad", 2.0, 0.0)
    assert work.left_out == {"bad": 1}
    assert work.left("bad", 1e9) == 2
    work.forget("bad")
    assert work.left_out == {}
    work.tidy(2.0)
    assert len(work) == 0, "all of its own again is nothing to remember"
    work.spend("bad", 2.0, 1.0)
    work.tidy(3.0)
    assert len(work) == 1


async def test_a_flood_of_one_station_costs_its_own_row_alone(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes
) -> None:
    manager = programs.manager(broker)
    await manager.says("connected;")
    await boxes.add("good1")
    bad = PretendStation(stranger, "bad1")
    await bad.come_online()
    error = {"type": "InvalidConfiguration", "message": "x" * 200_000, "problems": []}
    for number in range(150):
        await bad.ack(7, "rejected", error)
        bad.epoch += 1
        await bad.presence("offline" if number % 2 else "online")
    found = await status_of(stranger)
    assert found["good1"]["presence"] == "online"
    seen = (await ask(stranger, "doctor"))["result"]
    left_out = {one["id"]: one["left_out"] for one in seen["stations"]}
    assert left_out["bad1"] > 100
    assert left_out["good1"] == 0
    told = [one["subject"] for one in seen["fixes"] if one["kind"] == "SaysTooMuch"]
    assert told == ["bad1"]
    # Names that nobody has are not remembered, however many and long they are.
    process = psutil.Process(manager.pid)
    before = process.memory_info().rss
    for number in range(800):
        await stranger.publish(f"{PICTURE}{number:0>60000}", JPEG)
    assert (await status_of(stranger))["good1"]["presence"] == "online"
    assert process.memory_info().rss - before < 24 * 2**20
    past = (await ask(stranger, "history", station="bad1", limit=10_000))["result"]["events"]
    assert 0 < len(past) <= HISTORY_BURST + 10
    assert max(len(one["text"] or "") for one in past) == 4000


async def test_who_asks_and_asks_waits_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    stopped = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("fleet.manager.answering.time", stopped)  # nobody's allowance fills up
    release, done = asyncio.Event(), []

    async def all_heard() -> None:
        await release.wait()

    def do(work: Any) -> None:
        done.append(asyncio.ensure_future(work))

    caught_up = asyncio.Event()
    caught_up.set()
    answering = Answering(Topics(), OperatorRequests(None), all_heard, caught_up, do)  # type: ignore[arg-type]
    link = Replies()
    answering.connect(link)  # type: ignore[arg-type]

    answering._asked = Allowances(ASKED_BURST, 0.0)  # whatever time this takes

    def ask_as(caller: str, correlation: bytes = b"1") -> str | None:
        address = Topics().parse(f"fleet/v1/manager/request/{caller}/nothing")
        assert address is not None
        return answering.asked(address, Message("", b"", False, correlation))

    taken = int(ASKED_BURST) + 32  # that many may wait for their turn
    assert [ask_as("greedy") for _ in range(taken)] == [None] * taken
    assert ask_as("greedy") == "greedy asks more than 100 times a second"
    assert ask_as("ann") is None
    assert ask_as("ann", bytes(257)) == "its correlation data has more than 256 bytes"
    await asyncio.sleep(0)  # each has begun to wait
    release.set()
    await asyncio.gather(*done)
    said = [(topic.rpartition("/")[2], decode(reply, Reply)) for topic, reply in link.said]
    kinds = Counter((caller, reply.error.type) for caller, reply in said if reply.error)
    assert kinds == {
        ("greedy", "UnknownCommand"): 32,
        ("greedy", "CommandFailed"): taken - 32,
        ("ann", "UnknownCommand"): 1,
    }
    answering._asked.spend("quick", now, ASKED_BURST)
    for number in range(3):  # one after the other, faster than anybody may: late, but answered
        assert ask_as("quick") is None
        await done[-1]
        assert len(link.said) == taken + 1 + number + 1


class Replies:
    """A link that only notes what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    async def publish(self, topic: str, payload: bytes, **_: Any) -> None:
        self.said.append((topic, payload))


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def _packet(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([kind]) + _length(len(body)) + body


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | 0x80 if size else digit)
        if not size:
            return bytes(out)


async def with_properties(port: int, topic: str, count: int, *, retain: bool) -> None:
    """Publish a picture with so many user properties; no client that is well can."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    many = b"\x26\0\0\0\0" * count
    writer.write(_packet(0x10, _text("MQTT"), b"\x05\x02\0\x3c\0", _text("bad")))
    writer.write(_packet(0x30 | retain, _text(topic), _length(len(many)), many, JPEG))
    writer.write(_packet(0xC0))
    await writer.drain()
    answers = b""
    while not answers.endswith(b"\xd0\0"):
        answers += await reader.readexactly(1)
    writer.write(_packet(0xE0))
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("topic", [PICTURE, "fleet/v1/manager/request/bad/status"])
async def test_no_property_of_a_message_holds_the_manager(
    broker: Mosquitto, programs: Programs, retain: bool, topic: str
) -> None:
    """A client in Python takes minutes for this one."""
    heard = ("fleet/v1/manager/presence", "fleet/v1/manager/reply/#")  # nothing of the attack
    async with Stranger(broker.port, *heard) as asking:
        good = PretendStation(asking, "good1")
        if retain:
            await with_properties(broker.port, topic, 200_000, retain=True)
        manager = programs.manager(broker)
        await manager.says("connected;")
        await good.come_online(60)
        if not retain:
            await with_properties(broker.port, topic, 200_000, retain=False)
        assert (await status_of(asking))["good1"]["presence"] == "online"


async def test_what_the_broker_shall_not_keep_is_taken_from_it(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    figures = "fleet/v1/station/bad1/telemetry"
    await stranger.publish(PICTURE, JPEG + bytes(2**20), retain=True)
    await stranger.publish(figures, b"[" * (MAX_PAYLOAD + 1), retain=True)
    mark = stranger.mark()
    manager = programs.manager(broker)
    await manager.says("connected;")
    # While it is there too, however small they are: names that anybody chooses are without end.
    bad = "fleet/v1/station/bad1"
    later = [f"{bad}/thumbnail/a/b", f"{bad}/thumbnail/x.y/z", f"{bad}/segment", f"{bad}/reply/x1"]
    later.append("fleet/v1/manager/request/bad/x1")
    for topic in later:
        await stranger.publish(topic, 0, retain=True)
    for topic in (PICTURE, figures, *later):
        await stranger.expect_message(topic, lambda value: value is None, after=mark)
    cleared = [one.topic for one in stranger.heard[mark:] if not one.payload]
    assert len(cleared) < 50, "what is cleared is heard too, and cleared no more"


async def test_numbers_and_times_that_break_pages_are_left_out(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes
) -> None:
    manager = programs.manager(broker)
    await manager.says("connected;")
    await boxes.add("good1")
    bad = PretendStation(stranger, "bad1")
    bad.roles = {"record": {"main": {}}}
    await bad.come_online()
    await bad.status(since="9999-12-31T23:59:59.999Z")
    await bad.status(since="0001-01-01T00:00:00.000Z")
    await bad.presence(interval=1e300)
    await bad.say("status", b'{"restarts": ' + b"9" * 400 + b"}")
    name = "fleet_recording_last_write_timestamp_seconds"
    labels = {"role": "record", "role_instance": "main"}
    for number in ("+Inf", -1e300, 1e300):
        sample: Any = [name, labels, number]
        families = [{"name": name, "type": "gauge", "help": "", "samples": [sample]}]
        figures = {"boot": bad.boot, "at": "2026-02-01T09:00:00.000Z", "families": families}
        await bad.say("telemetry", figures, retain=False)
        shown = await metrics(manager)
        assert 'fleet_station_up{room="",station="good1"} 1.0' in shown
        found = await status_of(stranger)
        assert found["bad1"]["roles"]["record"]["main"]["state"] == "running"
        assert found["good1"]["presence"] == "online"
    one = {"state": "running", "since": NOW, "restarts": 0, "reason": None, "message": None}
    said = {"boot": bad.boot, "revision": 0, "roles": {"record": {"main": one}}}
    first, last = "1970-01-01T00:00:00.000Z", "2200-12-31T23:59:59.999Z"
    for at, since in ((last, first), (first, last)):
        one["since"] = since
        for _ in range(2):  # the better of two heartbeats tells how far its clock is off
            await bad.say("status", said | {"at": at})
        found = await status_of(stranger)
        told = datetime.fromisoformat(found["bad1"]["roles"]["record"]["main"]["since"])
        assert 1970 <= told.year <= 2200, "whoever asks can read it"
