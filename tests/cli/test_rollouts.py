"""`fleet apply` with its options, `fleet rollout`, `fleet rollback`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Fleet, Play, rejection
from tests.manager.station import PretendStation, ask
from tests.processes import Programs
from tests.stranger import Stranger

File = Callable[..., Path]
CAM = ("hall1-cam", "cam1")
SLIDES = ("hall1-slides", "slides1")
SOON_OVER = {"fleet.cli.rolling._AFTERWARDS": 0.5}
"""How long the command looks at stations that never settle once a rollout was stopped."""


async def reject(station: PretendStation, revision: int) -> None:
    await station.config(revision)
    await station.ack(revision, "rejected", rejection())


async def test_batches_stop_at_the_first_rejection_and_what_was_begun_is_put_back(
    fleet: Fleet, play: Play, file: File, programs: Programs
) -> None:
    programs.instead = SOON_OVER
    await play("cam1")
    bad = await play("slides1", obedient=False)
    path = file(CAM, SLIDES)
    applying = fleet(
        *("apply", "--yes", "--batch", "1", "--rollback-on-failure", "-m", "doors open", path)
    )
    found, _ = await asyncio.gather(applying, reject(bad, 1))
    assert found.code == 1
    assert "rollout 1 failed, and what it changed is put back: hall1-slides" in found.err
    assert "expected 1 to 86400, got 0" in found.err or "rejected: 1 problem" in found.err
    history = await fleet("history")
    assert history.code == 0
    assert history.lines[0].split() == ["AT", "WHAT", "NUMBER", "BY", "DETAIL"]
    assert "apply  1       anonymous" in history.lines[1]
    assert "2 stations, undone" in history.lines[1]
    assert "doors open" in history.lines[1]


async def test_a_running_one_is_shown_named_to_others_and_can_be_stopped(
    fleet: Fleet, play: Play, file: File, programs: Programs
) -> None:
    programs.instead = SOON_OVER
    station = await play("cam1", obedient=False)
    path = file(CAM, SLIDES)
    applying = asyncio.create_task(fleet("apply", "--yes", "--batch", "1", path))
    await station.config(1)
    second = await fleet("apply", "--yes", path)
    assert second.code == 2
    assert f"rollout 1 of {path} by anonymous at " in second.err
    assert "is running (0 of 2 stations so far)" in second.err
    shown = await fleet("rollout")
    assert [line.split()[1:4] for line in shown.lines[1:]] == [
        ["hall1-cam", "1", "begun"],
        ["hall1-slides", "-", "waiting"],
    ]
    assert f"apply 1 of {path} by anonymous" in shown.err
    stopped = await fleet("rollout", "--stop", "--json")
    assert json.loads(stopped.out)["rollout"]["phase"] == "stopped"
    first = await applying
    assert first.code == 1
    assert "rollout 1 ended early: stopped by anonymous" in first.err
    assert "not begun: hall1-slides" in first.err


async def test_yes_does_not_interrupt_a_recording_and_interrupt_does(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    assert (await fleet("apply", "--yes", file(CAM))).code == 0
    path = file(CAM, seconds=60)
    found = await fleet("apply", "--yes", path)
    assert found.code == 2
    assert "this interrupts what is recording now: hall1-cam record/main" in found.err
    assert f"type: fleet apply --yes {path} --interrupt" in found.err
    code, seen = await fleet.on_terminal("apply", "--yes", path, types="n\n")
    assert code == 1
    assert "Interrupt 1 recording? [y/N]" in seen
    assert "recording right now: hall1-cam record/main" in seen
    assert (await fleet("apply", "--yes", "--interrupt", path)).code == 0
    back = await fleet("rollback", "hall1-cam", "--yes")
    assert back.code == 2
    assert "fleet rollback hall1-cam --yes --interrupt" in back.err
    back = await fleet("rollback", "cam1", "--yes", "--interrupt", "--json")
    assert back.code == 0
    value = json.loads(back.out)
    assert value["revisions"] == {"cam1": 3}
    assert value["rollout"]["kind"] == "rollback"
    assert (await fleet("diff", "hall1-cam", "1", "3")).code == 0


FED = """
[rooms.hall1]
[stations.hall1-cam]
id = "cam1"
room = "hall1"
roles.ingest.main = {{picture = {{type = "test"}}, rate = {rate}}}
roles.record.main.source = {{role = "ingest"}}
[stations.hall1-rec]
id = "rec1"
room = "hall1"
roles.record.main.source = {{role = "ingest", station = "hall1-cam"}}
roles.record.main.stall_seconds = {stall}
roles.monitor.main.source = {{role = "ingest", station = "hall1-cam"}}
roles.record.test.source = {{type = "test"}}
"""


async def test_yes_does_not_cut_a_recording_off_from_its_source_on_any_station(
    fleet: Fleet, play: Play, tmp_path: Path
) -> None:
    await play("cam1")
    await play("rec1")
    path = tmp_path / "fed.toml"
    path.write_text(FED.format(rate=25, stall=15))
    assert (await fleet("apply", "--yes", path)).code == 0
    path.write_text(FED.format(rate=30, stall=20).replace("-rec]", "-tape]"))
    found = await fleet("plan", path)
    assert "hall1-rec" not in found.out.replace("name hall1-rec -> hall1-tape", "") + found.err
    assert "hall1-cam ingest/main" in found.err  # it keeps a copy: a recording
    path.write_text(FED.format(rate=30, stall=20))
    cut = "its source hall1-cam ingest/main changes (it runs now and is interrupted)"
    found = await fleet("apply", "--yes", "--station", "hall1-cam", path)
    assert found.code == 2
    assert found.lines == [
        "~ hall1-cam  ingest/main   rate 25 -> 30 (it runs now and is interrupted)",
        f"! hall1-cam  record/main   {cut}",
        f"! hall1-rec  monitor/main  {cut}",
        f"! hall1-rec  record/main   {cut}",
    ]
    assert "1 to change, 3 to interrupt" in found.err
    assert (
        "this interrupts what is recording now: hall1-cam ingest/main, hall1-cam record/main, "
        "hall1-rec record/main" in found.err
    )
    assert f"type: fleet apply --yes --station hall1-cam {path} --interrupt" in found.err
    found = await fleet("apply", "--yes", "--station", "hall1-rec", path)
    assert (found.code, found.lines) == (0, ["~ hall1-rec  record/main  stall_seconds 15 -> 20"])
    assert (await fleet("apply", "--yes", "--interrupt", path)).code == 0
    back = await fleet("rollback", "hall1-cam", "--yes")
    assert back.code == 2
    assert f"! hall1-rec  record/main   {cut}" in back.lines
    assert "fleet rollback hall1-cam --yes --interrupt" in back.err


async def test_a_dry_run_changes_nothing_and_an_old_plan_is_refused(
    fleet: Fleet, play: Play, file: File, stranger: Stranger
) -> None:
    await play("cam1")
    path = file(CAM)
    found = await fleet("apply", "--dry-run", path)
    assert (found.code, found.lines) == (0, ["+ hall1-cam  record/main"])
    plan = json.loads((await fleet("apply", "--dry-run", "--json", path)).out)
    assert plan["revision"] == 0
    assert (await fleet("apply", "--yes", "--check-revision", "0", path)).code == 0
    found = await fleet("apply", "--yes", "--check-revision", "0", path)
    assert found.code == 2
    assert "somebody applied in between" in found.err
    reply = await ask(stranger, "rollout")
    assert reply["result"]["rollout"]["number"] == 1


async def test_only_the_room_or_station_asked_for_is_applied_and_judged(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    path = file(CAM, SLIDES)
    found = await fleet("apply", "--yes", "--station", "hall1-cam", path)
    assert found.code == 0
    assert "1 of 1 station in sync" in found.err
    assert "slides" not in found.out
    found = await fleet("apply", "--yes", "--room", "hall9", path)
    assert found.code == 2
    assert "no room 'hall9' (did you mean 'hall1'?)" in found.err


async def test_everything_is_put_back_as_it_was_before_or_after_a_rollout(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    await play("slides1")
    for seconds in (180, 60, 30):
        await fleet("apply", "--yes", "--interrupt", file(CAM, SLIDES, seconds=seconds))
    found = await fleet("rollback", "--all", "--dry-run")
    assert found.lines[0].split("  ")[-1].startswith("segment_seconds 30 -> 60")
    assert (await fleet("rollback", "--all", "--to", "1", "--yes", "--interrupt")).code == 0
    for station in ("hall1-cam", "slides1"):
        assert "segment_seconds = 180" in (await fleet("show", station)).out
    found = await fleet("rollback")
    assert found.code == 2
    assert "fleet rollback --all" in found.err


async def test_on_a_terminal_it_is_shown_how_far_it_is(
    fleet: Fleet, play: Play, file: File
) -> None:
    await play("cam1")
    code, seen = await fleet.on_terminal("apply", file(CAM), types="y\n")
    assert code == 0
    assert "1 of 1 station, for " in seen
    assert "1 of 1 station in sync" in seen


async def test_apply_of_one_room_waits_for_that_room_alone(
    fleet: Fleet, play: Play, tmp_path: Path
) -> None:
    """Fails by its time limit where the other room's station, which never answers, counts too."""
    await play("cam1")
    slow = await play("slow1", obedient=False)
    rooms = [("hall1", "cam1"), ("hall2", "slow1")]
    path = tmp_path / "two.toml"
    path.write_text(
        "".join(
            f'[rooms.{room}]\n[stations.{room}-cam]\nid = "{id_}"\nroom = "{room}"\n'
            'roles.record.main.source = {type = "test"}\n'
            for room, id_ in rooms
        )
    )
    applying = asyncio.create_task(fleet("apply", "--yes", path))
    await slow.config(1)
    assert (await fleet("rollout", "--stop")).code == 0
    applying.cancel()
    await asyncio.gather(applying, return_exceptions=True)
    path.write_text(path.read_text().replace('"test"}', '"test", rate = 5}'))
    found = await fleet("apply", "--yes", "--interrupt", "--room", "hall1", path)
    assert found.code == 0, found.err
    assert "1 of 1 station in sync" in found.err
    assert "hall2" not in found.err
