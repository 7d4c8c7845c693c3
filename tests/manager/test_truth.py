"""What the manager says of stations is so: what is absent, doubled, old or failing."""

import asyncio
from typing import Any

import pytest

from tests.manager.boxes import Boxes, rollout_ends, rollout_is, status_of
from tests.manager.station import PretendStation, apply, ask, conference, presence
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger


@pytest.fixture
async def manager(broker: Mosquitto, stranger: Stranger, programs: Programs) -> Program:
    """A manager that answers."""
    program = programs.manager(broker)
    await ask(stranger, "status", 30)
    return program


TWO = (("hall1-cam10", "cam10"), ("hall1-cam3", "cam3"))


async def becomes(stranger: Stranger, id_: str, **expected: Any) -> Any:
    """A station's status once it has these values."""
    async with asyncio.timeout(60):
        while True:
            one = (await status_of(stranger)).get(id_, {})
            if expected.items() <= one.items():
                return one
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("manager")
async def test_what_an_older_revisions_process_does_counts_for_nobody(
    stranger: Stranger, boxes: Boxes
) -> None:
    """Not as healthy, and not as failed: both would be of what ran before."""
    await boxes.add("cam1")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await rollout_ends(stranger)

    async def slowly(box: PretendStation, config: Any) -> None:
        box.revision, box.roles = config["revision"], config["roles"]
        await box.ack()
        await box.status("running", revision=1)

    boxes.behaviour["cam1"] = slowly
    await apply(stranger, conference(("hall1-cam", "cam1"), seconds=60))
    found = await becomes(stranger, "cam1", running=2, in_sync=False)
    assert (found["standing"], found["well"]) == ("working", False)
    assert found["why"] == "record/main is not said to run yet"
    assert (await rollout_is(stranger, cam1="begun"))["phase"] == "running"
    await boxes.stations["cam1"].status("failed", revision=1)
    assert (await rollout_is(stranger, cam1="begun"))["phase"] == "running"
    await boxes.stations["cam1"].status("running", revision=2)
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert (await becomes(stranger, "cam1", in_sync=True))["well"]


async def test_never_heard_of_is_only_who_never_was_and_rooms_are_in_the_order_of_people(
    stranger: Stranger, broker: Mosquitto, programs: Programs, manager: Program
) -> None:
    station = PretendStation(stranger, "cam3")
    await apply(stranger, conference(*TWO))
    await station.come_online(interval=60)
    await station.obey(await station.config())
    await becomes(stranger, "cam3", in_sync=True)
    await ask(stranger, "history", station="cam3")  # which writes what is not written yet
    manager.kill()
    for kind in ("registration", "presence", "status", "ack"):
        await stranger.publish(station.topic(kind), b"", retain=True)
    mark = stranger.mark()
    programs.manager(broker)
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    reply = await ask(stranger, "status")
    found = {one["name"]: one for one in reply["result"]["stations"]}
    assert list(found) == ["hall1-cam3", "hall1-cam10"]
    assert found["hall1-cam10"]["note"] == "never heard of; its config waits"
    assert found["hall1-cam10"]["why"] == "never heard of"
    assert found["hall1-cam3"]["why"] == "not heard since the manager was started"
    kinds = {name: [one["kind"] for one in it["findings"]] for name, it in found.items()}
    assert kinds == {"hall1-cam3": ["Missing"], "hall1-cam10": ["Missing"]}


@pytest.mark.usefixtures("manager")
async def test_a_station_is_lost_since_it_was_lost_and_a_failure_since_its_first_try(
    stranger: Stranger,
) -> None:
    station = PretendStation(stranger, "cam1")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await station.come_online(interval=60)
    await station.obey(await station.config())
    tries = ("failed", "01", 1), ("starting", "07", 1), ("failed", "08", 2), ("backoff", "09", 3)
    for state, second, restarts in tries:
        since = f"2026-02-01T09:00:{second}.000Z"
        await station.status(state, since=since, restarts=restarts)
    one = await becomes(stranger, "cam1", standing="working")
    last = one["roles"]["record"]["main"]
    assert (last["state"], last["restarts"], last["restarts_last_hour"]) == ("backoff", 3, 3)
    (heard,) = [it for it in one["findings"] if it["kind"] == "Record"]
    before = (await ask(stranger, "status"))["result"]["at"]
    await station.presence("lost")
    lost = await becomes(stranger, "cam1", presence="lost")
    (finding,) = lost["findings"]
    assert finding["since"] == lost["presence_since"]
    assert before <= finding["since"] <= (await ask(stranger, "status"))["result"]["at"]
    assert heard["since"] < before, "the failure began before"


@pytest.mark.usefixtures("manager")
@pytest.mark.parametrize("intervals", [(0.01, 30), (30, 0.01)])
async def test_two_boxes_on_one_id_are_told_whatever_their_intervals(
    stranger: Stranger, intervals: tuple[float, float]
) -> None:
    boxes = [PretendStation(stranger, "double", boot) for boot in ("one", "other")]
    for _ in range(2):
        for box, interval in zip(boxes, intervals, strict=True):
            await box.come_online(interval=interval)
            await asyncio.sleep(0.4)  # longer than thirty of the short intervals
    found = await becomes(stranger, "double", conflict=True)
    assert found["note"] == "conflict: two boxes, host-one and host-other, use this id"
    await stranger.publish(boxes[1].topic("presence"), presence("offline", "other"), retain=True)
    assert (await becomes(stranger, "double", conflict=False))["presence"] == "online"


@pytest.mark.usefixtures("manager")
async def test_a_room_that_nobody_monitors_is_said_to_be_so(stranger: Stranger) -> None:
    station = PretendStation(stranger, "cam1")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await station.come_online(interval=60)
    await station.obey(await station.config())
    await becomes(stranger, "cam1", in_sync=True)
    reply = await ask(stranger, "status")
    (room,) = reply["result"]["rooms"]
    assert (room["name"], [one["text"] for one in room["findings"]]) == (
        *("hall1", ["sound not watched"]),
    )
