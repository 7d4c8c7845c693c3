"""What reads an ingest on its own station, under a real agent."""

from typing import Any

import psutil
import pytest

from tests.processes import Mosquitto, Programs, argv_of, free_port
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
                "size": "160x90",
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


async def test_readers_go_on_by_themselves_when_the_ingest_has_died(
    boss: Boss, broker: Mosquitto, programs: Programs
) -> None:
    programs.agent(broker, STATION)
    await boss.online()
    roles = media(free_port())
    await boss.push(1, roles)
    boss.since = boss.stranger.mark()
    (capture,) = [
        one for one in programs.leftovers() if any("capture.py" in part for part in argv_of(one))
    ]
    capture.kill()

    def ingest(status: Any) -> bool:
        return bool(status["roles"]["ingest"]["main"]["restarts"] == 1)

    await boss.stranger.expect(boss.topic("status"), ingest, after=boss.since)
    status = await boss.runs(1, roles)
    assert status["roles"]["monitor"]["main"]["restarts"] == 0
    assert not psutil.pid_exists(capture.pid)
