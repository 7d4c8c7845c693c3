"""The wall clock steps while a real agent records: libfaketime steps it for agent and recorder.

The kernel's clock, by which files get their times, stays as it is, and so does ours.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.processes import Mosquitto, Programs, until
from tests.roles.media import frames, hidden, joined, numbers, public
from tests.stranger import Stranger
from tests.wire.sides import Boss, writers

STATION = "cam1"
MAIN = {"source": {"type": "test", "size": "160x90"}, "segment_seconds": 1}
STEPS: Final = (timedelta(hours=1), timedelta(hours=-1), timedelta(seconds=-4), timedelta())
"""Ahead of the true time."""


@pytest.fixture
def step(tmp_path: Path) -> Callable[[timedelta], None]:
    """Set how far the clock of agent and recorder is ahead of ours."""
    file = tmp_path / "clock"

    def set_clock(ahead: timedelta) -> None:
        new = file.with_suffix(".new")
        new.write_text(f"{ahead.total_seconds():+.0f}\n")
        new.rename(file)  # never read half written

    set_clock(timedelta())
    return set_clock


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a program needs to live by that clock; the recorder gets it from a shim of its name."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    faked = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_CACHE_DURATION": "1",  # the file is read once a second, not at each look
        "DONT_FAKE_MONOTONIC": "1",
    }
    shim = tmp_path / "bin" / "ffmpeg"
    shim.parent.mkdir()
    exports = "".join(f"export {name}='{value}'\n" for name, value in faked.items())
    shim.write_text(f'#!/bin/sh\n{exports}exec {shutil.which("ffmpeg")} "$@"\n')
    shim.chmod(0o755)
    path = Programs(tmp_path).environment()["PATH"]
    return faked | {"PATH": f"{shim.parent}:{path}"}


def told(status: Any) -> timedelta:
    """How far ahead of ours the clock was by which it was said, as far as it was just said."""
    return datetime.fromisoformat(status["at"]) - datetime.now(UTC)


def began(status: dict[str, Any]) -> datetime:
    """Since when it says that the recording runs."""
    return datetime.fromisoformat(status["roles"]["record"]["main"]["since"])


def stamp(file: Path) -> timedelta:
    """How far ahead of ours the clock was that just named `file`."""
    named = datetime.strptime(file.stem.rpartition("-")[2], "%Y%m%dT%H%M%S%z")
    return named - datetime.now(UTC)


@pytest.mark.long
async def test_a_stepped_clock_leaves_recording_names_and_heartbeats_alone(
    broker: Mosquitto,
    stranger: Stranger,
    programs: Programs,
    step: Callable[[timedelta], None],
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    recordings = tmp_path / STATION / "recordings"
    settings = f'interval = 0.5\nrecordings = "{recordings}"\n'
    agent = programs.agent(broker, STATION, settings, **environment)
    boss = Boss(stranger, STATION)
    await boss.online()
    await boss.push(1, {"record": {"main": MAIN}})
    main = writers(programs)

    def files(instance: str) -> list[Path]:
        return [file for file in public(recordings) if f"-{instance}-" in file.name]

    (pid,) = main
    assert any("libfaketime" in one.path for one in psutil.Process(pid).memory_maps())
    since = began(stranger.latest(boss.topic("status")))

    for revision, ahead in enumerate(STEPS, 2):
        before = files("main")
        mark = stranger.mark()
        step(ahead)
        for _ in range(2):
            status = await stranger.expect(
                boss.topic("status"),
                lambda said: (
                    abs(told(said) - ahead) < timedelta(seconds=1.5)  # noqa: B023
                    and abs(began(said) - since - ahead) < timedelta(seconds=1.5)  # noqa: B023
                ),
                after=mark,
            )
            mark = stranger.mark()
            shown = status["roles"]["record"]["main"]
            assert (shown["state"], shown["restarts"]) == ("running", 0)
        await until(lambda: len(files("main")) >= len(before) + 2)  # noqa: B023
        assert files("main")[: len(before)] == before, "what was recorded keeps its name"
        # What begins now is named by the new clock, whatever began before.
        again = files("again")
        changed = {"record": {"main": MAIN, "again": MAIN | {"video_bitrate": 100_000 + revision}}}
        await boss.push(revision, changed)
        assert main.items() <= writers(programs).items()

        def begun_by_it(again: list[Path] = again, ahead: timedelta = ahead) -> bool:
            begun = set(files("again")) - set(again)
            return any(abs(stamp(one) - ahead) < timedelta(seconds=10) for one in begun)

        await until(begun_by_it, what="a file that is named by the new clock")

    said = [one.json for one in stranger.on(boss.topic("presence"))]
    assert {(one["state"], one["epoch"]) for one in said} == {("online", 1)}
    agent.terminate()
    assert await agent.ended() == 0
    seen = numbers(joined(files("main"), tmp_path / "joined.ts"))
    assert seen == list(range(seen[0], seen[0] + len(seen))), "every picture is there, once"
    assert len(seen) > 25 * len(STEPS)
    assert all(frames(file) for file in files("again"))
    assert hidden(recordings) == []
