"""Rollouts by a real manager over a real broker: batches, health, stops, kills."""

import re
from typing import Any

import pytest

from tests.manager.boxes import (
    Behaviour,
    Boxes,
    fail,
    ignore,
    obey,
    reject,
    rollout,
    rollout_ends,
    rollout_is,
    status_of,
)
from tests.manager.conftest import Place
from tests.manager.station import apply, ask, conference
from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger

NAMES = [("one", "a"), ("two", "b"), ("three", "c")]


def file(seconds: int = 180, *names: tuple[str, str]) -> dict[str, Any]:
    return {"text": conference(*(names or NAMES), seconds=seconds), "name": "democon.toml"}


async def begin(stranger: Stranger, **arguments: Any) -> Any:
    reply = await ask(stranger, "apply", **arguments)
    assert reply["error"] is None, reply
    return reply["result"]


async def refusal(stranger: Stranger, operation: str, **arguments: Any) -> str:
    reply = await ask(stranger, operation, **arguments)
    assert reply["error"] is not None, reply
    return str(reply["error"]["message"])


@pytest.fixture
def manager(broker: Mosquitto, programs: Programs) -> None:
    programs.manager(broker)


@pytest.mark.usefixtures("manager")
async def test_without_a_batch_everybody_is_given_it_at_once(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b", "c")
    found = await begin(stranger, **file(), message="doors open")
    assert found["revisions"] == {"a": 1, "b": 1, "c": 1}
    ended = await rollout_ends(stranger)
    assert (ended["phase"], ended["by"], ended["message"]) == ("done", "tester", "doors open")
    assert {one["outcome"] for one in ended["targets"]} == {"healthy"}


@pytest.mark.usefixtures("manager")
async def test_the_next_batch_begins_once_this_one_is_healthy(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b", "c", behaviour=ignore)
    found = await begin(stranger, **file(), batch=1)
    assert found["revisions"] == {"a": 1}
    now = await rollout_is(stranger, a="begun", b="waiting", c="waiting")
    assert now["phase"] == "running"
    assert (await status_of(stranger))["b"]["wanted"] is None, "its batch has not begun"
    boxes.behaviour = dict.fromkeys("abc", obey)
    await boxes.stations["a"].obey(boxes.given("a")[-1])
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert [len(boxes.given(id_)) for id_ in "abc"] == [1, 1, 1]
    order = [m.topic for m in stranger.heard if m.topic.endswith("/config")]
    assert list(dict.fromkeys(order)) == [f"fleet/v1/station/{id_}/config" for id_ in "abc"]


@pytest.mark.usefixtures("manager")
async def test_a_batch_has_to_stay_healthy_for_as_long_as_asked(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b")
    await begin(stranger, **file(180, *NAMES[:2]), batch=1, settle=600)
    await rollout_is(stranger, a="healthy", b="waiting")
    await boxes.stations["a"].status("backoff")
    now = await rollout_is(stranger, a="begun", b="waiting")
    assert now["targets"][0]["why"] == "record/main is backoff"
    await boxes.stations["a"].status("running")
    now = await rollout_is(stranger, a="healthy", b="waiting")
    assert now["phase"] == "running"


@pytest.mark.usefixtures("manager")
@pytest.mark.parametrize(("behaviour", "outcome"), [(reject, "rejected"), (fail, "failed")])
async def test_the_first_that_rejects_or_fails_stops_it_and_the_rest_keep_what_they_have(
    stranger: Stranger, boxes: Boxes, behaviour: Behaviour, outcome: str
) -> None:
    await boxes.add("a", "b", "c")
    await apply(stranger, file()["text"])
    await rollout_ends(stranger)
    boxes.behaviour["b"] = behaviour
    await begin(stranger, **file(60), batch=1)
    ended = await rollout_ends(stranger)
    assert ended["phase"] == "stopped"
    assert [one["outcome"] for one in ended["targets"]] == ["healthy", outcome, "waiting"]
    assert re.match(f"two {outcome}: .*record", ended["why"])
    wanted = {id_: one["wanted"] for id_, one in (await status_of(stranger)).items()}
    assert wanted == {"a": 2, "b": 2, "c": 1}


@pytest.mark.usefixtures("manager")
async def test_where_asked_for_a_failure_puts_back_all_it_changed_under_new_numbers(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b", "c")
    await apply(stranger, file()["text"])
    await rollout_ends(stranger)
    boxes.behaviour["b"] = lambda box, given: (
        reject(box, given) if given["revision"] == 2 else obey(box, given)
    )
    await begin(stranger, **file(60), batch=1, undo_on_failure=True)
    ended = await rollout_ends(stranger)
    assert ended["phase"] == "undone"
    assert [one["outcome"] for one in ended["targets"]] == ["undone", "undone", "waiting"]
    await until(lambda: len(boxes.given("a")) == len(boxes.given("b")) == 3)
    seconds = [
        [one["roles"]["record"]["main"]["segment_seconds"] for one in boxes.given(id_)]
        for id_ in "abc"
    ]
    assert seconds == [[180, 60, 180], [180, 60, 180], [180]]
    assert [one["revision"] for one in boxes.given("b")] == [1, 2, 3]


@pytest.mark.usefixtures("manager")
async def test_a_station_that_is_away_is_pending_and_holds_nobody_up(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("b", "c")
    await begin(stranger, **file(), batch=1)
    ended = await rollout_ends(stranger)
    assert ended["phase"] == "done"
    assert [one["outcome"] for one in ended["targets"]] == ["pending", "healthy", "healthy"]
    assert len(boxes.given("a")) == 1, "its config waits for it"


@pytest.mark.usefixtures("manager")
async def test_another_apply_is_refused_naming_whose_is_running_until_it_is_stopped(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b", "c", behaviour=ignore)
    await begin(stranger, **file(), batch=2)
    why = await refusal(stranger, "apply", **file(60))
    assert why.startswith("rollout 1 of democon.toml by tester at ")
    assert " is running (0 of 3 stations so far); wait" in why
    assert "fleet rollout --stop" in why
    assert "has its part in rollout 1" in await refusal(
        stranger, "retire", station="three", force=True
    )
    stopped = await rollout(stranger, stop=True)
    assert (stopped["phase"], stopped["why"]) == ("stopped", "stopped by tester")
    assert "no rollout is running" in await refusal(stranger, "rollout", stop=True)
    boxes.behaviour = dict.fromkeys("abc", obey)
    found = await begin(stranger, **file(60))
    assert found["rollout"] == 2
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert [one["outcome"] for one in (await rollout(stranger, number=1))["targets"]] == [
        "begun",
        "begun",
        "waiting",
    ]


@pytest.mark.usefixtures("manager")
async def test_one_to_everybody_at_once_refuses_another_too_until_all_have_answered(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", behaviour=ignore)
    await begin(stranger, **file(180, NAMES[0]))
    for operation, arguments in (("apply", file(60, NAMES[0])), ("rollback", {"station": None})):
        why = await refusal(stranger, operation, **arguments)
        assert why.startswith("rollout 1 of democon.toml by tester at "), operation
        assert " is running (0 of 1 station so far); wait" in why
    assert len(boxes.given("a")) == 1
    await boxes.stations["a"].obey(boxes.given("a")[-1])
    boxes.behaviour["a"] = obey
    assert (await begin(stranger, **file(60, NAMES[0])))["rollout"] == 2
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert (await rollout(stranger, number=1))["phase"] == "done"


@pytest.mark.usefixtures("manager")
async def test_a_mistake_that_a_station_rejects_is_fixed_at_once(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", behaviour=reject)
    await boxes.add("b", behaviour=ignore)
    await begin(stranger, **file(180, *NAMES[:2]))
    assert (await rollout_ends(stranger))["phase"] == "stopped"
    boxes.behaviour = {"a": obey, "b": obey}
    assert (await begin(stranger, **file(60, *NAMES[:2])))["rollout"] == 2
    assert (await rollout_ends(stranger))["phase"] == "done"


@pytest.mark.usefixtures("manager")
async def test_who_looked_at_an_older_plan_is_refused(stranger: Stranger, boxes: Boxes) -> None:
    plan = (await ask(stranger, "plan", **file()))["result"]
    assert plan["revision"] == 0
    await begin(stranger, **file(), check_revision=0)
    why = await refusal(stranger, "apply", **file(60), check_revision=0)
    assert why.startswith("somebody applied in between: the last rollout is 1, by tester, not 0")
    assert (await begin(stranger, **file(60), check_revision=1))["rollout"] == 2


@pytest.mark.usefixtures("manager")
async def test_what_records_is_not_interrupted_unless_told_so(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("a", "b", "c")
    await apply(stranger, file()["text"])
    await rollout_ends(stranger)
    plan = (await ask(stranger, "plan", **file(60)))["result"]
    assert plan["recording"] == ["one record/main", "two record/main", "three record/main"]
    why = await refusal(stranger, "apply", **file(60), interrupt=False)
    assert why.startswith("this would interrupt what is recording now: one record/main, ")
    assert "--interrupt" in why
    await begin(stranger, **file(60), interrupt=True)


@pytest.mark.usefixtures("manager")
async def test_one_room_or_one_station_of_a_file_is_applied_alone(
    stranger: Stranger, boxes: Boxes
) -> None:
    other = '[rooms.hall2]\n[stations.four]\nid = "d"\nroom = "hall2"\nprofiles = ["rec"]\n'
    text = conference(*NAMES, extra=other)
    found = await begin(stranger, text=text, name="f", room="hall2")
    assert found["revisions"] == {"d": 1}
    found = await begin(stranger, text=text, name="f", station="two")
    assert found["revisions"] == {"b": 1}
    assert "no room 'hall3'" in await refusal(stranger, "apply", text=text, name="f", room="hall3")
    why = await refusal(stranger, "apply", text=text, name="f", station="tow")
    assert why == "the file has no station 'tow' (did you mean 'two'?)"


async def test_a_manager_killed_in_the_middle_goes_on_where_it_was(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes, place: Place
) -> None:
    manager = programs.manager(broker, *place.arguments)
    await boxes.add("a", "b", "c")
    boxes.behaviour["b"] = ignore
    await begin(stranger, **file(), batch=1, settle=0.2)
    await rollout_is(stranger, a="healthy", b="begun", c="waiting")
    manager.kill()
    mark = stranger.mark()
    programs.manager(broker, *place.arguments)
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    now = await rollout_is(stranger, b="begun", c="waiting")
    assert (now["phase"], now["by"], now["batch"]) == ("running", "tester", 1)
    await boxes.stations["b"].obey(boxes.given("b")[-1])
    assert (await rollout_ends(stranger))["phase"] == "done"
    assert [[one["revision"] for one in boxes.given(id_)] for id_ in "abc"] == [[1], [1], [1]]
