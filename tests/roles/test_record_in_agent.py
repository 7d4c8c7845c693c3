"""A recording under a real agent, whatever happens to the agent, the recorder and the disk."""

import asyncio
import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import Mosquitto, Program, Programs, until
from tests.roles.media import hidden, joined, numbers, public
from tests.stranger import Stranger
from tests.wire.sides import Boss, config, writers

STATION = "cam1"
SMALL = {"source": {"type": "test", "size": "160x90"}, "video_bitrate": 200_000}

Settings = dict[str, Any]


@pytest.fixture
def boss(stranger: Stranger) -> Boss:
    return Boss(stranger, STATION)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return tmp_path / STATION / "recordings"


@pytest.fixture
def agent(broker: Mosquitto, programs: Programs, boss: Boss) -> Callable[[], Awaitable[Program]]:
    """Start the agent, or its successor, and wait until it is online."""

    async def start() -> Program:
        boss.since = boss.stranger.mark()
        program = programs.agent(broker, STATION)
        await boss.online()
        return program

    return start


def wanted(**settings: Any) -> Settings:
    return {"record": {"main": SMALL | settings}}


async def state(boss: Boss, state: str, reason: str | None = None) -> Any:
    """The first status from now on that shows this of the recording."""

    def shown(status: Any) -> bool:
        one = status["roles"].get("record", {}).get("main")
        return one is not None and one["state"] == state and reason in (None, one["reason"])

    return await boss.stranger.expect(boss.topic("status"), shown, after=boss.since)


@pytest.mark.long
async def test_agents_killed_at_random_leave_unbroken_recordings(
    boss: Boss,
    agent: Callable[[], Awaitable[Program]],
    programs: Programs,
    recordings: Path,
    tmp_path: Path,
    long: bool,
) -> None:
    chance = random.Random(2)
    program = await agent()
    seconds = {"whole": 86400, "cut": 2}
    roles = {"record": {name: SMALL | {"segment_seconds": it} for name, it in seconds.items()}}
    await boss.push(1, roles, name="cam", room="hall1")
    recorders = writers(programs)
    assert len(recorders) == 2
    for _ in range(10 if long else 4):
        await asyncio.sleep(chance.uniform(0, 0.6))  # the moment is the test
        program.kill()
        await asyncio.sleep(chance.uniform(0, 0.6))
        program = await agent()
    await boss.runs(1, roles)
    assert writers(programs) == recorders
    program.terminate()
    assert await program.ended() == 0
    begin = {name: f"hall1-cam-{name}-2" for name in seconds}
    assert all(it.name.startswith(tuple(begin.values())) for it in public(recordings))
    for name in seconds:
        files = [it for it in public(recordings) if it.name.startswith(begin[name])]
        assert (len(files) == 1) == (name == "whole")
        seen = numbers(joined(files, tmp_path / f"{name}.ts"))
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert len(seen) > 25, "longer than any one agent lived"
    assert hidden(recordings) == []


async def test_an_agent_that_finds_no_ffmpeg_goes_on_with_what_records(
    boss: Boss,
    agent: Callable[[], Awaitable[Program]],
    broker: Mosquitto,
    programs: Programs,
    recordings: Path,
    tmp_path: Path,
) -> None:
    program = await agent()
    await boss.push(1, wanted())
    recorders = writers(programs)
    program.signal(signal.SIGHUP)
    await program.ended()
    empty = tmp_path / "empty"
    empty.mkdir()
    boss.since = boss.stranger.mark()
    programs.agent(broker, STATION, PATH=str(empty))
    status = await state(boss, "running")
    assert status["roles"]["record"]["main"]["restarts"] == 0
    assert writers(programs) == recorders
    (file,) = public(recordings)
    size = file.stat().st_size
    await until(lambda: file.stat().st_size > size)
    boss.since = boss.stranger.mark()
    os.kill(next(iter(recorders)), signal.SIGKILL)
    failed = (await state(boss, "failed", "ProgramMissing"))["roles"]["record"]["main"]
    assert "ffmpeg" in failed["message"]


async def test_a_recorder_that_hangs_is_replaced_as_stalled(
    boss: Boss, agent: Callable[[], Awaitable[Program]], programs: Programs, recordings: Path
) -> None:
    await agent()
    await boss.push(1, wanted(stall_seconds=4))
    (pid,) = writers(programs)
    boss.since = boss.stranger.mark()
    os.kill(pid, signal.SIGSTOP)
    await state(boss, "stopping", "Stalled")
    boss.since = boss.stranger.mark()
    status = await state(boss, "running")
    assert status["roles"]["record"]["main"]["restarts"] == 1
    assert not psutil.pid_exists(pid)
    first, second = public(recordings)
    await until(lambda: second.stat().st_size > first.stat().st_size / 2)


async def test_removed_recordings_are_noticed_and_made_again_as_soon_as_they_can(
    boss: Boss, agent: Callable[[], Awaitable[Program]], recordings: Path
) -> None:
    await agent()
    await boss.push(1, wanted())
    boss.since = boss.stranger.mark()
    shutil.rmtree(recordings)
    await asyncio.to_thread(recordings.touch)  # in the way
    failed = (await state(boss, "failed", "DirectoryMissing"))["roles"]["record"]["main"]
    assert str(recordings) in failed["message"]
    await asyncio.to_thread(recordings.unlink)
    boss.since = boss.stranger.mark()
    await state(boss, "running")
    assert public(recordings)


async def test_a_bad_setting_and_new_patience_leave_a_recording_alone_whose_figures_go_on(
    boss: Boss, agent: Callable[[], Awaitable[Program]], programs: Programs, recordings: Path
) -> None:
    first = await agent()
    await boss.push(1, wanted())
    recorders = writers(programs)
    ack = await boss.ask(config(2, wanted(segment_seconds=0, directory="..")))
    assert [p["path"] for p in ack["error"]["problems"]] == ["/segment_seconds", "/directory"]
    assert writers(programs) == recorders
    await boss.push(3, wanted(stall_seconds=30))
    first.kill()
    await agent()
    await boss.runs(3, wanted())
    assert writers(programs) == recorders
    assert len(public(recordings)) == 1

    def figures(telemetry: Any) -> bool:
        found = {
            name: value
            for family in telemetry["families"]
            for name, labels, value in family["samples"]
            if labels.get("role") == "record"
        }
        least = {
            "fleet_ffmpeg_frames_total": 25,
            "fleet_recording_bytes_total": 0,
            "fleet_recording_last_write_timestamp_seconds": 1e9,
        }
        return all(found.get(name, 0) > value for name, value in least.items())

    await boss.stranger.expect(boss.topic("telemetry"), figures, after=boss.since)
