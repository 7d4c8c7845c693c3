"""From a real recording to the receipt of its talk: agent, wire, manager, command."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Fleet
from tests.manager.station import apply
from tests.processes import Mosquitto, Programs
from tests.schedule.publish import event, published
from tests.stranger import Stranger

FILE = """
[schedule]
file = "{place}"
[rooms.hall1]
[stations.hall1-cam]
id = "cam1"
room = "hall1"
roles.record.main = {{source = {{type = "test", size = "320x180", rate = 10}}, segment_seconds = 2}}
"""

IDLE = """
from fleet.agent.recordings import keeper
keeper._busy = lambda: (0.0, 0.0)
"""
"""Tests beside this one may have all of the processors, and then nothing is read back."""


@pytest.mark.long
async def test_a_talk_that_was_just_recorded_has_its_files_read_back(
    broker: Mosquitto, stranger: Stranger, programs: Programs, fleet: Fleet, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    place = tmp_path / "schedule.json"
    place.write_bytes(published({"hall1": [event(1, now - timedelta(minutes=1), title="Opening")]}))
    programs.instead = {"fleet.agent.recordings.keeper.LOOK_SECONDS": 1}
    programs.manager(broker)
    copies = tmp_path / "copies"
    (roles := tmp_path / "roles").mkdir()
    (roles / "idle.py").write_text(IDLE)
    settings = f'recordings = "{copies / "hall1"}"\nroles_dir = "{roles}"\n'
    programs.agent(broker, "cam1", settings)
    await apply(stranger, FILE.format(place=place))
    await stranger.expect(
        "fleet/v1/station/cam1/segment", lambda said: said["number"] > 1 and said["check"]
    )
    async with asyncio.timeout(120):
        while True:
            said = await fleet("receipt", "guid-1", "--json")
            found = json.loads(said.out) if said.code == 0 else {"coverage": []}  # no schedule yet
            best = found["coverage"][0] if found["coverage"] else None
            if best and len(best["files"]) >= 2 and best["unread"] < len(best["files"]):
                break
            await asyncio.sleep(0.5)
    assert (found["verdict"], found["why"]) == (None, "goes on")
    assert (best["station"], best["instance"]) == ("hall1-cam", "record/main")
    assert best["files"][0].endswith(".ts")
    assert best["findings"] == []
    assert [gap["why"] for gap in best["gaps"]] == [
        "nothing was recorded yet",
        "no file of it is closed yet",
    ]

    said = await fleet("cutlist", "guid-1", "--format", "ffconcat", "--directory", copies)
    assert said.code == 3
    assert "are not in record/main of hall1-cam" in said.err
    (written,) = await asyncio.to_thread(lambda: list(copies.glob("*.ffconcat")))
    take = ("-f", "concat", "-safe", "0", "-i", str(written), "-c", "copy", "-f", "framecrc", "-")
    ffmpeg = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", *take), stdout=asyncio.subprocess.PIPE
    )
    packets, _ = await ffmpeg.communicate()
    assert ffmpeg.returncode == 0
    assert packets.count(b"\n0,") >= 20
