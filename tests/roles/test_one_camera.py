"""`examples/one-camera.toml` as it stands, but for its devices and the server it streams to."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, Mosquitto, Programs, free_port, run, until
from tests.roles.media import BARS, bars, frames, joined, loudness, numbers, pictures, probe, public
from tests.roles.network import QUIET, Peer, icecast
from tests.roles.test_media_in_agent import figures
from tests.stranger import Stranger

STATION = "b827eb0000a1"
TELEMETRY, STATUS, THUMBNAIL = (
    f"fleet/v1/station/{STATION}/{kind}"
    for kind in ("telemetry", "status", "thumbnail/monitor/main")
)
WIDTH, HEIGHT = 256, 144
SUBSTITUTES = {
    'seat = "cam"': 'seat = "cam"\naddress = "192.0.2.9"',  # nothing here needs that network
    '{type = "v4l2", device = "usb-Cam_Link-video-index0"}': '{type = "test"}',
    '{type = "alsa", device = "hw:CARD=Device"}': '{type = "test"}',
    "1280x720": f"{WIDTH}x{HEIGHT}",
    'listen = "127.0.0.1"': 'listen = "127.0.0.1"\nport = {port}\nvideo_bitrate = 400_000',
    'host = "live.example.org"': 'host = "127.0.0.1", port = {icecast}',
}


def ticks(one: bytes, other: bytes) -> bool:
    """Whether the running clock in the upper quarter went on; noise of the encoder is less."""
    green = slice(1, WIDTH * 3 * HEIGHT // 4, 3)  # it is white
    return any(abs(a - b) > 60 for a, b in zip(one[green], other[green], strict=True))


@pytest.mark.long
async def test_one_camera_is_captured_once_and_recorded_streamed_and_metered_as_it_is(
    stranger: Stranger, broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    ports = {"port": free_port(), "icecast": free_port()}
    text = (ROOT / "examples/one-camera.toml").read_text()
    for device, substitute in SUBSTITUTES.items():
        assert text.count(device) == 1, device
        text = text.replace(device, substitute.replace("{port}", str(ports["port"])))
    file = tmp_path / "one-camera.toml"
    file.write_text(text.replace("{icecast}", str(ports["icecast"])))
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "icecast").write_text("let-me-in")
    (secrets / "icecast").chmod(0o600)
    place = tmp_path / STATION
    where = f'recordings = "{place}/recordings"\nsecrets_dir = "{secrets}"\ninterval = 1.0\n'
    manager = programs.manager(broker)
    agent = programs.agent(broker, STATION, where)
    heard = tmp_path / "heard.webm"
    with icecast(tmp_path, ports["icecast"], "let-me-in"):
        await manager.says("connected")
        argv = ("--broker", broker.url, "apply", "--yes", str(file))
        applied = await asyncio.to_thread(run, "fleet", *argv, env=programs.environment())
        said = applied.stdout + applied.stderr
        assert applied.returncode == 0, said
        assert "warning" not in said

        def metered(telemetry: Any) -> bool:
            found = figures(telemetry)
            return (
                found.get("fleet_monitor_loudness_short_term_lufs", -99) > -40
                and found.get("fleet_stream_connected") == 1
                and found.get("fleet_ingest_readers") == 4
                and found.get("fleet_ingest_local_copy") == 1
            )

        telemetry = await stranger.expect(TELEMETRY, metered)
        await until(lambda: stranger.on(THUMBNAIL), what="a thumbnail")
        assert stranger.on(THUMBNAIL)[-1].payload[:2] == b"\xff\xd8"
        await stranger.expect(
            STATUS,
            lambda status: (
                [(one["main"]["state"], one["main"]["reason"]) for one in status["roles"].values()]
                == [("running", None)] * 4
            ),
        )
        url = f"http://127.0.0.1:{ports['icecast']}/hall1.webm"
        with Peer(*QUIET, "-i", url, "-c", "copy", "-t", "2", str(heard)) as listener:
            await until(lambda: not listener.running, what="the listener")
            assert listener.end() == ""
        for program in (agent, manager):
            program.terminate()
            assert await program.ended() == 0
    assert [one.name() for one in programs.leftovers()] == ["mosquitto"]

    monitored = figures(telemetry)["fleet_monitor_loudness_short_term_lufs"]
    recorded = [one for one in public(place / "recordings") if one.is_file()]
    assert recorded[0].name.startswith("hall1-hall1-cam-main-2")
    assert [s["codec_name"] for s in probe(recorded[0])["streams"]] == ["h264", "aac"]
    copies = public(place / "recordings/local-copy")
    assert frames(joined(copies, tmp_path / "copy.ts")) > 50
    assert monitored == pytest.approx(await asyncio.to_thread(loudness, recorded[0]), abs=0.5)
    assert monitored == pytest.approx(await asyncio.to_thread(loudness, heard), abs=1)

    times = sorted(numbers(recorded[0]))
    assert times == list(range(times[0], times[0] + len(times)))
    shown = await asyncio.to_thread(pictures, recorded[0], WIDTH, HEIGHT)
    assert len(shown) == len(times)
    black = next(count for count, one in enumerate(shown) if any(bars(one, WIDTH, HEIGHT)))
    assert black < 100, "only the camera's own start is black"
    seen = shown[black:]
    assert [bars(one, WIDTH, HEIGHT) for one in seen[::25]] == [BARS] * len(seen[::25])
    ticked = sum(ticks(one, other) for one, other in pairwise(seen))
    assert ticked > 0.5 * len(seen), "25 pictures of 30 a second"
    opened = datetime.strptime(recorded[0].stem[-16:], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    lasted = recorded[0].stat().st_mtime - opened.timestamp()
    assert len(shown) / 25 == pytest.approx(lasted, abs=3)
