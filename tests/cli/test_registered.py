"""`fleet roles` and `fleet devices`: what stations said that they can run and have."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet.cli.registered import (
    Registered,
    device_lines,
    registered,
    role_explained,
    role_lines,
)
from fleet.model import CommandSchema, Device, DeviceFormat, Factory, Registration
from tests.cli.conftest import Fleet
from tests.cli.drill import STATION, drilled
from tests.manager.station import PretendStation
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

FORMATS = (
    DeviceFormat("MJPG", "640x480", (120.0,)),
    DeviceFormat("MJPG", "1920x1080", (60.0, 30.0)),
    DeviceFormat("YUYV", "enormous", ()),
)
SECONDS = {
    "type": "integer",
    "minimum": 1,
    "maximum": 86400,
    "default": 180,
    "description": "length of a file",
    "unit": "s",
}


def factory(**properties: Any) -> Factory:
    return Factory(2, {"properties": properties, "required": ["source"]}, {})


def said(**more: Any) -> Registration:
    about: dict[str, Any] = {
        "factories": {},
        "blocked_roles": (),
        "broken_roles": {},
        "devices": (),
    }
    return Registration("b", "1", "box", None, (), **about | more)


def stations(**named: Registration) -> tuple[Registered, ...]:
    return registered(named, {})


def test_a_role_is_a_line_with_where_it_can_run() -> None:
    record = {"record": factory()}
    found = stations(
        cam10=said(factories=record),
        cam2=said(factories=record),
        cam3=said(factories=record, blocked_roles=("record",)),
        cam4=said(broken_roles={"mix": "no\x1b[31m module"}),
    )
    assert list(role_lines(found)) == [
        "ROLE    INSTANCES            STATIONS",
        "mix     -                    broken on cam4: no?[31m module",
        "record  at most 2 instances  cam2, cam10; blocked on cam3",
    ]


def test_a_role_is_explained_once_for_each_way_it_is_described() -> None:
    source, length = {"type": "object"}, factory(source={"type": "object"}, seconds=SECONDS)
    command = CommandSchema({"description": "Begin anew.", "properties": {}}, {})
    other = Factory(0, {"properties": {"source": source}, "required": []}, {"cut": command})
    found = stations(
        cam1=said(factories={"record": length}),
        cam2=said(factories={"record": length}),
        cam3=said(factories={"record": other}),
    )
    assert list(role_explained(found, "record")) == [
        "record (at most 2 instances; on cam1, cam2)",
        "  source   table               required",
        "  seconds  integer 1 to 86400  180       length of a file [s]",
        "record (any number of instances; on cam3)",
        "  source  table",
        "  command cut  Begin anew.",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"properties": 5},
        {"properties": {"a": 5}},
        {"properties": {"a": {"enum": 5}}},
        {"properties": {"a": {"anyOf": [5]}}},
        {"properties": {"a": {"description": 5}}},
    ],
)
def test_a_schema_that_is_none_ends_nothing(settings: dict[str, Any]) -> None:
    found = stations(cam1=said(factories={"odd": Factory(1, settings, {})}))
    (line,) = role_explained(found, "odd")
    assert "cannot be understood" in line


def test_a_device_comes_with_the_words_of_the_file() -> None:
    devices = (
        Device("v4l2", "usb-Cam_Link-video-index0", "Cam Link 4K", FORMATS),
        Device("alsa", "Device", "USB Audio"),
        Device("ndi", "x", "Else"),
    )
    found = registered({"b827eb0000a1": said(devices=devices)}, {"b827eb0000a1": "hall1-cam"})
    assert [line.split(None, 1)[1].split("  ")[-1].strip() for line in device_lines(found)][1:] == [
        '{type = "v4l2", device = "usb-Cam_Link-video-index0"}',
        '{type = "alsa", device = "hw:CARD=Device"}',
        "-",
    ]
    assert "  MJPG 1920x1080@60, YUYV enormous  " in list(device_lines(found))[1]
    assert list(device_lines(stations(cam1=said()))) == []


async def test_what_an_agent_can_run_is_explained_from_afar(
    fleet: Fleet, broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path
) -> None:
    found = await fleet("roles")
    assert (found.code, found.out) == (0, "")
    assert "start fleet-agent on a box" in found.err
    await drilled(broker, stranger, programs, tmp_path)
    found = await fleet("roles")
    assert found.code == 0
    assert {"drill", "ingest", "monitor", "record", "stream"} <= {
        line.split()[0] for line in found.lines
    }
    found = await fleet("roles", "drill")
    assert found.lines[0].startswith("drill (")
    assert found.lines[0].endswith(f"; on {STATION})")
    assert "  command echo" in found.lines
    assert "integer 1 to 9" in found.out
    found = await fleet("roles", "record", "--json")
    assert set(json.loads(found.out)[STATION]["factories"]) == {"record"}
    found = await fleet("roles", "recrd")
    assert (found.code, found.out) == (2, "")
    assert "did you mean 'record'?" in found.err


async def test_devices_are_shown_by_station(fleet: Fleet, stranger: Stranger) -> None:
    device = {"kind": "alsa", "id": "Device", "name": "USB Audio"}
    await PretendStation(stranger, "b827eb0000a1").register(devices=[device])
    await PretendStation(stranger, "cam2").register()
    found = await fleet("devices")
    assert (found.code, len(found.lines)) == (0, 2)
    assert '{type = "alsa", device = "hw:CARD=Device"}' in found.out
    found = await fleet("devices", "cam2")
    assert (found.code, found.out) == (0, "")
    assert "no capture device" in found.err
    found = await fleet("devices", "B8:27:EB:00:00:A1")
    assert (found.code, found.out) == (2, "")
    assert "did you mean b827eb0000a1?" in found.err
    found = await fleet("devices", "b827eb0000a1", "--json")
    assert [one["id"] for one in json.loads(found.out)["devices"]] == ["Device"]
