"""`fleet status`, in a pipe and on a terminal."""

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.cli import view
from tests.cli.conftest import FLEET, Fleet, Play, rejection
from tests.processes import Mosquitto, Program, Programs

File = Callable[..., Path]
CAM, SLIDES = ("hall1-cam", "cam1"), ("hall1-slides", "slides1")
HEADER = list(view.header(datetime.now(UTC)))
LONG = "expected 1 to 86400 seconds, " * 20 + "got 0"
ESCAPE = "\x1b"
COLOUR = {"FORCE_COLOR": "1", "NO_COLOR": ""}


async def test_all_well_is_exit_code_0(fleet: Fleet, play: Play, file: File) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("status")
    assert found.code == 0
    assert found.lines[0].split() == HEADER
    cells = found.lines[1].split()
    assert cells[:6] == ["hall1", "hall1-cam", "online", "record", "main", "running"]
    assert cells[7:] == ["0", "1"]
    assert "1 station, all well" in found.err


@pytest.mark.parametrize(
    ("redirection", "said", "code"),
    [
        (">&-", "standard output is closed", 2),
        (">/dev/full", "the output could not be written: No space left on device", 2),
        ("<&- 2>&-", "", 0),
    ],
)
def test_a_shell_that_gives_no_place_to_write_is_told(
    redirection: str, said: str, code: int
) -> None:
    found = subprocess.run(
        ["sh", "-c", f'"$0" --help {redirection}', str(FLEET)], capture_output=True, text=True
    )
    assert found.returncode == code
    assert said in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("buffered", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_whoever_reads_has_seen_enough_and_hears_of_no_error(buffered: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    argv = [str(FLEET), "schedule", "check", "--help" if not buffered else "/dev/null", "--json"]
    with os.fdopen(write, "w") as into:
        found = subprocess.run(
            argv, stdout=into, stderr=subprocess.PIPE, text=True, env={**os.environ, **buffered}
        )
    assert (found.returncode, found.stderr) == (0, "")


async def test_a_real_agent_that_records_is_shown_as_it_is(
    fleet: Fleet, broker: Mosquitto, programs: Programs, manager: Program, tmp_path: Path
) -> None:
    programs.agent(broker, "cam1")
    path = tmp_path / "conference.toml"
    path.write_text(
        '[rooms.hall1]\n[stations.hall1-cam]\nid = "cam1"\nroom = "hall1"\n'
        'roles.record.main.source = {type = "test", size = "320x180", rate = 5}\n'
    )
    await fleet("apply", "--yes", path)
    assert (await fleet("wait")).code == 0
    found = await fleet("status", "--json")
    (station,) = json.loads(found.out)["stations"]
    busy = ["Load"] if found.code else []  # which this machine may be
    assert [one["kind"] for one in station["findings"]] == busy
    assert station["roles"]["record"]["main"]["state"] == "running"
    assert list((tmp_path / "cam1/recordings").rglob("hall1-hall1-cam-main-*.ts"))


async def test_not_well_is_exit_code_3_and_stands_first(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM, SLIDES))
    found = await fleet("status")
    assert found.code == 3
    assert found.lines[1].split()[1] == "hall1-slides"
    assert found.lines[-1].split()[1] == "hall1-cam"


async def test_only_those_that_need_somebody_are_shown_where_that_is_asked(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("status", "--unwell")
    assert (found.code, found.out, found.err) == (0, "", "1 station, all well; sound not watched\n")
    await fleet("apply", "--yes", file(CAM, SLIDES))
    found = await fleet("status", "--unwell")
    assert found.code == 3
    assert found.lines[1].split()[1] == "hall1-slides"
    assert "hall1-cam" not in found.out
    assert found.err == "2 stations, 1 not well; sound not watched\n"
    found = await fleet("status", "--unwell", "--json")
    assert [one["name"] for one in json.loads(found.out)["stations"]] == ["hall1-slides"]


async def test_on_a_terminal_41_stations_leave_the_worst_in_view(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM, *((f"hall1-{n}", f"box{n}") for n in range(40))))
    code, seen = await fleet.on_terminal("status", columns=80)
    assert code == 3
    seen = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    lines = seen.splitlines()
    assert len(lines) < 12, seen
    assert max(map(len, lines)) <= 80
    assert "40 stations never heard yet: hall1-0, hall1-1, hall1-2, hall1-3 and 36 more" in seen
    assert "hall1-cam" in seen
    assert len((await fleet("status")).lines) > 40, "a pipe gets them all"


async def test_rooms_are_summed_up_first_those_that_need_somebody_before_the_others(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    two = '[rooms.{0}]\n[stations.{0}-cam]\nid = "{1}"\nroom = "{0}"\n'
    extra = two.format("hall2", "cam2") + two.format("auditorium", "cam3")
    await play("cam3")
    await fleet("apply", "--yes", file(CAM, extra=extra))
    expected = [
        "hall2       1 station, 1 not well",
        "hall1       1 station, all well; sound not watched",
        "auditorium  1 station, all well",
    ]
    found = await fleet("status")
    assert found.err.splitlines() == [*expected, "3 stations, 1 not well"]
    assert found.lines[0].split() == HEADER, "the table alone goes down a pipe"
    _, seen = await fleet.on_terminal("status", columns=160)
    shown = [line.rstrip() for line in seen.splitlines()]
    assert shown[:3] == expected
    assert "ROOM" in shown[3]
    found = await fleet("status", "hall1")
    assert found.err.splitlines() == ["1 station, all well; sound not watched"], (
        "one room needs no sum of rooms"
    )


async def test_all_times_are_in_the_conferences_zone_and_say_so(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    zone = '[conference]\ntimezone = "Asia/Kathmandu"\n'
    await fleet("apply", "--yes", file(CAM, extra=zone), env={"TZ": "America/New_York"})
    found = await fleet("status")
    assert "SINCE(+0545)" in found.lines[0]
    assert json.loads((await fleet("status", "--json")).out)["timezone"] == "Asia/Kathmandu"
    for what in (("history",), ("history", "hall1-cam")):
        assert (await fleet(*what)).lines[-1].split()[0].endswith("+05:45")
    assert " +0545" in (await fleet("show", "hall1-cam")).lines[0]
    assert " +0545: done" in (await fleet("rollout")).err
    told = await fleet("maintenance", "hall1-cam", "on", "--for", "30m")
    assert " +0545" in told.out + told.err
    (station,) = json.loads((await fleet("status", "--json")).out)["stations"]
    assert re.search(r"until (\w{3} )?\d\d:\d\d \+0545", station["note"])


async def test_one_room_or_one_station_can_be_asked_for(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    path = file(CAM, extra='[rooms.hall2]\n[stations.hall2-cam]\nid = "cam2"\nroom = "hall2"\n')
    await fleet("apply", "--yes", path)
    for name in ("hall1", "hall1-cam", "cam1"):
        found = await fleet("status", name)
        assert found.code == 0
        assert [line.split()[1] for line in found.lines] == ["STATION", "hall1-cam"]
    found = await fleet("status", "hall1-cma")
    assert found.code == 2
    assert "did you mean hall1-cam?" in found.err


async def rejected(fleet: Fleet, play: Play, path: Path, message: str) -> None:
    station = await play("cam1", obedient=False)

    async def reject() -> None:
        config = await station.config()
        await station.ack(config["revision"], "rejected", rejection(message))

    await asyncio.gather(fleet("apply", "--yes", path), reject())


async def test_a_rejection_stands_under_its_station_and_is_never_cut_in_a_pipe(
    fleet: Fleet, play: Play, file: File
) -> None:
    await rejected(fleet, play, file(CAM), LONG)
    found = await fleet("status", env={"COLUMNS": "40"})
    assert found.code == 3
    assert found.lines[1].split()[1] == "hall1-cam"
    assert "-/1" in found.lines[1].split()
    assert found.lines[2].strip() == (
        f"rejected 1: InvalidConfiguration record/main /segment_seconds: {LONG}"
    )


async def test_a_pipe_gets_no_colour_even_if_asked_for(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    found = await fleet("apply", "--yes", file(CAM), env=COLOUR)
    assert ESCAPE not in found.out + found.err
    found = await fleet("status", env=COLOUR)
    assert ESCAPE not in found.out + found.err


async def test_what_a_station_says_cannot_steer_the_terminal(
    fleet: Fleet, play: Play, file: File
) -> None:
    await rejected(fleet, play, file(CAM), f"{ESCAPE}[2Jgone\nnext line [bold]")
    found = await fleet("status")
    assert ESCAPE not in found.out
    assert found.lines[2].endswith("?[2Jgone | next line [bold]")


async def test_a_terminal_of_80_columns_shows_all_within_them(
    fleet: Fleet, play: Play, file: File
) -> None:
    await rejected(fleet, play, file(CAM), LONG)
    code, seen = await fleet.on_terminal("status", columns=80)
    assert code == 3
    assert ESCAPE in seen
    text = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert max(map(len, text.splitlines())) <= 80
    assert LONG in " ".join(text.split())


async def test_a_wide_terminal_has_every_column_and_no_colour_means_none(
    fleet: Fleet, play: Play, file: File
) -> None:
    await rejected(fleet, play, file(CAM), "no")
    _, seen = await fleet.on_terminal("status", columns=160, env={"NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", seen)
    assert re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()[0].split() == HEADER


async def test_json_has_what_scripts_rely_on(fleet: Fleet, play: Play, file: File) -> None:
    await rejected(fleet, play, file(CAM), "no")
    found = await fleet("status", "--json")
    assert found.code == 3
    value = json.loads(found.out)
    assert value["in_sync"] is False
    (station,) = value["stations"]
    expected = {"id": "cam1", "name": "hall1-cam", "room": "hall1", "presence": "online"}
    assert expected.items() <= station.items()
    assert {"wanted": 1, "running": 0, "in_sync": False}.items() <= station.items()
    assert station["problems"][0]["path"] == "/segment_seconds"
    assert station["roles"]["record"]["main"]["state"] == "stopped"


async def test_a_spare_station_that_left_makes_nobody_unwell(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    spare = await play("spare")
    await spare.presence("offline")
    await fleet("apply", "--yes", file(CAM))
    assert (await fleet("status")).code == 0
    assert (await fleet("wait", "--timeout", "0")).code == 0


async def test_watch_shows_each_change_until_it_is_interrupted(
    fleet: Fleet, play: Play, file: File
) -> None:
    station = await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    process = await asyncio.create_subprocess_exec(
        *(FLEET, "status", "--watch"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=fleet.environment({}),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            await process.stdout.readuntil(b" running ")
            await station.status("backoff")
            await process.stdout.readuntil(b" backoff ")
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert err == b""


async def test_names_are_completed_and_a_missing_manager_is_silent(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM, SLIDES))
    await fleet.offers("fleet status hall1-", {"hall1-cam", "hall1-slides"})
    await fleet.offers("fleet status hall1-", (), FLEET_BROKER="mqtt://127.0.0.1:1")
