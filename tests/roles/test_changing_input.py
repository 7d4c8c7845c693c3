"""A laptop that changes its mind: what leaves an ingest stays as it is, and so does a recording."""

import asyncio
import itertools
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.processes import free_port, keeps_pace
from tests.roles.host import RealHost
from tests.roles.media import BARS, bars, joined, pictures, probe, public, unbroken
from tests.roles.network import QUIET, Looping, Peer, reader
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


def film_as_flv(file: Path, seconds: float) -> None:
    film(file.with_suffix(".mkv"), seconds)
    encoded = ("-c:v", "copy", "-c:a", "aac", str(file))
    subprocess.run([*QUIET, "-i", str(file.with_suffix(".mkv")), *encoded], check=True)


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


@pytest.mark.long
async def test_another_size_and_rate_and_nothing_neither_end_a_reader_nor_break_a_recording(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    wide, square = clip(tmp_path / "w.ts", "320x180", 50), clip(tmp_path / "s.ts", "320x240", 60)
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
        there = captured.registry.get_sample_value("fleet_ingest_picture_present") == 1
        return there and now == [*map(int, size.split("x")), rate]

    def pictured(more: int) -> Callable[[], bool]:
        enough = record._report.frames + more if record._report else more
        return lambda: record._report is not None and record._report.frames >= enough

    to = f"{feed}?pkt_size=1316"
    with sending(wide, to):
        await capture.start()
        await record.start()
        await until(lambda: comes("320x180", 50), *roles)
        await until(pictured(50), *roles)
    with sending(square, to):
        await until(lambda: comes("320x240", 60), *roles)
        await until(pictured(50), *roles)
    await until(lambda: captured.noted[0] == "NoSignal", *roles)
    assert captured.registry.get_sample_value("fleet_ingest_picture_present") == 0
    await until(pictured(50), *roles)
    with sending(wide, to):
        await until(lambda: comes("320x180", 50), *roles)
        await until(pictured(150), *roles)  # the decoder's last old picture comes out with the new
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


@pytest.mark.long
async def test_full_sound_over_udp_neither_repeats_a_picture_nor_moves_the_sound(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    await asyncio.to_thread(film, tmp_path / "film.ts", 16, noise=0.03)
    names = ("fleet_ffmpeg_duplicated_frames_total", "fleet_ingest_sound_missing_seconds_total")

    async def watched() -> str:
        host, feed = make_host(role="ingest"), f"udp://127.0.0.1:{free_port()}"
        source = {"type": "url", "url": feed}
        capture = ingest(host, picture=source, sound=source)
        held: list[float] = []

        def ended(one: Peer) -> bool:
            held.append(host.registry.get_sample_value("fleet_ingest_held_seconds") or 0)
            return not one.running

        with sending(tmp_path / "film.ts", f"{feed}?pkt_size=1316"):
            await capture.start()
            with reader(f"tcp://127.0.0.1:{capture.settings.port}", tmp_path / "a.ts", 9) as one:
                await until(lambda: ended(one), capture)
        await capture.stop()
        settled = held[len(held) // 3 :]
        assert min(settled) > 0.5
        found = await asyncio.to_thread(shown, tmp_path / "a.ts", 2.0)
        assert found.pictures > 150
        assert len(found.apart) >= 3
        well = (
            max(settled) < 2.0
            and max(settled) - min(settled) < 0.2  # always as long
            and (found.lost, found.repeated) == (0, 0)
            and all(abs(apart) < 0.040 for _, apart in found.apart)
            and host.noted == (None, None)
            and not any(map(host.registry.get_sample_value, names))
        )
        return "" if well else f"{found}, held {settled}\n{host}"

    await keeps_pace(watched)


async def test_a_connection_that_stands_for_most_of_a_second_loses_nothing(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    file = tmp_path / "film.flv"
    await asyncio.to_thread(film_as_flv, file, 9)

    async def watched() -> str:
        host = make_host(role="ingest")
        with Looping([file], 9, header=13, stands=(5.0, 0.8)) as sender:
            url = {"type": "url", "url": sender.url}
            capture = ingest(host, picture=url, sound=url)
            await capture.start()

            def lost() -> tuple[float, float]:
                repeated = host.registry.get_sample_value("fleet_ffmpeg_duplicated_frames_total")
                missing = host.registry.get_sample_value("fleet_ingest_sound_missing_seconds_total")
                return repeated or 0, missing or 0

            begun = time.monotonic()
            await until(lambda: time.monotonic() - begun > 2.5, capture)
            before = lost()
            await until(lambda: time.monotonic() - begun > 6.0, capture)
            await capture.stop()
        well = (lost(), host.noted) == (before, (None, None))
        return "" if well else f"{before} became {lost()}\n{host}"

    await keeps_pace(watched)


@pytest.mark.long
async def test_pictures_more_than_a_second_apart_leave_the_sound_alone(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    slides = r"color=black:size=320x180:rate=1/1.2,geq=lum='40+mod(N*40\,160)':cb=128:cr=128"
    tone = "sine=frequency=1000:sample_rate=48000,volume=2"
    every = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "1")
    file, feed = tmp_path / "slides.ts", f"udp://127.0.0.1:{free_port()}"
    inputs = ("-f", "lavfi", "-i", slides, "-f", "lavfi", "-i", tone, "-t", "24")
    argv = [*QUIET, *inputs, *every, "-pix_fmt", "yuv420p", str(file)]
    await asyncio.to_thread(subprocess.run, argv, check=True)

    async def watched() -> str:
        host, source = make_host(role="ingest"), {"type": "url", "url": feed}
        capture = ingest(host, picture=source, sound=source)
        with sending(file, f"{feed}?pkt_size=1316"):
            await capture.start()
            await until(lambda: host.noted == (None, None), capture)
            with reader(f"tcp://127.0.0.1:{capture.settings.port}", tmp_path / "a.ts", 8) as one:
                await until(lambda: not one.running, capture)
        await capture.stop()
        silent = await asyncio.to_thread(silent_seconds, tmp_path / "a.ts")
        seen = await asyncio.to_thread(pictures, tmp_path / "a.ts", 320, 180)
        stood = [len(list(same)) for _, same in itertools.groupby(one[0] for one in seen)][1:-1]
        assert len(stood) >= 4
        until_the_next = all(29 <= frames <= 31 for frames in stood)
        well = silent < 0.5 and until_the_next and host.noted == (None, None)
        return "" if well else f"silent for {silent} s, pictures stood {stood}\n{host}"

    await keeps_pace(watched)


def silent_seconds(file: Path) -> float:
    detect = ("-af", "silencedetect=noise=-40dB:duration=0.02", "-f", "null", "-")
    begun = ("-ss", "1")  # a reader that was there at once got a picture before any sound
    argv = ["ffmpeg", "-hide_banner", "-nostats", *begun, "-i", str(file), *detect]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    return sum(map(float, re.findall(r"silence_duration: ([\d.]+)", said)))
