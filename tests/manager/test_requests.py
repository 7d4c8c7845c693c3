"""What operators ask of a real manager, over a real broker."""

from typing import Any

import pytest

from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger


@pytest.fixture(autouse=True)
def manager(broker: Mosquitto, programs: Programs) -> None:
    programs.manager(broker)


async def test_a_plan_shows_each_instance_and_changes_nothing(stranger: Stranger) -> None:
    text = conference(("hall1-cam", "cam1"), ("hall1-slides", "cam2"))
    plan = (await ask(stranger, "plan", text=text, name="f"))["result"]
    assert [(one["action"], one["station"], one["role"]) for one in plan["changes"]] == [
        ("+", "hall1-cam", "record"),
        ("+", "hall1-slides", "record"),
    ]
    assert [one["detail"] for one in plan["stations"]] == ["new", "new"]
    assert (await ask(stranger, "status"))["result"]["stations"] == []
    assert not [m for m in stranger.heard if m.topic.endswith("/config")]


async def test_applying_it_twice_changes_nothing_the_second_time(stranger: Stranger) -> None:
    text = conference(("hall1-cam", "cam1"))
    assert (await apply(stranger, text))["revisions"] == {"cam1": 1}
    second = await apply(stranger, text)
    assert second["revisions"] == {}
    assert second["plan"]["changes"] == second["plan"]["stations"] == []
    third = await apply(stranger, conference(("hall1-cam", "cam1"), seconds=60))
    assert third["revisions"] == {"cam1": 2}
    assert [one["detail"] for one in third["plan"]["changes"]] == ["segment_seconds 180 -> 60"]


async def test_a_station_the_file_does_not_name_is_left_as_it_is_and_listed(
    stranger: Stranger,
) -> None:
    await PretendStation(stranger, "new-box").come_online()
    await apply(stranger, conference(("hall1-cam", "cam1"), ("hall1-slides", "cam2")))
    result = await apply(stranger, conference(("hall1-cam", "cam1")))
    assert result["plan"]["unnamed"] == ["hall1-slides", "new-box"]
    assert result["revisions"] == {}


async def test_a_file_with_mistakes_changes_nothing_and_all_come_back(stranger: Stranger) -> None:
    text = conference(("hall1-cam", "cam1"), extra='room = "hal1"\nseat = 5\n[x]\n')
    text = text.replace('room = "hall1"\n', "")
    for operation in ("plan", "apply"):
        error = (await ask(stranger, operation, text=text, name="f.toml", message=None))["error"]
        assert error["type"] == "InvalidConfiguration"
        assert error["message"].startswith("f.toml has 3 mistakes")
        assert {one["path"] for one in error["problems"]} == {
            "x",
            "stations.hall1-cam.room",
            "stations.hall1-cam.seat",
        }
    assert (await ask(stranger, "status"))["result"]["stations"] == []


async def test_a_mistake_of_the_file_hides_nothing_that_a_station_would_refuse(
    stranger: Stranger,
) -> None:
    text = conference(("hall1-cam", "cam1"), extra="roles.record.main.segment_seconds = 180.0\n")
    text += (
        '[stations.hall1-slides]\nid = "cam2"\nroom = "hall1"\nroles.record.main = {}\nseta = 1\n'
    )
    text += (
        '[profiles.odd.roles.record.main]\nsource = {role = "ingest", seat = "none"}\nkeep = 1\n'
        '[stations.hall1-desk]\nid = "cam3"\nroom = "hall1"\nprofiles = ["odd"]\n'
        "roles.hoist.main.source = {role = 1}\n"
        '[stations.hall1-mix]\nid = "cam4"\nroom = "hall1"\nprofiles = ["none"]\n'
        "roles.stream.main = {}\n"
    )
    station = PretendStation(stranger, "cam3")
    await station.register()
    for operation in ("validate", "plan", "apply"):
        error = (await ask(stranger, operation, text=text, name="f.toml"))["error"]
        assert error["message"] == "f.toml has 7 mistakes; nothing was applied"
        assert [one["path"] for one in error["problems"]] == [
            "stations.hall1-slides.seta",
            "stations.hall1-mix.profiles.0",
            "stations.hall1-desk.roles.record.main.source",
            "stations.hall1-desk.roles.hoist.main.source.role",
            "stations.hall1-cam.roles.record.main.segment_seconds",
            "stations.hall1-desk.roles.record.main.keep",
            "stations.hall1-desk.roles.hoist",
        ]


async def test_what_a_station_would_refuse_is_a_warning(stranger: Stranger) -> None:
    station = PretendStation(stranger, "cam1")
    await station.register(blocked_roles=["record"])
    plan = (await ask(stranger, "plan", text=conference(("hall1-cam", "cam1")), name="f"))["result"]
    assert plan["warnings"] == ["hall1-cam blocks the role 'record'"]


async def test_a_recording_nobody_watches_is_a_warning(stranger: Stranger) -> None:
    text = """
rooms.hall1 = {}
[profiles.source.roles]
ingest.main.picture = {type = "test"}
record.main.source = {role = "ingest"}
record.test.source = {type = "test"}
[stations.cam]
id = "cam1"
room = "hall1"
address = "192.0.2.1"
profiles = ["source"]
[stations.slides]
id = "cam2"
room = "hall1"
address = "192.0.2.2"
profiles = ["source"]
[stations.desk]
id = "desk1"
room = "hall1"
roles.monitor.main.source = {role = "ingest", station = "slides"}
"""
    plan = (await ask(stranger, "plan", text=text, name="f"))["result"]
    assert [one.partition(":")[0] for one in plan["warnings"]] == ["cam record/main"]
    assert "add a monitor with the same source" in plan["warnings"][0]
    watched = text + 'roles.monitor.cam.source = {role = "ingest", station = "cam"}\n'
    plan = (await ask(stranger, "plan", text=watched, name="f"))["result"]
    assert plan["warnings"] == []
    own = text.replace('{type = "test"}', '{type = "device", sound = {type = "alsa"}}')
    plan = (await ask(stranger, "plan", text=own, name="f"))["result"]
    alone = [one for one in plan["warnings"] if "record/test" in one]
    assert len(alone) == 2
    assert all("let an ingest open the device" in one for one in alone)


async def test_status_tells_a_rejection_and_a_station_that_was_never_heard(
    stranger: Stranger,
) -> None:
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    await apply(stranger, conference(("hall1-cam", "cam1"), ("hall1-slides", "cam2")))
    problem = {"type": "BlockedRole", "role": "record", "instance": None, "path": None,
               "message": "record is blocked here"}  # fmt: skip
    error = {"type": "BlockedRole", "message": "blocked", "problems": [problem]}
    await station.ack(1, "rejected", error)
    result = (await ask(stranger, "status"))["result"]
    one, other = result["stations"]
    assert not result["in_sync"]
    assert (one["wanted"], one["running"], one["problems"]) == (1, 0, [problem])
    assert one["roles"]["record"]["main"]["state"] == "stopped"
    assert (other["presence"], other["running"]) == ("unknown", None)
    assert "never heard of" in other["note"]


@pytest.mark.parametrize(
    ("operation", "arguments", "type_", "part"),
    [
        ("dance", {}, "UnknownCommand", "it has: plan, apply, status"),
        ("plan", {"text": 5, "name": "f"}, "InvalidArguments", "/text: expected a string"),
        ("plan", {}, "InvalidArguments", "/text: is missing"),
    ],
)
async def test_a_bad_request_is_refused_with_why(
    stranger: Stranger, operation: str, arguments: dict[str, Any], type_: str, part: str
) -> None:
    error = (await ask(stranger, operation, **arguments))["error"]
    assert error["type"] == type_
    assert part in error["message"]


async def test_a_retained_request_and_one_without_correlation_are_not_run(
    stranger: Stranger,
) -> None:
    topic = "fleet/v1/manager/request/tester/apply"
    request = {"text": conference(("hall1-cam", "cam1")), "name": "f", "message": None}
    await ask(stranger, "status")
    await stranger.publish(topic, request, retain=True, correlation=b"1")
    await stranger.publish(topic, request)
    assert (await ask(stranger, "status"))["result"]["stations"] == []
    await stranger.publish(topic, b"", retain=True)


async def test_a_recording_on_a_lost_station_is_a_warning(stranger: Stranger) -> None:
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await station.obey(await station.config(1))
    text = conference(("hall1-cam", "cam1"), seconds=60)
    for presence, lost in (("online", False), ("lost", True), ("offline", False)):
        await station.presence(presence)
        plan = (await ask(stranger, "plan", text=text, name="f"))["result"]
        assert [one["running"] for one in plan["changes"]] == [presence == "online"]
        assert any("may be recording" in one for one in plan["warnings"]) == lost


async def test_a_changed_setting_tells_whether_it_interrupts_what_runs(stranger: Stranger) -> None:
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await station.obey(await station.config(1))
    text = conference(("hall1-cam", "cam1"), seconds=60)
    for state, recording in (("starting", []), ("running", ["hall1-cam record/main"])):
        await station.status(state)
        plan = (await ask(stranger, "plan", text=text, name="f"))["result"]
        assert [(one["running"], one["state"]) for one in plan["changes"]] == [(True, state)]
        assert plan["recording"] == recording
