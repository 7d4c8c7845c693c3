"""`fleet check` has every box look for itself, and says what it saw in time."""

import json
import signal
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from tests.cli.conftest import Fleet, Play
from tests.manager.station import apply
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger

TINY = '{type = "test", size = "64x64", rate = 5}'
HOUR = datetime.now(UTC).hour
CLOSED = "03:00-04:00" if 10 < HOUR < 22 else "14:00-15:00"
ROOM = f"""
[rooms.hall1]
hours = ["{CLOSED}"]
[stations.hall1-cam]
id = "b1"
room = "hall1"
where = "tripod, back wall"
roles.stream.main = {{source = {TINY}, target = {{type = "hls", segment_seconds = 1}}}}
[stations.hall1-cam.roles.record.main]
source = {TINY}
segment_seconds = 1
minimum_free_gib = 0
stall_seconds = 120
"""
"""A room that is closed now, so that nobody is missed in it."""


def looks(found: Any) -> dict[str, tuple[int, int]]:
    return {one["name"]: (one["well"], one["of"]) for one in found["looks"]}


@pytest.fixture
def patient(programs: Programs) -> None:
    """A manager that gives a busy machine longer to look."""
    about = "fleet.manager.operations.check"
    programs.instead = {f"{about}._LOOK_SECONDS": 20, f"{about}._ANSWER_SECONDS": 22}


@pytest.mark.long
@pytest.mark.usefixtures("patient")
async def test_a_box_decodes_what_it_recorded_and_a_recorder_that_hangs_is_found(
    fleet: Fleet, manager: Program, broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    found = await fleet("check", "--json")
    assert (found.code, json.loads(found.out)["well"]) == (4, False)
    assert "there is nobody to ask: apply a file first" in found.err
    programs.agent(broker, "b1", "interval = 1.0\n")
    await apply(stranger, ROOM)
    recordings = programs.directory / "b1/recordings"
    await until(lambda: len(list(recordings.glob("*.ts"))) > 2)
    await until(lambda: len(list(recordings.glob("hls/*.ts"))) > 1)
    for _ in range(6):  # a busy machine may write nothing for a while, or not look in time
        found = await fleet("check", "--json")
        result = json.loads(found.out)
        # How this machine itself fares, nobody can say.
        ours = [one for one in result["troubles"] if one["look"] != "health"]
        if not ours:
            break
    assert (ours, found.code) == ([], 3 if result["troubles"] else 0)
    seen = looks(result)
    for name in ("online", "in sync", "sound on every track", "recording", "stream", "clock"):
        assert seen[name] == (1, 1), name
    assert seen["mixer"] == seen["copies"] == (0, 0)

    (recorder,) = (
        one
        for one in psutil.process_iter(["cmdline"])
        if str(recordings / ".b1.record") in " ".join(one.info["cmdline"] or ())
        and "segment" in one.info["cmdline"]
    )
    recorder.send_signal(signal.SIGSTOP)
    try:
        # What it had begun still gets its name, which looks like growing.
        unnamed = ".b1.record.main.*/[0-9]*"
        await until(lambda: recorder.status() == "stopped" and not [*recordings.glob(unnamed)])
        found = await fleet("check", "hall1")
    finally:
        recorder.send_signal(signal.SIGCONT)
    assert found.code == 3
    assert "writes nothing now" in found.out
    line = next(line for line in found.lines if "writes nothing now" in line)
    assert line.split()[:3] == ["look", "hall1", "hall1-cam"]
    assert "(tripod, back wall; fleet logs hall1-cam record/main)" in line
    not_well = [one.split(None, 1)[1] for one in found.lines if one.startswith("not")]
    assert "recording: 0 of 1" in not_well
    found = await fleet("check", "hall9")
    assert (found.code, found.out) == (2, "")
    assert "there is no room 'hall9'" in found.err


async def test_five_rooms_are_asked_at_once_and_told_of_though_no_box_answers(
    fleet: Fleet, play: Play, stranger: Stranger
) -> None:
    text = ""
    for number in range(1, 6):
        await play(f"b{number}")
        text += f"[rooms.hall{number}]\n[stations.hall{number}-cam]\nid = 'b{number}'\n"
        text += f"room = 'hall{number}'\nroles.record.main.source = {TINY}\n"
    await apply(stranger, text + "[rooms.attic]\n")
    found = await fleet("check", "attic")
    assert (found.code, found.out) == (4, "")
    assert "nothing is wanted of a station in attic" in found.err
    # The stranger hears the commands, so that the broker cannot tell that nobody will answer.
    found = await fleet("check", "--json")
    assert found.code == 3
    troubles = json.loads(found.out)["troubles"]
    silent = [one["station"] for one in troubles if "did not look" in one["text"]]
    assert sorted(silent) == [f"hall{number}-cam" for number in range(1, 6)]
    asked = [one.at for one in stranger.heard if one.topic.endswith("/station/look")]
    assert len(asked) == 5
    assert max(asked) - min(asked) < 6, "nobody is waited for before the last is asked"


async def test_without_a_manager_there_is_nobody_to_ask(fleet: Fleet) -> None:
    found = await fleet("check")
    assert (found.code, found.out) == (4, "")
    assert "no manager is online" in found.err
