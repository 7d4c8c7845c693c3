"""What a station sees of its own recordings: files that ffmpeg made, whole and broken ones."""

import asyncio
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.agent.box.decoding import idle
from fleet.agent.box.looking import Looker, listed, newest, recorded
from fleet.model import Config
from fleet.station import FileLook, LookResult
from tests.processes import PATIENCE

TS = ("-f", "mpegts")
PREFIX = "hall1-hall1-cam-main"
NOTHING = b"\x47\x1f\xff\x10" + b"\xff" * 184
"""A packet that carries nothing."""


def config(**roles: Any) -> Config:
    named = {role: {"main": settings} for role, settings in roles.items()}
    return Config(1, None, None, named, "hall1-cam", "hall1")


def film(*volumes: float, seconds: float = 1.0) -> bytes:
    """A little picture with a tone of each volume as a track of its own."""
    argv = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10"]
    for volume in volumes:
        argv += ["-f", "lavfi", "-i", f"sine=sample_rate=48000,volume={volume}"]
    for number in range(len(volumes) + 1):
        argv += ["-map", str(number)]
    argv += ["-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "mp2", *TS, "-"]
    return subprocess.run(argv, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def two_tracks() -> bytes:
    return film(1.0, 0.0)


def segment(directory: Path, age: float, content: bytes) -> Path:
    """As a recording of ours has it, opened so many seconds ago."""
    directory.mkdir(exist_ok=True)
    opened = datetime.now(UTC) - timedelta(seconds=age)
    path = directory / f"{PREFIX}-{opened:%Y%m%dT%H%M%SZ}.ts"
    path.write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def grown_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it take what other tests leave of the processors."""
    monkeypatch.setattr("fleet.agent.box.looking._GROW_SECONDS", 0.3)
    monkeypatch.setattr("fleet.agent.box.decoding.idle", lambda process: None)


async def look(directory: Path, seconds: float = PATIENCE, **roles: Any) -> LookResult:
    return await Looker(directory).look(config(**roles), "b1", seconds)


async def seen(directory: Path, seconds: float = PATIENCE) -> FileLook:
    (file,) = (await look(directory, seconds, record={})).files
    return file


async def test_the_newest_closed_segment_is_decoded_and_the_newest_has_to_grow(
    tmp_path: Path, two_tracks: bytes
) -> None:
    segment(tmp_path, 500, b"of no interest any more")
    closed = segment(tmp_path, 300, two_tracks)
    growing = segment(tmp_path, 30, two_tracks)

    async def grow() -> None:
        while True:
            with growing.open("ab") as file:
                file.write(NOTHING)
            await asyncio.sleep(0.1)

    grows = asyncio.create_task(grow())
    found = await seen(tmp_path)
    grows.cancel()
    assert (found.file, found.closed, found.whole, found.problem) == (closed.name, True, True, None)
    assert (found.grows, found.pictures, found.size, found.rate) == (True, 10, "64x64", 10.0)
    assert found.seconds == pytest.approx(1.0, abs=0.1)
    assert found.peaks is not None
    heard, silent = found.peaks
    assert heard == pytest.approx(-18, abs=1)
    assert silent is None, "zeros are nothing that is heard"


async def test_a_damaged_segment_is_named_with_what_its_decoder_said(
    tmp_path: Path, two_tracks: bytes
) -> None:
    damaged = bytearray(two_tracks)
    middle = slice(len(damaged) // 3, len(damaged) // 2)
    damaged[middle] = bytes(len(damaged[middle]))
    path = segment(tmp_path, 300, bytes(damaged))
    segment(tmp_path, 30, two_tracks)
    found = await seen(tmp_path)
    assert found.problem is not None
    assert found.problem.startswith(f"{path.name}: [")
    assert not found.grows


async def test_sound_of_the_last_minute_counts_and_no_earlier_one(tmp_path: Path) -> None:
    segment(tmp_path, 400, film(1.0))
    segment(tmp_path, 90, film(0.0))
    assert (await seen(tmp_path)).peaks == (None,)


async def test_a_recording_that_is_not_there_is_said(tmp_path: Path, two_tracks: bytes) -> None:
    assert (await seen(tmp_path)).problem == "no recording is there"
    segment(tmp_path, 30, two_tracks)
    only = await seen(tmp_path)
    assert (only.closed, only.whole, only.problem) == (False, True, None)
    assert (await look(tmp_path)).files == (), "nothing is wanted"
    assert (await Looker(tmp_path).look(None, "b1", 5)).files == ()


async def test_a_look_ends_in_time_and_says_that_it_saw_not_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin/ffmpeg"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\necho out_time_us=500000\necho frame=5\nexec sleep 1000\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(slow.parent), prepend=":")
    segment(tmp_path, 300, b"x")
    segment(tmp_path, 30, b"x")
    begun = time.monotonic()
    for seconds in (1.0, 5.0, 20.0):  # a busy machine may need more before anything is decoded
        found = await seen(tmp_path, seconds)
        if found.seconds:
            break
    assert time.monotonic() - begun < 500
    assert (found.whole, found.seconds) == (False, 0.5)


async def test_who_asks_while_it_looks_gets_the_same_answer(
    tmp_path: Path, two_tracks: bytes
) -> None:
    segment(tmp_path, 30, two_tracks)
    looker = Looker(tmp_path)
    one, other = await asyncio.gather(*(looker.look(config(record={}), "b1", 20) for _ in range(2)))
    assert one is other


def put(file: Path, text: bytes) -> None:
    file.write_bytes(text)


@pytest.fixture
def playlist(tmp_path: Path, two_tracks: bytes) -> Path:
    (tmp_path / "hls").mkdir()
    (tmp_path / "hls/main-000000001.ts").write_bytes(two_tracks)
    file = tmp_path / "hls/main.m3u8"
    file.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nmain-000000001.ts\n")
    return file


async def test_a_list_has_to_be_new_and_lead_to_what_can_be_played(
    tmp_path: Path, playlist: Path
) -> None:
    async def problem(text: bytes | None) -> str | None:
        if text is not None:
            put(playlist, text)
        (found,) = (await look(tmp_path, stream={"target": {"type": "hls"}})).lists
        return found.problem

    assert await problem(None) is None
    (tmp_path / "hls/main-000000001.ts").unlink()
    assert "No such file" in str(await problem(None))
    empty = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
    assert await problem(empty) == "main.m3u8 lists nothing to play"
    assert "main.m3u8 cannot be read" in str(await problem(b"\xff\xfe"))
    tmp_path.joinpath("hls/main.m3u8").unlink()
    assert "main.m3u8 cannot be read" in str(await problem(None))


async def test_a_list_that_stands_still_is_said(
    tmp_path: Path, playlist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    os.utime(playlist, (now, now))
    monkeypatch.setattr(time, "time", lambda: now + 60)
    (found,) = (await look(tmp_path, stream={"target": {"type": "hls"}})).lists
    assert found.problem == "main.m3u8 has not changed for 60 s"


def test_places_are_those_of_the_config_in_force() -> None:
    roles = config(
        record={"directory": "talks"},
        ingest={"local_copy": {"directory": "raw"}},
        stream={"target": {"type": "rtmp", "url": "rtmp://x/y"}},
    )
    found = list(recorded(roles, "b1", Path("/r")))
    assert [(str(one.directory), one.prefix) for one in found] == [
        ("/r/talks", PREFIX),
        ("/r/raw", PREFIX),
    ]
    assert list(listed(roles, Path("/r"))) == []
    odd = config(record={"directory": 5}, ingest={"local_copy": 5}, stream={"target": 5})
    assert [one.role for one in recorded(odd, "b1", Path("/r"))] == ["ingest"]
    assert list(listed(odd, Path("/r"))) == []
    without = config(ingest={"local_copy": {"enabled": False}})
    assert list(recorded(without, "b1", Path("/r"))) == []


def test_another_instances_files_are_not_taken_for_its_own() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    names = [
        "hall1-cam-main-20260201T093000Z.ts",
        "hall1-cam-main-20260201T092700Z.mkv",
        "hall1-cam-main-2-20260301T093000Z.ts",
        "hall1-cam-main-20260401T093000Z.txt",
        ".hidden",
    ]
    assert newest(names, "hall1-cam-main", "", now) == names[:2]
    assert newest(names, "hall2-cam-main", "main", now) == names[:2], "it is called otherwise since"
    assert newest(names, "hall2-cam-other", "other", now) == []


@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=-365)])
def test_a_clock_that_was_or_is_wrong_hides_nothing_that_is_written(later: timedelta) -> None:
    now = datetime(2026, 2, 1, 9, 31, tzinfo=UTC) + later
    written = [f"a-{now - timedelta(minutes=one):%Y%m%dT%H%M%SZ}.ts" for one in (0, 3)]
    other = [f"a-2026{month}01T093000Z.ts" for month in ("03", "04")]
    assert newest([*other, *written], "a", "", now) == written
    assert newest(other, "a", "", now) == other[::-1]


def test_what_is_only_looked_at_gets_what_nobody_else_wants() -> None:
    with psutil.Popen(["sleep", "1000"]) as process:
        idle(process.pid)
        assert (os.sched_getscheduler(process.pid), process.nice()) == (os.SCHED_IDLE, 19)
        assert process.ionice().ioclass is psutil.IOPRIO_CLASS_IDLE
        process.kill()
