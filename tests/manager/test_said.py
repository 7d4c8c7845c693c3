"""What people say of rooms and stations: kept, shown, over by itself."""

import asyncio
import re
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fleet.manager.conference import file
from fleet.manager.conference.hours import Override
from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.manager.conference.wanted import Header, Room
from fleet.manager.station_status import maintenance_note
from tests.manager.boxes import rollout_ends, status_of
from tests.manager.conftest import Place
from tests.manager.station import apply, ask, conference
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEXT = (
    '[conference]\ntimezone = "Europe/Brussels"\n[rooms.hall1]\nhours = ["10:00-18:00"]\n'
    "[rooms.hall2]\n"
)


def rooms(*said: Override) -> Rooms:
    made = Rooms()
    made.learn(rooms_of(TEXT))
    made.override_all(said)
    return made


def talk(state: Any, until: datetime | None = None) -> Override:
    return Override("talk", "hall1", state, "ann", AT, until)


@pytest.mark.parametrize(
    ("said", "at", "on"),
    [
        ([], AT, True),
        ([], AT - HOUR, False),
        ([talk("off")], AT, False),
        ([talk("on")], AT - HOUR, True),
        ([talk("off", AT + HOUR)], AT, False),
        ([talk("off", AT + HOUR)], AT + HOUR, True),
    ],
)
def test_a_talk_is_on_as_somebody_said_or_as_the_hours_say(
    said: list[Override], at: datetime, on: bool
) -> None:
    assert rooms(*said).talk_on("hall1", at) is on


@pytest.mark.parametrize(
    ("hours", "told"), [(6, "16:30 CET"), (30, "Mon 16:30 CET"), (24 * 60, "2026-04-02 11:30 CEST")]
)
def test_a_maintenance_that_ends_on_another_day_says_on_which(hours: int, told: str) -> None:
    now = AT.astimezone(ZoneInfo("Europe/Brussels"))
    said = Override("station", "hall1", "on", "ann", AT, AT + hours * HOUR)
    assert maintenance_note(said, now) == f"maintenance until {told}, says ann"


def test_of_a_file_that_would_be_refused_now_what_is_right_still_holds() -> None:
    found = rooms_of(
        '[conference]\nid = "c"\ntimezone = "Mars/Olympus"\n'
        '[rooms.hall1]\nhours = ["9-19", "10:00-18:00"]\n[rooms.hall2]\nhours = 5\n'
        "[stations.cam]\nid = 7\n"
    )
    assert found.header == Header("c")
    assert found.rooms == {"hall1": Room(hours=("10:00-18:00",)), "hall2": Room()}
    nothing = rooms_of("[rooms")
    assert (nothing.header, nothing.rooms) == (Header(), {})


def test_a_text_is_read_once_for_plan_apply_and_start() -> None:
    read = file.examine(TEXT)
    assert file.examine(TEXT) is read
    assert rooms_of(TEXT) is read


def test_it_is_known_until_when_a_talk_is_on() -> None:
    assert rooms().talk_until("hall1", AT) == AT.replace(hour=17, minute=0)
    assert rooms(talk("on", AT + HOUR)).talk_until("hall1", AT) == AT + HOUR
    assert rooms(talk("off", AT + HOUR)).talk_until("hall1", AT) is None
    assert rooms().talk_until("hall2", AT) is None, "always in use"


def test_a_room_without_hours_is_always_in_use() -> None:
    assert rooms().in_use("hall2", AT - 12 * HOUR)
    assert rooms().in_use("never-heard-of", AT)


def test_maintenance_of_a_room_is_that_of_its_stations() -> None:
    of_room = Override("room", "hall1", "on", "ann", AT, AT + HOUR)
    of_station = Override("station", "cam1", "on", "ben", AT, None)
    made = rooms(of_room, of_station)
    assert made.maintenance("cam2", "hall1", AT) == of_room
    assert made.maintenance("cam1", "hall1", AT) == of_station
    assert made.maintenance("cam2", "hall1", AT + HOUR) is None
    assert made.maintenance("cam2", None, AT) is None


def test_what_cannot_be_read_any_more_of_an_old_file_is_left_out() -> None:
    found = rooms_of('[conference]\nnew_key = 1\n[rooms.hall1]\ntitle = "One"\n')
    assert (found.header, found.rooms) == (Header(), {"hall1": Room("One")})
    assert rooms_of("[").rooms == {}


async def metrics(manager: Program) -> str:
    await manager.says("serving http://")
    address = re.findall(r"serving (http://\S+)/metrics", manager.log())[-1]

    def get() -> str:
        with urllib.request.urlopen(f"{address}/metrics", timeout=60) as response:  # noqa: S310
            text: str = response.read().decode()
            return text

    return await asyncio.to_thread(get)


async def test_it_outlives_the_manager_and_is_over_by_itself(
    broker: Mosquitto, stranger: Stranger, programs: Programs, place: Place
) -> None:
    manager = programs.manager(broker, *place.arguments)
    hours = conference(("hall1-cam", "cam1")).replace(
        "[rooms.hall1]", '[rooms.hall1]\nhours = ["00:00-24:00"]'
    )
    await apply(stranger, hours)
    said = (await ask(stranger, "maintenance", target="hall1-cam", on=True, seconds=600))["result"]
    assert (said["kind"], said["name"], said["state"]) == ("station", "hall1-cam", "on")
    said = (await ask(stranger, "talk", room="hall1", talk="off"))["result"]
    until = datetime.fromisoformat(said["until"])
    assert timedelta(hours=11) < until - datetime.now(UTC) < timedelta(hours=13)
    manager.kill()
    mark = stranger.mark()
    manager = programs.manager(broker, *place.arguments)
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    await rollout_ends(stranger)
    shown = await metrics(manager)
    assert 'fleet_maintenance{room="hall1",station="cam1"} 1.0' in shown
    assert 'fleet_room_talk_on{room="hall1"} 0.0' in shown
    assert 'fleet_room_in_use{room="hall1"} 1.0' in shown
    assert "fleet_rollout_running 0.0" in shown
    assert 'fleet_rollout_targets{outcome="pending"} 1.0' in shown
    note = (await status_of(stranger))["cam1"]["note"]
    assert re.search(r"maintenance until (\w{3} )?\d\d:\d\d UTC, says tester", note), note

    await ask(stranger, "maintenance", target="hall1-cam", on=True, seconds=0.2)
    await ask(stranger, "talk", room="hall1", talk="auto")
    await asyncio.sleep(0.2)  # the time it was said for
    shown = await metrics(manager)
    assert 'fleet_maintenance{room="hall1",station="cam1"} 0.0' in shown
    assert 'fleet_room_talk_on{room="hall1"} 1.0' in shown
    await ask(stranger, "maintenance", target="hall1", on=True)
    assert (
        "maintenance of the room hall1, says tester"
        in ((await status_of(stranger))["cam1"]["note"])
    )
    await ask(stranger, "maintenance", target="hall1", on=False)
    assert "maintenance" not in (await status_of(stranger))["cam1"]["note"]


async def test_a_room_or_station_nobody_knows_is_refused(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    programs.manager(broker)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    for operation, arguments, expected in (
        ("talk", {"room": "hall2", "talk": "on"}, "no room 'hall2' (did you mean 'hall1'?)"),
        ("maintenance", {"target": "x", "on": True}, "no room or station 'x'"),
        ("maintenance", {"target": "hall1-cm", "on": True}, "(did you mean 'hall1-cam'?)"),
        ("maintenance", {"target": "hall1", "on": True, "seconds": -1}, "/seconds"),
        ("talk", {"room": "hall1", "talk": "maybe"}, "/talk"),
    ):
        error = (await ask(stranger, operation, **arguments))["error"]
        assert expected in error["message"], error
