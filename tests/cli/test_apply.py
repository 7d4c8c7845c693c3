"""`fleet apply` and `fleet wait`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Fleet, Play, rejection
from tests.manager.station import PretendStation
from tests.processes import Program

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
    assert "hall1-cam: record/main is failed" in found.err


async def test_where_nobody_can_be_asked_it_refuses_and_says_what_to_type(
    fleet: Fleet, manager: Program, file: File
) -> None:
    path = file(CAM)
    found = await fleet("apply", path)
    assert found.code == 2
    assert f"fleet apply --yes {path}" in found.err
    assert (await fleet("plan", path)).code == 1, "nothing may have been applied"


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
    found = await fleet("wait", "--timeout", "60", timeout=10)
    assert found.code == 1
    assert "rejected revision 1" in found.err


async def test_wait_says_why_one_lags(fleet: Fleet, play: Play, file: File) -> None:
    station = await play("cam1", obedient=False)
    await asyncio.gather(fleet("apply", "--yes", file(CAM)), failing(station))
    await station.status("backoff")
    found = await fleet("wait", "--timeout", "1")
    assert found.code == 1
    assert "hall1-cam: record/main is backoff" in found.err
