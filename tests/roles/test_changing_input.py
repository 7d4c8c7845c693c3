"""A laptop that changes its mind: what leaves an ingest stays as it is, and so does a recording."""

import asyncio
import itertools
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import BARS, bars, joined, pictures, probe, public, unbroken
from tests.roles.network import QUIET, Peer
from tests.roles.numbered import film, shown

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

PILLARS = ["", "RGB", "GB", "G", "RB", "B", ""]
"""The same bars in a picture of 4:3, padded to 16:9."""
BLACK = [""] * 7


def clip(file: Path, size: str, rate: int) -> Path:
    """Two seconds of bars and a tone, encoded once so that sending them costs little."""
    picture = ("-f", "lavfi", "-i", f"smptebars=size={size}:rate={rate}")
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=48000")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", str(rate), "-pix_fmt", "yuv420p")
    argv = [*QUIET, *picture, *sound, "-t", "2", *h264, "-c:a", "aac", str(file)]
    subprocess.run(argv, check=True)
    return file


def sending(file: Path, url: str) -> Peer:
    return Peer(
        *QUIET, "-re", "-stream_loop", "-1", "-i", str(file), "-c", "copy", "-f", "mpegts", url
    )


def ingest(host: RealHost, **values: Any) -> Ingest:
    cheap = {"size": "320x180", "video_bitrate": 400_000, "local_copy": {"enabled": False}}
    wanted = {"listen": "127.0.0.1", "port": free_port(), **cheap, **values}
    return Ingest(host, structure(wanted, IngestSettings))


def reading(role: Ingest) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": role.settings.port}


@pytest.mark.timeout(180)
@pytest.mark.long
async def test_another_size_and_rate_and_nothing_neither_end_a_reader_nor_break_a_recording(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    wide, square = clip(tmp_path / "w.ts", "1920x1080", 50), clip(tmp_path / "s.ts", "1024x768", 60)
    feed = f"udp://127.0.0.1:{free_port()}"
    source = {"type": "url", "url": feed}
    captured, recorded = make_host(role="ingest"), make_host()
    capture = ingest(captured, picture=source, sound=source)
    record = Record(recorded, record_settings(source=reading(capture), segment_seconds=2))
    roles = capture, record

    def comes(size: str, rate: int) -> bool:
        now = [
            captured.registry.get_sample_value(f"fleet_ingest_input_{what}")
            for what in ("width_pixels", "height_pixels", "rate_hertz")
        ]
        return now == [*map(int, size.split("x")), rate] and captured.noted == (None, None)

    def pictured(more: int) -> Callable[[], bool]:
        enough = record._report.frames + more if record._report else more
        return lambda: record._report is not None and record._report.frames >= enough

    to = f"{feed}?pkt_size=1316"
    with sending(wide, to):
        await capture.start()
        await record.start()
        await until(lambda: comes("1920x1080", 50), *roles, seconds=40)
        await until(pictured(50), *roles)
    with sending(square, to):
        await until(lambda: comes("1024x768", 60), *roles, seconds=40)
        await until(pictured(50), *roles)
    await until(lambda: captured.noted[0] == "NoSignal", *roles)
    assert captured.registry.get_sample_value("fleet_ingest_picture_present") == 0
    await until(pictured(50), *roles)
    with sending(wide, to):
        await until(lambda: comes("1920x1080", 50), *roles, seconds=40)
        await until(pictured(50), *roles)
    await record.stop()
    await capture.stop()

    files = public(recorded.recordings)
    assert len(files) > 3
    video, audio = probe(files[1])["streams"]
    assert (video["width"], video["height"], audio["codec_name"]) == (320, 180, "aac")
    whole = joined(files, tmp_path / "whole.ts")
    assert unbroken(whole), "no picture is missing"
    seen = [bars(one, 320, 180) for one in await asyncio.to_thread(pictures, whole, 320, 180)]
    known = [one for one in seen if one in (BARS, PILLARS, BLACK)]
    order = [one for one, _ in itertools.groupby(known)]
    assert contains(order, [BARS, PILLARS, BLACK, BARS]), order
    assert len(captured.children) == 1
    assert [child.argv[0] for child in recorded.children].count("ffmpeg") == 1
    assert (captured.failed, recorded.failed) == (None, None)


def contains(long: list[list[str]], short: list[list[str]]) -> bool:
    """Whether all of `short` comes in `long`, in this order."""
    rest = iter(long)
    return all(one in rest for one in short)


async def test_every_picture_and_its_sound_stay_together_over_segments(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    file, recorded = tmp_path / "film.mkv", make_host()
    await asyncio.to_thread(film, file, 60)
    source = {"type": "file", "path": str(file)}
    capture = ingest(make_host(role="ingest"), picture=source, sound=source)
    await capture.start()
    record = Record(recorded, record_settings(source=reading(capture), segment_seconds=2))
    await record.start()
    await until(lambda: len(public(recorded.recordings)) > 8, capture, record, seconds=40)
    await record.stop()
    await capture.stop()
    whole = joined(public(recorded.recordings), tmp_path / "whole.ts")
    found = await asyncio.to_thread(shown, whole, 4.0)
    assert found.pictures > 350
    assert (found.lost, found.repeated) == (0, 0)
    assert len(found.apart) > 4
    assert all(abs(apart) < 0.040 for _, apart in found.apart), found.apart
