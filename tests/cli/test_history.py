"""What was and is: history, show, diff, export, validate; and what is said of rooms."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Fleet, Play
from tests.processes import Program

File = Callable[..., Path]
CAM = ("hall1-cam", "cam1")
SLIDES = ("hall1-slides", "slides1")


async def test_the_past_of_a_station_is_shown_by_its_name_or_id(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", "-m", "first", file(CAM))
    await fleet("apply", "--yes", "--interrupt", file(CAM, seconds=60))
    for name in ("hall1-cam", "cam1"):
        found = await fleet("history", name, "--json")
        events = json.loads(found.out)["events"]
        revisions = [one for one in events if one["kind"] == "revision"]
        assert [(one["number"], one["text"]) for one in revisions] == [(1, "+1; first"), (2, "~1")]
        assert {"accepted", "online"} <= {one["kind"] for one in events}
    shown = await fleet("show", "hall1-cam", "--revision", "1")
    assert shown.code == 0
    assert shown.lines[0].startswith("# hall1-cam (cam1): revision 1 by anonymous at ")
    assert shown.lines[0].endswith(" UTC: first")
    assert shown.lines[1:] == [
        "[roles.record.main]",
        'source = {type = "test"}',
        "segment_seconds = 180",
    ]
    assert json.loads((await fleet("show", "cam1", "--json")).out)["revision"] == 2
    differs = await fleet("diff", "hall1-cam", "1", "2")
    assert (differs.code, differs.lines) == (
        1,
        ["~ hall1-cam  record/main  segment_seconds 180 -> 60"],
    )
    missing = await fleet("show", "hall1-cam", "--revision", "9")
    assert missing.code == 2
    assert "hall1-cam never had a revision 9; fleet history hall1-cam" in missing.err
    missing = await fleet("history", "hall1-cma")
    assert missing.code == 2
    assert "did you mean 'hall1-cam'?" in missing.err


async def test_who_retired_a_station_is_told(fleet: Fleet, play: Play, file: File) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    assert (await fleet("retire", "hall1-cam", "--force")).code == 0
    (line,) = [one for one in (await fleet("history")).lines if one.split()[1] == "retired"]
    assert line.split()[1:] == ["retired", "-", "anonymous", "hall1-cam"]
    (line,) = [one for one in (await fleet("history", "cam1")).lines if one.split()[1] == "retired"]
    assert line.split()[1:] == ["retired", "-", "anonymous"]


async def test_what_is_exported_and_applied_changes_nothing(
    fleet: Fleet, play: Play, file: File, tmp_path: Path
) -> None:
    await play("cam1")
    extra = 'where = "left {{of}} the door"\nseat = "slides"\n'
    await fleet("apply", "--yes", file(CAM, SLIDES, extra=extra))
    exported = await fleet("export")
    assert exported.code == 0
    again = tmp_path / "export.toml"
    again.write_text(exported.out)
    plan = await fleet("plan", again)
    assert (plan.code, plan.out) == (0, "")
    assert (await fleet("apply", "--yes", again)).code == 0
    assert json.loads((await fleet("export", "--json")).out)["left_out"] == []


async def test_a_file_is_compared_with_what_the_stations_say_they_take(
    fleet: Fleet, play: Play, file: File
) -> None:
    schema = {
        "type": "object",
        "properties": {"segment_seconds": {"type": "integer", "maximum": 100}},
        "required": [],
    }
    factories = {"record": {"instances": 0, "settings": schema, "commands": {}}}
    await play("cam1", factories=factories)
    path = file(CAM, SLIDES)
    found = await fleet("validate", path)
    assert found.code == 1
    assert found.lines == [
        "hall1-cam: InvalidConfiguration record/main /segment_seconds: expected at most 100, "
        "got 180"
    ]
    assert (
        "never heard from, so only roles that come with fleet were judged: hall1-slides"
        in found.err
    )
    assert "hall1-cam record/main /segment_seconds" in (await fleet("plan", path)).err
    assert (await fleet("validate", file(CAM, SLIDES, seconds=99))).code == 0
    found = await fleet("validate", file(CAM, extra="colour = 1\n"), "--json")
    assert found.code == 1
    assert json.loads(found.out)["mistakes"][0]["path"] == "stations.hall1-cam.colour"


async def test_talks_and_maintenance_are_said_and_taken_back(
    fleet: Fleet, manager: Program, file: File
) -> None:
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("maintenance", "hall1-cam", "on", "--for", "30m")
    assert found.code == 0
    assert "maintenance of the station hall1-cam is on until " in found.err
    assert "maintenance until" in (await fleet("status")).out
    found = await fleet("maintenance", "hall1-cam", "off", "--json")
    assert json.loads(found.out) == {
        "kind": "station",
        "name": "hall1-cam",
        "state": "off",
        "until": None,
        "timezone": "UTC",
    }
    assert "talk in hall1: on until" in (await fleet("talk", "hall1", "on")).err
    assert "talk in hall1: auto" in (await fleet("talk", "hall1", "auto")).err
    found = await fleet("talk", "hall2", "on")
    assert found.code == 2
    assert "no room 'hall2' (did you mean 'hall1'?)" in found.err
    found = await fleet("maintenance", "hall1", "on", "--for", "soon")
    assert found.code == 2
    assert "30m" in found.err


async def test_a_station_is_retired_and_adopted_by_name(
    fleet: Fleet, play: Play, file: File
) -> None:
    station = await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("retire", "hall1-cam")
    assert found.code == 2
    assert "add --force" in found.err
    await station.presence("offline")
    found = await fleet("retire", "hall1-cam")
    assert found.code == 0
    assert "fleet history cam1" in found.err
    assert json.loads((await fleet("status", "--json")).out)["stations"] == []
    station.epoch += 1
    await station.come_online()
    found = await fleet("adopt", "cam1", "--json")
    assert (found.code, json.loads(found.out)["revision"]) == (0, 2)


async def test_several_are_retired_at_once_and_one_that_cannot_be_stops_no_other(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await play("online1")
    await fleet("apply", "--yes", file(CAM, ("hall1-slides", "never1"), ("hall1-on", "online1")))
    found = await fleet("retire", "nobody", "hall1-on", "hall1-slides", "hall1-slides", "--json")
    assert found.code == 2
    assert "there is no station 'nobody'" in found.err
    assert "add --force" in found.err
    assert [json.loads(line)["id"] for line in found.lines] == ["never1"]
    left = json.loads((await fleet("status", "--json")).out)["stations"]
    assert {one["id"] for one in left} == {"cam1", "online1"}


async def test_names_are_completed_for_each_command(
    fleet: Fleet, manager: Program, file: File
) -> None:
    await fleet("apply", "--yes", file(CAM, SLIDES))
    for words, expected in (
        ("fleet show hall1-", {"hall1-cam", "hall1-slides"}),
        ("fleet talk h", {"hall1"}),
        ("fleet maintenance hall1", {"hall1", "hall1-cam", "hall1-slides"}),
    ):
        await fleet.offers(words, expected)
