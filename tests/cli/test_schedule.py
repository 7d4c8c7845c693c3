"""`fleet schedule`, as somebody types it."""

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.cli.conftest import Fleet
from tests.manager.station import apply, conference
from tests.processes import Mosquitto, Programs
from tests.schedule.publish import HOUR, MINUTE, event, published
from tests.stranger import Stranger


async def test_talks_are_shown_and_a_schedule_is_checked_before_it_is_used(
    broker: Mosquitto, stranger: Stranger, programs: Programs, fleet: Fleet, tmp_path: Path
) -> None:
    manager = programs.manager(broker)
    await manager.says("connected;")
    said = await fleet("schedule")
    assert (said.code, said.out) == (0, "")
    assert "has no [schedule]" in said.err

    now = datetime.now(UTC)
    talks = [event(1, now, title="Opening"), event(2, now + HOUR, do_not_record=True)]
    used, new = tmp_path / "used.json", tmp_path / "new.json"
    used.write_bytes(published({"Hall 1": talks}, time_zone_name="UTC"))
    text = conference(("hall1-cam", "cam1")).replace(
        "[rooms.hall1]", f'[schedule]\nfile = "{used}"\n[rooms.hall1]\ntitle = "Hall 1"'
    )
    await apply(stranger, text)
    await manager.says("the schedule has changed")
    said = await fleet("schedule", "hall1")
    assert said.code == 0
    assert said.lines[0].split() == ["DAY", "DATE", "TIME(UTC)", "ROOM", "TALK"]
    assert said.lines[1].endswith("hall1  Opening")
    assert said.lines[2].endswith("hall1  Talk 2 (not to be recorded)")
    assert f"DemoCon, version 1, from {used}, good at " in said.err
    assert len((await fleet("schedule", "--day", "1")).lines) == 3
    said = await fleet("schedule", "--day", f"{now:%Y-%m-%d}")
    assert said.lines[1].endswith("hall1  Opening"), "a day as the table has it"
    said = await fleet("schedule", "--day", "7")
    assert (said.code, said.out) == (2, "")
    assert "the days with talks are: 1 (2026-02-01)" in said.err
    status = await fleet("status")
    assert 'hall1  now "Opening" until' in status.err
    assert 'next "Talk 2" at' in status.err
    found = json.loads((await fleet("schedule", "--json")).out)
    assert [one["title"] for one in found["talks"]] == ["Opening", "Talk 2"]

    new.write_bytes(published({"Hall 1": [talks[0], talks[1] | {"title": "Better"}]}))
    said = await fleet("schedule", "check", new)
    assert (said.code, len(said.lines)) == (0, 1)
    assert said.out.startswith('renamed: "Talk 2" is now "Better"')
    new.write_bytes(published({"Hall 1": talks, "Bar": [event(3, now - 3 * MINUTE)]}))
    said = await fleet("schedule", "check", new)
    assert said.code == 1
    assert "nobody knows its room 'Bar'" in said.err
    new.write_bytes(published({"Hall 1": [event(1, duration="135.0:00")]}))
    said = await fleet("schedule", "check", new)
    assert said.code == 1
    assert f'{new}: Hall 1: "Talk 1": its duration is "135.0:00"' in said.err
    said = await fleet("schedule", "check", tmp_path / "nowhere.json")
    assert said.code == 1
    assert "No such file" in said.err
