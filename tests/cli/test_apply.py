"""`fleet apply` and `fleet wait`."""

import asyncio
import json
import shlex
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Fleet, Play, rejection
from tests.manager.station import PretendStation, ask
from tests.processes import Program
from tests.stranger import Stranger

File = Callable[..., Path]
CAM = ("hall1-cam", "cam1")
SLIDES = ("hall1-slides", "slides1")


async def reject(station: PretendStation) -> None:
    config = await station.config()
    await station.ack(config["revision"], "rejected", rejection())


async def failing(station: PretendStation, state: str = "failed") -> None:
    config = await station.config()
    station.revision, station.roles = config["revision"], config["roles"]
    await station.ack()
    await station.status(state)


async def test_online_stations_in_sync_are_exit_code_0(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    found = await fleet("apply", "--yes", file(CAM))
    assert found.code == 0
    assert found.lines == ["+ hall1-cam  record/main"]
    assert "1 of 1 station in sync" in found.err


async def test_a_station_that_is_away_is_pending_and_no_failure(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    found = await fleet("apply", "--yes", file(CAM, SLIDES))
    assert found.code == 0
    assert "pending: hall1-slides" in found.err


async def test_a_rejection_is_exit_code_1_and_told(fleet: Fleet, play: Play, file: File) -> None:
    station = await play("cam1", obedient=False)
    found, _ = await asyncio.gather(fleet("apply", "--yes", file(CAM)), reject(station))
    assert found.code == 1
    assert "hall1-cam: rejected revision 1: InvalidConfiguration record/main" in found.err
    assert "/segment_seconds: expected 1 to 86400, got 0" in found.err


async def test_an_instance_that_fails_is_exit_code_1(fleet: Fleet, play: Play, file: File) -> None:
    station = await play("cam1", obedient=False)
    found, _ = await asyncio.gather(fleet("apply", "--yes", file(CAM)), failing(station))
    assert found.code == 1
    assert "hall1-cam: record/main failed" in found.err


async def test_where_nobody_can_be_asked_it_refuses_and_says_what_to_type(
    fleet: Fleet, manager: Program, file: File
) -> None:
    path = file(CAM)
    found = await fleet("apply", path)
    assert found.code == 2
    assert f"fleet apply {path} --yes" in found.err
    assert (await fleet("plan", path)).code == 1, "nothing may have been applied"


async def test_what_it_says_to_type_keeps_every_option_given(
    fleet: Fleet, manager: Program, file: File
) -> None:
    path = file(CAM, SLIDES)
    given = ("--prefix", "fleet", "apply", "--room", "hall1", "-m", "doors open", str(path))
    found = await fleet(*given)
    assert found.code == 2
    assert f"type: {shlex.join(('fleet', *given, '--yes'))}" in found.err
    path.write_text("[rooms")
    found = await fleet("--prefix", "fleet", "plan", path)
    assert f"then: fleet --prefix fleet validate {path}" in found.err


async def test_what_validate_refuses_is_refused_and_can_be_forced(
    fleet: Fleet, play: Play, file: File, stranger: Stranger
) -> None:
    await play("cam1", blocked_roles=["record"])
    path = file(CAM, extra="roles.hoist.main = {}\n")
    assert (await fleet("validate", path)).code == 1
    found = await fleet("apply", "--yes", path)
    assert found.code == 2
    assert "warning: hall1-cam blocks the role 'record'" in found.err
    assert (
        f"hall1-cam would refuse it; fix the file, or type: fleet apply --yes {path} --force"
        in found.err
    )
    error = (await ask(stranger, "apply", text=path.read_text(), name="f.toml"))["error"]
    assert error["type"] == "InvalidConfiguration"
    assert [one["path"] for one in error["problems"]] == [
        "stations.hall1-cam.roles.record",
        "stations.hall1-cam.roles.hoist",
    ]
    assert json.loads((await fleet("status", "--json")).out)["stations"][0]["wanted"] is None
    assert (await fleet("apply", "--yes", "--force", path)).code == 0
    assert (await fleet("apply", "--yes", path)).code == 0, "nothing changes, so nobody is asked"


async def test_a_setting_that_a_station_never_heard_would_refuse_is_refused(
    fleet: Fleet, manager: Program, file: File, stranger: Stranger
) -> None:
    path = file(CAM, SLIDES, extra="roles.record.main.segment_seconds = 180.0\n")
    for command in (("validate", path), ("plan", path), ("apply", "--yes", path)):
        found = await fleet(*command)
        assert "/segment_seconds" in found.out + found.err
        assert "expected a whole number, got 180.0" in found.out + found.err
        assert found.code == {"validate": 1, "plan": 1, "apply": 2}[str(command[0])]
    found = await fleet("apply", "--yes", "--station", "hall1-cam", path)
    assert found.code == 0, "this part of the file is right"


async def test_on_a_terminal_it_asks(fleet: Fleet, manager: Program, file: File) -> None:
    path = file(CAM)
    code, seen = await fleet.on_terminal("apply", path, types="n\n")
    assert code == 1
    assert "Apply? [y/N]" in seen
    assert "nothing was applied" in seen
    code, seen = await fleet.on_terminal("apply", path, types="y\n")
    assert code == 0
    assert "pending: hall1-cam" in seen
    code, seen = await fleet.on_terminal("apply", path)
    assert code == 0
    assert "Apply?" not in seen, "there is nothing to ask about"


async def test_a_file_with_mistakes_is_exit_code_2_and_applies_nothing(
    fleet: Fleet, manager: Program, file: File
) -> None:
    path = file(CAM, extra="colour = 1\n")
    found = await fleet("apply", "--yes", path)
    assert found.code == 2
    assert "stations.hall1-cam.colour" in found.err
    assert json.loads((await fleet("status", "--json")).out)["stations"] == []


async def test_json_has_plan_revisions_and_stations(fleet: Fleet, play: Play, file: File) -> None:
    await play("cam1")
    found = await fleet("apply", "--yes", "--json", file(CAM))
    assert found.code == 0
    value = json.loads(found.out)
    assert value["revisions"] == {"cam1": 1}
    assert value["in_sync"] is True
    assert value["stations"][0]["name"] == "hall1-cam"
    assert value["plan"]["changes"][0]["action"] == "+"


async def test_wait_ends_with_0_once_all_are_in_sync(fleet: Fleet, play: Play, file: File) -> None:
    await fleet("apply", "--yes", file(CAM))
    waiting = asyncio.create_task(fleet("wait", "--timeout", "20"))
    await play("cam1")
    assert (await waiting).code == 0


async def test_wait_counts_stations_that_are_away(fleet: Fleet, play: Play, file: File) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM, SLIDES))
    found = await fleet("wait", "--timeout", "0.5")
    assert found.code == 1
    assert "hall1-slides: never heard of" in found.err
    assert "hall1-cam" not in found.err
    assert "1 of 2 stations not in sync after 0.5 s" in found.err


async def test_wait_ends_at_once_when_one_rejects(fleet: Fleet, play: Play, file: File) -> None:
    station = await play("cam1", obedient=False)
    await asyncio.gather(fleet("apply", "--yes", file(CAM)), reject(station))
    found = await fleet("wait", "--timeout", "300")
    assert found.code == 1
    assert "rejected revision 1" in found.err


async def test_wait_says_why_one_lags(fleet: Fleet, play: Play, file: File) -> None:
    station = await play("cam1", obedient=False)
    await asyncio.gather(fleet("apply", "--yes", file(CAM)), failing(station))
    await station.status("backoff")
    found = await fleet("wait", "--timeout", "1")
    assert found.code == 1
    assert "hall1-cam: record/main is backoff" in found.err
