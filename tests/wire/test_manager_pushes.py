"""Which config a manager sends to a station, when, and what it leaves alone."""

import asyncio

from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger
from tests.wire.conftest import Boxes, Desk
from tests.wire.sides import Box, records

ROLES = records("main")
CONFIG = {"revision", "at", "by", "roles", "name", "room", "signature"}


async def quiet(desk: Desk, box: Box) -> None:
    """Show that nothing that was said so far has a config sent to `box`.

    What is due later goes by a clock, and `tests/manager/test_convergence.py` winds one by hand.
    """
    before = box.configs()
    for _ in range(2):  # asked, answered, and whatever that had set off answered too
        await desk.ask("status")
    mark = box.stranger.mark()
    await desk.stranger.publish(box.topic("config"), b"")  # comes after what was sent before
    await box.stranger.expect(box.topic("config"), lambda c: c is None, after=mark)
    assert box.configs() == before


async def test_what_is_wanted_is_sent_retained_with_every_field(
    desk: Desk, boxes: Boxes, broker: Mosquitto
) -> None:
    box = await boxes.connect("aa01")
    assert await desk.want("aa01", ROLES) == 1
    wanted = await box.wanted()
    assert set(wanted) == CONFIG
    assert (wanted["revision"], wanted["roles"]) == (1, ROLES)
    assert (wanted["name"], wanted["room"]) == ("box-aa01", "hall1")
    assert wanted["by"]
    assert wanted["at"].endswith("Z")
    message = box.configs()[0]
    assert (message.qos, message.retain) == (1, False)
    async with Stranger(broker.port, box.topic("config")) as late:
        kept = await late.expect_message(box.topic("config"))
        assert kept.retain
        assert kept.payload == message.payload
    await box.accept(wanted)
    await desk.shows(1, "fleet_station_running_revision", station="aa01")
    assert (await desk.station("aa01"))["in_sync"]
    await quiet(desk, box)


async def test_a_config_waits_for_a_station_that_was_never_heard(desk: Desk, boxes: Boxes) -> None:
    await desk.want("aa02", ROLES)
    box = await boxes.connect("aa02")
    wanted = await box.obey()
    assert wanted["roles"] == ROLES
    await desk.shows(1, "fleet_station_wanted_revision", station="aa02")
    assert (await desk.station("aa02"))["in_sync"]


async def test_an_ack_of_another_revision_gets_the_same_bytes_at_once(
    desk: Desk, boxes: Boxes
) -> None:
    box = await boxes.connect("aa03")
    await desk.want("aa03", {})
    await box.obey(1)
    assert await desk.want("aa03", ROLES) == 2
    await box.obey(2)
    first = box.configs()[-1].payload

    for revision, result in ((1, "accepted"), (0, None)):
        mark = box.stranger.mark()
        box.in_force = {"revision": revision, "roles": {}}
        box.revision, box.result, box.error = revision, result, None
        await box.ack()
        await box.obey(2, after=mark)
        assert box.configs()[-1].payload == first, revision

    mark = box.stranger.mark()
    await box.reject(None, "InvalidConfiguration")
    await box.obey(2, after=mark)
    assert box.configs()[-1].payload == first, "an unreadable payload"
    await quiet(desk, box)


async def test_a_lost_config_is_sent_again_when_the_station_comes_back(
    desk: Desk, boxes: Boxes, broker: Mosquitto
) -> None:
    await desk.want("aa04", ROLES)
    box = await boxes.connect("aa04")
    await box.obey(1)
    await box.leave()
    await desk.stranger.publish(box.topic("config"), b"", retain=True)
    box.revision, box.result = 0, None
    box.in_force = {"revision": 0, "roles": {}}
    await box.connect()
    wanted = await box.obey()
    assert (wanted["revision"], wanted["roles"]) == (1, ROLES)


async def test_a_station_that_sends_no_ack_gets_its_config_after_five_seconds(
    desk: Desk, boxes: Boxes
) -> None:
    await desk.want("aa05", ROLES)
    box = boxes.make("aa05")
    began = asyncio.get_running_loop().time()
    await box.connect(ack=False)
    retained = await box.wanted()
    mark = box.stranger.mark()
    again = await box.wanted(after=mark)
    assert again == retained
    assert asyncio.get_running_loop().time() - began > 4.9


async def test_an_ack_ahead_of_what_is_wanted_gets_it_under_a_higher_number(
    desk: Desk, boxes: Boxes
) -> None:
    assert await desk.want("aa06", ROLES) == 1
    box = boxes.make("aa06")
    box.revision, box.result = 41, "accepted"
    box.in_force = {"revision": 40, "roles": records("other")}
    await box.connect()
    wanted = await box.obey(42)
    assert wanted["roles"] == ROLES
    assert await desk.want("aa06", {}) == 43, "and numbers go on from there"


async def test_the_same_number_with_other_contents_is_not_taken_for_what_is_wanted(
    desk: Desk, boxes: Boxes
) -> None:
    await desk.want("aa07", ROLES)
    box = boxes.make("aa07")
    box.revision, box.result = 1, "accepted"
    box.in_force = {"revision": 1, "roles": records("other")}
    await box.connect()
    wanted = await box.obey(2)
    assert wanted["roles"] == ROLES


async def test_an_empty_manager_adopts_what_a_station_runs(desk: Desk, boxes: Boxes) -> None:
    box = boxes.make("aa08")
    box.revision, box.result = 12, "accepted"
    box.in_force = {"revision": 12, "roles": ROLES}
    await box.connect()
    wanted = await box.obey(13)
    assert wanted["roles"] == ROLES
    assert wanted["by"] == "adopted"
    await desk.shows(13, "fleet_station_wanted_revision", station="aa08")
    await quiet(desk, box)
    assert await desk.want("aa08", records("other")) == 14


async def test_a_station_that_runs_nothing_is_not_adopted(desk: Desk, boxes: Boxes) -> None:
    box = boxes.make("aa09")
    box.revision, box.result = 12, "accepted"
    box.in_force = {"revision": 12, "roles": {}}
    await box.connect()
    await quiet(desk, box)
    assert (await desk.station("aa09"))["wanted"] is None


async def test_other_contents_under_a_number_get_a_new_one_at_most_once_a_minute(
    desk: Desk, boxes: Boxes
) -> None:
    box = boxes.make("aa10")
    box.revision, box.result = 12, "accepted"
    box.in_force = {"revision": 12, "roles": ROLES}
    await box.connect()
    await box.obey(13)
    await desk.shows(13, "fleet_station_running_revision", station="aa10")
    box.in_force = {"revision": 13, "roles": records("other")}
    await box.ack()
    await quiet(desk, box)


async def test_a_rolled_back_store_adopts_what_runs(
    desk: Desk, boxes: Boxes, programs: Programs
) -> None:
    box = await boxes.connect("aa11")
    await desk.want("aa11", ROLES)
    await box.obey(1)
    await desk.shows(1, "fleet_station_running_revision", station="aa11")
    desk.program.terminate()
    await desk.program.ended()
    box.revision = 5  # what a later state of the store had wanted
    box.in_force = {"revision": 5, "roles": records("later")}
    mark = box.stranger.mark()
    await box.ack()
    await desk.start()
    wanted = await box.obey(6, after=mark)
    assert wanted["roles"] == records("later")
    assert wanted["by"] == "adopted"


async def test_a_rejection_is_shown_and_the_config_is_not_sent_again(
    desk: Desk, boxes: Boxes
) -> None:
    box = await boxes.connect("aa12")
    await desk.want("aa12", ROLES)
    await box.wanted(1)
    await box.reject(1, "BlockedRole")
    await desk.shows(1, "fleet_station_config_rejected", station="aa12", type="BlockedRole")
    station = await desk.station("aa12")
    assert not station["in_sync"]
    assert [one["type"] for one in station["problems"]] == ["BlockedRole"]
    await quiet(desk, box)
    assert await desk.want("aa12", {}) == 2
    await box.obey(2)
    await desk.shows(0, "fleet_station_config_rejected", station="aa12", type="BlockedRole")


async def test_a_restarted_manager_changes_nothing(
    desk: Desk, boxes: Boxes, programs: Programs
) -> None:
    box = await boxes.connect("aa13")
    await desk.want("aa13", ROLES)
    await box.obey(1)
    await desk.shows(1, "fleet_station_running_revision", station="aa13")
    mark = desk.stranger.mark()
    desk.program.kill()
    await desk.stranger.expect(
        "fleet/v1/manager/presence", lambda p: p["state"] == "lost", after=mark
    )
    await desk.start()
    await desk.shows(1, "fleet_station_up", station="aa13")
    await desk.shows(1, "fleet_station_wanted_revision", station="aa13")
    await quiet(desk, box)
    assert len(box.configs()) == 1
    assert (await desk.station("aa13"))["in_sync"]
    assert await desk.want("aa13", {}) == 2


async def test_a_manager_that_was_away_sends_what_was_missed(desk: Desk, boxes: Boxes) -> None:
    box = await boxes.connect("aa14")
    await desk.want("aa14", ROLES)
    await box.obey(1)
    desk.program.kill()
    await desk.stranger.publish(box.topic("config"), b"", retain=True)
    box.revision, box.result = 0, None
    box.in_force = {"revision": 0, "roles": {}}
    await box.ack()
    mark = box.stranger.mark()
    await desk.start()
    wanted = await box.obey(1, after=mark)
    assert wanted["roles"] == ROLES


async def test_a_broker_that_lost_everything_is_no_reason_for_a_new_revision(
    desk: Desk, boxes: Boxes, broker: Mosquitto
) -> None:
    box = await boxes.connect("aa15")
    await desk.want("aa15", ROLES)
    await box.obey(1)
    mark = desk.stranger.mark()
    broker.stop()
    broker.start()
    await desk.stranger.expect(
        "fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark
    )
    box.epoch += 1
    await box.register()
    await box.ack()
    await box.status()
    await box.say("presence", box.presence("online"))
    await desk.shows(1, "fleet_station_up", station="aa15")
    assert (await desk.station("aa15"))["wanted"] == 1
    assert {one.json["revision"] for one in box.configs()} == {1}


async def test_a_foreign_config_on_the_topic_is_put_right_through_the_ack(
    desk: Desk, boxes: Boxes
) -> None:
    box = await boxes.connect("aa16")
    await desk.want("aa16", ROLES)
    await box.obey(1)
    await desk.stranger.publish(box.topic("config"), b"garbage", retain=True)
    await until(
        lambda: b"garbage" in [one.payload for one in box.configs()], what="garbage at the station"
    )
    mark = box.stranger.mark()
    await box.reject(None, "InvalidConfiguration")
    await box.obey(1, after=mark)
