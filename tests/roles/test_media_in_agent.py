"""Capture, record, stream and meter on one station, under a real agent."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.processes import Mosquitto, Programs, free_port, until
from tests.roles.media import frames, joined, loudness, numbers, probe, public
from tests.stranger import Stranger
from tests.wire.sides import Boss

STATION = "cam1"


def media(port: int) -> dict[str, Any]:
    """One camera with its microphone: captured once, read by three."""
    source = {"host": "127.0.0.1", "port": port}
    return {
        "monitor": {"main": {"source": source, "thumbnail_seconds": 1}},
        "record": {"main": {"source": source, "segment_seconds": 60}},
        "stream": {"main": {"source": source, "target": {"type": "hls", "segment_seconds": 1}}},
        "ingest": {
            "main": {
                "picture": {"type": "test"},
                "sound": {"type": "test"},
                "size": "320x180",
                "video_bitrate": 400_000,
                "listen": "127.0.0.1",
                "port": port,
                "local_copy": {"minimum_free_gib": 0},
            }
        },
    }


def figures(telemetry: Any) -> dict[str, float]:
    return {
        name: value
        for family in telemetry["families"]
        for name, _, value in family["samples"]
        if isinstance(value, int | float)
    }


@pytest.fixture
def boss(stranger: Stranger) -> Boss:
    return Boss(stranger, STATION)


@pytest.mark.long
async def test_a_camera_is_captured_once_and_recorded_streamed_and_metered(
    boss: Boss, broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    agent = programs.agent(broker, STATION)
    await boss.online()
    roles = media(free_port())
    await boss.push(1, roles, name="cam", room="hall1")

    def loud(telemetry: Any) -> bool:
        found = figures(telemetry)
        return (
            found.get("fleet_monitor_loudness_short_term_lufs", -99) > -40
            and found.get("fleet_ingest_readers") == 4
            and found.get("fleet_stream_connected") == 1
            and found.get("fleet_ingest_local_copy") == 1
        )

    telemetry = await boss.stranger.expect(boss.topic("telemetry"), loud)
    await until(lambda: boss.stranger.on(boss.topic("thumbnail/monitor/main")))
    assert boss.stranger.on(boss.topic("thumbnail/monitor/main"))[-1].payload[:2] == b"\xff\xd8"

    def well(status: Any) -> bool:
        return [
            (one["main"]["state"], one["main"]["reason"]) for one in status["roles"].values()
        ] == [("running", None)] * 4

    await boss.stranger.expect(boss.topic("status"), well)

    agent.terminate()
    assert await agent.ended() == 0
    recordings = tmp_path / STATION / "recordings"
    (recorded,) = [file for file in public(recordings) if file.is_file()]
    assert recorded.name.startswith("hall1-cam-main-2")
    assert [s["codec_name"] for s in probe(recorded)["streams"]] == ["h264", "aac"]
    times = sorted(numbers(recorded))
    assert times == list(range(times[0], times[0] + len(times)))
    assert frames(joined(public(recordings / "local-copy"), tmp_path / "copy.ts")) > 50
    monitored = figures(telemetry)["fleet_monitor_loudness_short_term_lufs"]
    assert monitored == pytest.approx(await asyncio.to_thread(loudness, recorded), abs=0.5)
    assert [one.name() for one in programs.leftovers()] == ["mosquitto"]


async def test_readers_go_on_by_themselves_when_the_ingest_has_died(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    programs.agent(broker, STATION)
    await boss.online()
    roles = media(free_port())
    await boss.push(1, roles)
    boss.since = boss.stranger.mark()
    (capture,) = [
        one for one in programs.leftovers() if any("capture.py" in part for part in one.cmdline())
    ]
    capture.kill()

    def ingest(status: Any) -> bool:
        return bool(status["roles"]["ingest"]["main"]["restarts"] == 1)

    await boss.stranger.expect(boss.topic("status"), ingest, after=boss.since)
    status = await boss.runs(1, roles)
    assert status["roles"]["monitor"]["main"]["restarts"] == 0
    assert not psutil.pid_exists(capture.pid)
