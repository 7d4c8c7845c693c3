"""Whom a manager takes for online, lost or offline, and what it makes of nonsense."""

import asyncio

import pytest

from tests.processes import Mosquitto, Programs, free_port, run
from tests.stranger import Stranger
from tests.wire.conftest import Boxes, Desk
from tests.wire.sides import now, records

PRESENCE = "fleet/v1/manager/presence"
FILE = """
[rooms.hall1]
[stations.cam]
id = "bb77"
room = "hall1"
roles.record.main.source = {type = "test"}
"""


async def up(desk: Desk, station: str, value: float) -> None:
    await desk.shows(value, "fleet_station_up", station=station)


async def test_a_manager_is_online_and_lost_by_its_will_and_offline_when_stopped(
    desk: Desk, broker: Mosquitto
) -> None:
    online = desk.stranger.latest(PRESENCE)
    assert set(online) == {"state", "boot", "epoch", "at", "interval"}
    async with Stranger(broker.port, PRESENCE) as late:
        assert (await late.expect_message(PRESENCE)).retain
    mark = desk.stranger.mark()
    desk.program.kill()
    lost = await desk.stranger.expect(PRESENCE, after=mark)
    assert lost["state"] == "lost"
    assert (lost["boot"], lost["epoch"]) == (online["boot"], online["epoch"])
    again = await desk.start()
    assert again["boot"] != online["boot"]
    mark = desk.stranger.mark()
    desk.program.terminate()
    assert await desk.program.ended() == 0
    assert (await desk.stranger.expect(PRESENCE, after=mark))["state"] == "offline"


async def test_online_offline_and_lost_are_shown_as_they_are_said(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("bb01")
    await up(desk, "bb01", 1)
    await box.leave()
    await up(desk, "bb01", 0)
    assert (await desk.station("bb01"))["presence"] == "offline"
    await box.connect()
    await up(desk, "bb01", 1)
    await box.vanish()
    await up(desk, "bb01", 0)
    assert (await desk.station("bb01"))["presence"] == "lost"


async def test_a_will_of_another_boot_or_an_earlier_connection_does_not_count(
    desk: Desk, boxes: Boxes
) -> None:
    box = await boxes.connect("bb02")
    box.epoch += 1
    await box.say("presence", box.presence("online"))
    await up(desk, "bb02", 1)
    for wrong in ({"epoch": box.epoch - 1}, {"epoch": box.epoch + 1}, {"boot": "another"}):
        await desk.stranger.publish(box.topic("presence"), box.presence("lost", **wrong))
        assert (await desk.station("bb02"))["presence"] == "online", wrong
    await desk.stranger.publish(box.topic("presence"), box.presence("lost"))
    assert (await desk.station("bb02"))["presence"] == "lost"


async def test_silence_for_three_intervals_is_lost_and_its_instances_are_unknown(
    desk: Desk, boxes: Boxes
) -> None:
    box = boxes.make("bb03", interval=3)  # long enough for each step of a busy machine
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main")}
    await box.connect()
    await up(desk, "bb03", 1)
    time = asyncio.get_running_loop().time
    said = time()
    silent = said + 3 * box.interval
    while time() < silent:  # heartbeats hold it up, and none waits for another
        said = time()
        await box.status()
        assert await desk.metric("fleet_station_up", station="bb03") == 1
        await asyncio.sleep(0.3)
    state = {"station": "bb03", "role": "record", "role_instance": "main"}
    await desk.shows(1, "fleet_instance_state", state="running", **state)
    await up(desk, "bb03", 0)
    assert time() - said > 3 * box.interval
    await desk.shows(1, "fleet_instance_state", state="unknown", **state)
    await desk.shows(0, "fleet_instance_state", state="running", **state)
    assert (await desk.station("bb03"))["presence"] == "lost"

    await box.status()
    await up(desk, "bb03", 1)
    await box.leave()
    await up(desk, "bb03", 0)
    assert (await desk.station("bb03"))["presence"] == "offline"


async def test_offline_stays_whatever_comes_until_the_next_online(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("bb04")
    await box.say("presence", box.presence("offline"))
    await up(desk, "bb04", 0)
    for _ in range(5):
        await box.status()
        assert (await desk.station("bb04"))["presence"] == "offline"
    box.epoch += 1
    await box.say("presence", box.presence("online"))
    await up(desk, "bb04", 1)


async def test_a_retained_online_is_believed_for_three_intervals_and_not_prolonged(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes
) -> None:
    box = boxes.make("bb05", interval=3)
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main")}
    await box.connect()
    later = {"at": "2099-01-01T00:00:00Z"}
    await box.say("presence", box.presence("online", **later))
    await box.status(**later)
    desk = Desk(broker, programs, stranger)
    await desk.start()
    await up(desk, "bb05", 1)
    await up(desk, "bb05", 0)
    assert (await desk.station("bb05"))["presence"] == "lost"


async def test_two_boots_in_turn_are_a_conflict_and_get_no_config_until_one_is_left(
    desk: Desk, boxes: Boxes
) -> None:
    one = await boxes.connect("bb06")
    two = boxes.make("bb06")
    two.hostname = "the-other-box"
    await two.connect()
    for _ in range(2):
        await one.status()
        await two.status()
    station = await desk.station("bb06")
    assert "conflict" in station["note"]
    assert one.hostname in station["note"]
    assert "the-other-box" in station["note"]
    await desk.want("bb06", records("main"))
    for _ in range(4):
        await one.status()
        await two.status()
        assert "conflict" in (await desk.station("bb06"))["note"]
    assert not two.configs()
    assert not one.configs()
    await two.leave()
    async with asyncio.timeout(60):
        while not one.configs():
            await one.status()
            await asyncio.sleep(0.2)
    assert (await one.obey(1))["roles"] == records("main")
    assert "conflict" not in ((await desk.station("bb06"))["note"] or "")


async def test_without_a_broker_everybody_is_unknown(
    desk: Desk, boxes: Boxes, broker: Mosquitto
) -> None:
    box = boxes.make("bb07")
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main")}
    await box.connect()
    await up(desk, "bb07", 1)
    broker.stop()
    await up(desk, "bb07", 0)
    state = {"station": "bb07", "role": "record", "role_instance": "main"}
    await desk.shows(1, "fleet_instance_state", state="unknown", **state)
    broker.start()


GARBAGE = (
    b"?",
    b"[]",
    b"5",
    b"null",
    b"{}",
    b"\xff",
    b'{"boot": NaN}',
    b"[" * 30_000,
    b'"' + b"x" * 300 * 1024 + b'"',
)


@pytest.mark.parametrize("kind", ["registration", "presence", "status", "ack"])
async def test_garbage_is_counted_and_changes_nothing(desk: Desk, boxes: Boxes, kind: str) -> None:
    box = boxes.make("bb08")
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main")}
    await box.connect()
    await box.obey(2)
    await up(desk, "bb08", 1)
    before = await desk.station("bb08")
    sound = box.stranger.mark()
    for payload in GARBAGE:
        await box.say(kind, payload)
    await desk.shows(len(GARBAGE), "fleet_mqtt_undecodable_total", kind=kind)
    after = await desk.station("bb08")
    assert after == before
    assert not box.stranger.heard[sound:]
    await desk.stranger.publish(f"fleet/v1/station/NOT-AN-ID/{kind}", {})
    await desk.stranger.publish("fleet/v1/station/bb08/nosuch", {})
    assert [one["id"] for one in (await desk.ask("status"))["stations"]] == ["bb08"]


async def test_wrong_types_are_not_converted(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("bb09")
    await up(desk, "bb09", 1)
    for wrong in (
        {"epoch": "2"},
        {"epoch": True},
        {"interval": "10"},
        {"interval": 0},
        {"interval": -1},
        {"boot": ""},
        {"boot": "x" * 65},
        {"boot": 5},
        {"at": 5},
        {"at": "yesterday"},
    ):
        await box.say("presence", box.presence("offline", **wrong))
    await desk.shows(10, "fleet_mqtt_undecodable_total", kind="presence")
    assert (await desk.station("bb09"))["presence"] == "online"


async def test_what_a_newer_station_adds_is_ignored_and_its_new_state_is_unknown(
    desk: Desk, boxes: Boxes
) -> None:
    box = boxes.make("bb10")
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main"), "checksum": "x"}
    await box.connect()
    await box.register(colour="red")
    await box.ack(mood="good")
    await box.status(state="pondering", load=0.5)
    await box.say("presence", box.presence("online", battery=0.5))
    state = {"station": "bb10", "role": "record", "role_instance": "main"}
    await desk.shows(1, "fleet_instance_state", state="unknown", **state)
    assert await desk.metric("fleet_mqtt_undecodable_total") in (0, None)


async def test_the_earlier_of_two_managers_stops_with_status_3(
    desk: Desk, boxes: Boxes, broker: Mosquitto, programs: Programs
) -> None:
    first = desk.stranger.latest(PRESENCE)
    mark = desk.stranger.mark()
    http = free_port()
    second = programs.start(
        "fleet-manager",
        *("run", "--broker", broker.url, "--http", f"127.0.0.1:{http}"),
        *("--state-dir", str(programs.directory / "manager-2")),
        name="manager-2",
    )
    assert await desk.program.ended() == 3
    later = await desk.stranger.expect(
        PRESENCE, lambda p: p["state"] == "online" and p["boot"] != first["boot"], after=mark
    )
    assert second.running
    desk.http, desk.program = http, second
    box = boxes.make("bb11")
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("main")}
    await box.connect()
    await box.obey(2)
    async with Stranger(broker.port, PRESENCE) as late:
        kept = await late.expect(PRESENCE)
        assert (kept["state"], kept["boot"]) == ("online", later["boot"])


async def test_a_manager_gives_way_only_to_one_that_began_later(desk: Desk) -> None:
    other = {"state": "online", "boot": "other", "epoch": 1, "interval": 10}
    earlier = other | {"at": "2001-01-01T00:00:00Z"}
    await desk.stranger.publish(PRESENCE, earlier, retain=True)
    assert (await desk.ask("status"))["stations"] == []
    assert desk.program.running
    await desk.stranger.publish(PRESENCE, other | {"at": now(), "state": "lost"}, retain=True)
    assert (await desk.ask("status"))["stations"] == []
    await desk.stranger.publish(PRESENCE, other | {"at": now()}, retain=True)
    assert await desk.program.ended() == 3


async def test_a_box_that_starts_again_and_again_is_no_conflict(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("bb12")
    for boot in ("second", "third", "fourth"):
        earlier = box.presence("lost")
        await box.vanish()
        box.boot, box.epoch = boot, 0
        await box.connect()
        await desk.stranger.publish(box.topic("presence"), earlier, retain=True)
        await box.status()
        station = await desk.station("bb12")
        assert station["presence"] == "online", boot
        assert "conflict" not in (station["note"] or ""), boot
    await desk.want("bb12", records("main"))
    await box.obey(1)
    assert (await desk.station("bb12"))["in_sync"]


@pytest.mark.parametrize("change", [b"", {"state": "lost", "epoch": 0}, {"state": "offline"}])
async def test_a_manager_says_again_that_it_is_online_whatever_is_kept_instead(
    desk: Desk, broker: Mosquitto, change: bytes | dict[str, object]
) -> None:
    """Cleared as with MQTT Explorer, or an earlier manager's late will."""
    online = desk.stranger.latest(PRESENCE)
    earlier = {"boot": "earlier", "at": "2026-01-01T00:00:00.000Z"}
    wrong = change if isinstance(change, bytes) else online | earlier | change
    mark = desk.stranger.mark()
    await desk.stranger.publish(PRESENCE, wrong, retain=True)
    again = await desk.stranger.expect(
        PRESENCE, lambda one: one and one["state"] == "online", after=mark
    )
    assert again == online
    async with Stranger(broker.port, PRESENCE) as late:
        assert (await late.expect_message(PRESENCE)).retain
    env = desk.programs.environment(FLEET_BROKER=broker.url)
    found = await asyncio.to_thread(run, "fleet", "status", env=env)
    assert "no manager is online" not in found.stderr
    assert found.returncode == 0, found.stderr


async def test_a_config_somebody_cleared_is_kept_again(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("bb77")
    await desk.ask("apply", text=FILE, name="demo.toml")
    config = await desk.stranger.expect(box.topic("config"))
    mark = desk.stranger.mark()
    await desk.stranger.publish(box.topic("config"), b"", retain=True)
    again = await desk.stranger.expect(box.topic("config"), lambda one: one is not None, after=mark)
    assert again == config
