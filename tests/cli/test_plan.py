"""`fleet plan`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.cli.conference import show_changes
from fleet.model import State
from fleet.operations.plans import Change, PlanResult
from tests.cli.conftest import Fleet, Play
from tests.processes import Program

File = Callable[..., Path]
CAM = ("hall1-cam", "cam1")


async def test_changes_are_lines_and_exit_code_1(
    fleet: Fleet, manager: Program, file: File
) -> None:
    found = await fleet("plan", file(CAM, ("hall1-slides", "slides1")))
    assert found.code == 1
    assert found.lines == ["+ hall1-cam     record/main", "+ hall1-slides  record/main"]
    assert "2 to add" in found.err


async def test_nothing_to_do_is_exit_code_0(fleet: Fleet, manager: Program, file: File) -> None:
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("plan", file(CAM))
    assert (found.code, found.out) == (0, "")
    assert "nothing to do" in found.err


async def test_each_change_says_what_changes_and_what_it_interrupts(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    await fleet("wait")
    found = await fleet("plan", file(CAM, seconds=300))
    assert found.code == 1
    assert found.lines == [
        "~ hall1-cam  record/main  segment_seconds 180 -> 300 (it runs now and is interrupted)"
    ]
    off = file(CAM, extra="roles.record.main.enabled = false\n")
    assert (await fleet("plan", off)).lines == [
        "- hall1-cam  record/main  (it runs now and is interrupted)"
    ]


def test_what_is_only_starting_is_not_said_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    said = [
        Change("a1", "cam", None, "record", name, "-", "", running=True, state=state)
        for name, state in (("a", State.STARTING), ("b", State.BACKOFF), ("c", State.RUNNING))
    ]
    plan = PlanResult(tuple(said), (), ())
    show_changes(plan)
    assert capsys.readouterr().out.splitlines() == [
        "- cam  record/a  (it is starting and is interrupted)",
        "- cam  record/b  (it is to be tried again and is interrupted)",
        "- cam  record/c  (it runs now and is interrupted)",
    ]
    named = "cam record/a (starting)", "cam record/b (backoff)", "cam record/c"
    assert plan.interrupted == named


async def test_a_station_that_only_moves_is_a_change(
    fleet: Fleet, manager: Program, file: File
) -> None:
    path = file(CAM)
    await fleet("apply", "--yes", path)
    path.write_text(path.read_text().replace("hall1]", "hall2]").replace('"hall1"', '"hall2"'))
    found = await fleet("plan", path)
    assert found.code == 1
    assert "room hall1 -> hall2" in found.out


async def test_warnings_are_on_stderr(fleet: Fleet, play: Play, file: File) -> None:
    await play("cam1", blocked_roles=["record"])
    found = await fleet("plan", file(CAM))
    assert found.code == 1
    assert "warning: hall1-cam blocks the role 'record'" in found.err
    assert "warning" not in found.out


async def test_stations_not_in_the_file_are_named(fleet: Fleet, play: Play, file: File) -> None:
    await play("spare")
    found = await fleet("plan", file(CAM))
    assert "spare" in found.err


async def test_every_mistake_is_a_line_with_its_path(
    fleet: Fleet, manager: Program, tmp_path: Path
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        '[stations.hall1-cam]\nid = 7\nroom = "nowhere"\nprofiles = ["none"]\n'
        "[rooms.hall1]\nx = 1\n"
    )
    found = await fleet("plan", path)
    assert found.code == 2
    assert found.out == ""
    for where in (
        "stations.hall1-cam.id: ",
        "stations.hall1-cam.room: ",
        "stations.hall1-cam.profiles.0: ",
        "rooms.hall1.x: ",
    ):
        assert sum(line.startswith(f"{path}: {where}") for line in found.err.splitlines()) == 1


async def test_a_file_that_cannot_be_read_is_exit_code_2(fleet: Fleet, tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none.toml", tmp_path, binary):
        found = await fleet("plan", path)
        assert found.code == 2
        assert str(path) in found.err


async def test_json_is_the_whole_plan(fleet: Fleet, manager: Program, file: File) -> None:
    found = await fleet("plan", "--json", file(CAM))
    assert found.code == 1
    (change,) = json.loads(found.out)["changes"]
    assert (change["action"], change["station"], change["role"]) == ("+", "hall1-cam", "record")
