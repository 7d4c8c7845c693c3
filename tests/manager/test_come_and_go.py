"""Stations that come and go for good: retired, adopted, replaced by another box."""

from typing import Any

import pytest

from tests.manager.boxes import (
    Boxes,
    ignore,
    obey,
    reject,
    rollout,
    rollout_ends,
    rollout_is,
    status_of,
)
from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger

KEPT = ("registration", "presence", "status", "config", "ack")
OLD, NEW = conference(("cam", "old")), conference(("cam", "new"))


@pytest.fixture(autouse=True)
def manager(broker: Mosquitto, programs: Programs) -> Program:
    return programs.manager(broker)


async def refusal(stranger: Stranger, operation: str, **arguments: Any) -> str:
    reply = await ask(stranger, operation, **arguments)
    assert reply["error"] is not None, reply
    return str(reply["error"]["message"])


async def kept(broker: Mosquitto, station: str) -> set[str]:
    """What the broker keeps of a station."""
    async with Stranger(broker.port, f"fleet/v1/station/{station}/#", "fleet/v1/end") as other:
        await other.publish("fleet/v1/end", {})
        await other.expect("fleet/v1/end")
        return {m.topic.split("/")[-1] for m in other.heard if m.payload and m.retain}


async def test_a_station_that_is_online_is_not_retired_unless_forced(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("old")
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    why = await refusal(stranger, "retire", station="cam")
    assert why.startswith("cam is online; stop its fleet-agent first, or add --force")
    reply = await ask(stranger, "retire", station="cam", force=True)
    assert reply["result"] == {"id": "old", "name": "cam", "revision": 1}


async def test_a_retired_station_is_forgotten_by_the_broker_and_comes_back_as_new(
    broker: Mosquitto, stranger: Stranger, boxes: Boxes, programs: Programs, manager: Program
) -> None:
    await boxes.add("old")
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    box = boxes.stations["old"]
    await box.presence("offline")
    assert await kept(broker, "old") == set(KEPT)
    assert (await ask(stranger, "retire", station="cam"))["error"] is None
    assert await kept(broker, "old") == set()
    assert await status_of(stranger) == {}
    manager.kill()
    mark = stranger.mark()
    programs.manager(broker)
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    assert await status_of(stranger) == {}

    box.epoch += 1
    await box.come_online(interval=60)
    await box.ack()
    shown = (await status_of(stranger))["old"]
    assert (shown["wanted"], shown["running"]) == (None, 1)
    assert shown["note"].startswith("new: it was retired")
    assert len(boxes.given("old")) == 1, "what it runs is not adopted by itself"
    events = (await ask(stranger, "history", station="old"))["result"]["events"]
    assert [one["number"] for one in events if one["kind"] == "revision"] == [1]

    assert (await ask(stranger, "adopt", station="cam"))["result"]["revision"] == 2
    await until(lambda: len(boxes.given("old")) == 2)
    adopted = boxes.given("old")[-1]
    assert (adopted["revision"], adopted["by"], adopted["roles"]) == (2, "adopted", box.roles)
    assert "needs no adoption" in await refusal(stranger, "adopt", station="old")


async def test_a_retired_station_that_a_file_names_again_gets_a_higher_number(
    stranger: Stranger,
) -> None:
    await apply(stranger, OLD)
    await ask(stranger, "retire", station="cam")
    assert (await apply(stranger, OLD))["revisions"] == {"old": 2}


async def test_who_is_not_there_is_named_with_whom_was_meant(stranger: Stranger) -> None:
    await apply(stranger, OLD)
    assert await refusal(stranger, "retire", station="cma") == (
        "there is no station 'cma' (did you mean 'cam'?)"
    )
    assert "needs no adoption: revision 1 is wanted" in await refusal(
        stranger, "adopt", station="cam"
    )


async def test_no_station_is_called_as_another_box_but_for_the_one_it_replaces(
    stranger: Stranger,
) -> None:
    await apply(stranger, OLD)
    refused = await ask(stranger, "plan", text=conference(("old", "new")), name="f")
    (problem,) = refused["error"]["problems"]
    assert (problem["path"], problem["message"]) == (
        "stations.old",
        "'old' is the id of another box: call this station something else, or forget that box if "
        "it is gone (fleet retire old)",
    )
    # A box that is called as its id is replaced as any other, and the name is the new one's.
    await apply(stranger, conference(("old", "old")))
    for _ in range(2):
        await apply(stranger, conference(("old", "new")))
    assert (await ask(stranger, "history", station="old"))["result"]["id"] == "new"


async def test_a_replaced_box_runs_on_until_the_new_one_has_accepted(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("old")
    await boxes.add("new", behaviour=ignore)
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    plan = (await ask(stranger, "plan", text=NEW, name="f"))["result"]
    assert [(one["action"], one["id"]) for one in plan["changes"]] == [("+", "new"), ("-", "old")]
    assert plan["stations"][0]["detail"] == "new, replaces the box old"
    assert plan["unnamed"] == []

    await apply(stranger, NEW)
    await rollout_is(stranger, new="begun")
    assert len(boxes.given("old")) == 1
    assert "new replaces it" in (await status_of(stranger))["old"]["note"]
    await boxes.stations["new"].obey(boxes.given("new")[-1])
    await until(lambda: len(boxes.given("old")) == 2)
    emptied = boxes.given("old")[-1]
    assert (emptied["revision"], emptied["roles"], "name" in emptied) == (2, {}, False)
    shown = await status_of(stranger)
    assert (shown["new"]["name"], shown["old"]["name"]) == ("cam", "old")


async def test_a_box_that_is_gone_is_emptied_at_once(stranger: Stranger, boxes: Boxes) -> None:
    await boxes.add("old")
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    await boxes.stations["old"].presence("lost")
    await apply(stranger, NEW)
    await until(lambda: len(boxes.given("old")) == 2)
    assert boxes.given("old")[-1]["roles"] == {}


async def test_a_new_box_that_rejects_leaves_the_old_one_running_and_can_be_put_back(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("old")
    await boxes.add("new", behaviour=reject)
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    await ask(stranger, "apply", text=NEW, name="f", undo_on_failure=True)
    assert (await rollout_ends(stranger))["phase"] == "undone"
    assert len(boxes.given("old")) == 1
    assert (await status_of(stranger))["old"]["note"] is None


async def test_a_box_that_is_named_again_is_replaced_no_more(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("old")
    await boxes.add("new", behaviour=ignore)
    await apply(stranger, OLD)
    await rollout_ends(stranger)
    await apply(stranger, NEW)
    await rollout(stranger, stop=True)
    boxes.behaviour["new"] = obey
    await apply(stranger, OLD)
    await until(lambda: any(one["roles"] == {} for one in boxes.given("new")))
    assert all(one["roles"] for one in boxes.given("old"))
    assert {id_: one["name"] for id_, one in (await status_of(stranger)).items()} == {
        "old": "cam",
        "new": "new",
    }


async def test_a_box_in_a_drawer_waits_for_nobody(stranger: Stranger) -> None:
    """Two boxes with one name, neither ever heard of: nothing hangs."""
    await apply(stranger, OLD)
    await apply(stranger, NEW)
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert await PretendStation(stranger, "new").config() is not None
