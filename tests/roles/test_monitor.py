"""What a monitor sees and hears, on real pictures and sound."""

import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from fleet.roles import THUMBNAIL_BYTES, Failed
from fleet.roles.monitor import Monitor, MonitorSettings
from fleet.strict import Mistakes, structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import probe
from tests.roles.network import QUIET, sender

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]
Film = Callable[[str], dict[str, Any]]


def settings(source: dict[str, Any], **values: Any) -> MonitorSettings:
    return structure({"source": source, "thumbnail_seconds": 1, **values}, MonitorSettings)


TONE = "aevalsrc=0.25*sin(2*PI*1000*t)|0.25*sin(2*PI*1000*t):s=48000"
ZEROS = "anullsrc=channel_layout=stereo:sample_rate=48000"
MOVING = "testsrc2=size=64x36:rate=5"
FILMS = {
    "tones": (MOVING, "aevalsrc=0.25*sin(2*PI*1000*t)|0.125*sin(2*PI*1000*t):s=48000"),
    "dead channel": (MOVING, "aevalsrc=0.25*sin(2*PI*1000*t)|0:s=48000"),
    "dead track": (MOVING, TONE, ZEROS),
    "two tracks": (
        *(MOVING, TONE),
        "aevalsrc=0.025*sin(2*PI*1000*t)|0.0125*sin(2*PI*1000*t):s=48000",
    ),
    "centre": (MOVING, "aevalsrc=0|0|0.1*sin(2*PI*1000*t)|0|0|0:s=48000:c=5.1"),
    "loud": (MOVING, "aevalsrc=1.41*sin(2*PI*1000*t)|0.1*sin(2*PI*1000*t):s=48000"),
    "silent": (MOVING,),
    "noise": (
        "nullsrc=size=320x320:rate=5,geq=lum=random(1)*255:cb=random(2)*255:cr=random(3)*255",
    ),
    "anamorphic": ("testsrc2=size=720x576:rate=5,setsar=64/45",),
    "upright": ("testsrc2=size=360x640:rate=5",),
    "black": ("color=black:size=320x180:rate=25", ZEROS),
    "low": ("", "sine=sample_rate=48000,volume=-35dB"),
}
"""Picture and tracks of sound, as the filters of ffmpeg make them."""


def all_films(directory: Path) -> None:
    """Eight seconds of each, two where nobody listens; by one ffmpeg: that starts but once."""
    directory.mkdir()
    inputs: list[str] = []
    outputs: list[str] = []
    for name, (picture, *tracks) in FILMS.items():
        for description in filter(None, (picture, *tracks)):
            outputs += ["-map", str(len(inputs) // 4)]
            inputs += ["-f", "lavfi", "-i", description]
        codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
        sound = "pcm_f32le" if name == "loud" else "aac"
        seconds = "8" if tracks or name == "silent" else "2"
        outputs += ["-t", seconds, *codecs, "-c:a", sound, str(directory / f"{name}.mov")]
    subprocess.run([*QUIET, *inputs, *outputs], check=True)


@pytest.fixture(scope="session")
def film(once: Callable[[str, Callable[[Path], object]], Path]) -> Film:
    """`film(name)`: a source that shows it again and again."""
    directory = once("monitored", all_films)
    return lambda name: {"type": "file", "path": str(directory / f"{name}.mov")}


@asynccontextmanager
async def running(host: RealHost, wanted: MonitorSettings) -> AsyncIterator[Monitor]:
    role = Monitor(host, wanted)
    await role.start()
    try:
        yield role
    finally:
        await role.stop()


def metric(host: RealHost, name: str, **labels: str) -> float | None:
    return host.registry.get_sample_value(f"fleet_monitor_{name}", labels)


async def test_loudness_and_true_peaks_are_what_they_are(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("tones"))) as role:
        await until(lambda: (metric(host, "loudness_short_term_lufs") or -99) > -30, role)
        assert metric(host, "loudness_momentary_lufs") == pytest.approx(-14.1, abs=0.5)
        assert metric(host, "loudness_short_term_lufs") == pytest.approx(-14.1, abs=0.5)
        assert metric(host, "true_peak_dbtp", track="1", channel="left") == pytest.approx(
            -12, abs=0.7
        )
        assert metric(host, "true_peak_dbtp", track="1", channel="right") == pytest.approx(
            -18, abs=0.7
        )
        assert metric(host, "loudness_short_term_lufs", track="1") == pytest.approx(-14.1, abs=0.5)
        assert metric(host, "digital_silence") == 0
        assert metric(host, "digital_silence", track="1", channel="left") == 0
        assert metric(host, "signal") == 1
        assert metric(host, "last_update_timestamp_seconds") == pytest.approx(time.time(), abs=30)
        assert host.noted == (None, None)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dead channel", "the right channel is digital zero"),
        ("dead track", "track 2 is digital zero"),
    ],
)
async def test_a_dead_channel_or_track_is_named_while_another_is_heard(
    make_host: MakeHost, until: Until, film: Film, name: str, words: str
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film(name), sound_seconds=1)) as role:
        await until(lambda: host.noted[0] == "ChannelSilent", role)
        assert words in str(host.noted[1])
        assert metric(host, "digital_silence") == 0
        track = "2" if name == "dead track" else "1"
        assert metric(host, "channel_silent", track=track, channel="right") == 1
        assert metric(host, "digital_silence", track=track, channel="right") == 1
        assert metric(host, "channel_silent", track="1", channel="left") == 0


async def test_two_tracks_are_metered_apart(make_host: MakeHost, until: Until, film: Film) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("two tracks"))) as role:
        await until(
            lambda: (metric(host, "loudness_short_term_lufs", track="2") or -99) > -50, role
        )
        level = {
            track: metric(host, "loudness_short_term_lufs", track=track) for track in ("1", "2")
        }
        assert level == pytest.approx({"1": -12.0, "2": -34.1}, abs=0.5)
        assert metric(host, "loudness_short_term_lufs") == level["1"]
        assert metric(host, "true_peak_dbtp", track="2", channel="left") == pytest.approx(
            -32, abs=0.7
        )
        assert metric(host, "true_peak_dbtp", track="2", channel="right") == pytest.approx(
            -38, abs=0.7
        )


async def test_sound_in_the_centre_alone_is_heard(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("centre"), sound_seconds=1)) as role:
        await until(lambda: (metric(host, "loudness_short_term_lufs") or -99) > -30, role)
        assert metric(host, "loudness_short_term_lufs") == pytest.approx(-23, abs=0.5)
        assert metric(host, "digital_silence") == 0
        assert metric(host, "true_peak_dbtp", track="1", channel="3") == pytest.approx(-20, abs=0.7)
        assert host.noted == (None, None)


async def test_peaks_above_full_scale_are_measured(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("loud"))) as role:
        await until(
            lambda: metric(host, "true_peak_dbtp", track="1", channel="left") is not None, role
        )
        assert metric(host, "true_peak_dbtp", track="1", channel="left") == pytest.approx(
            3, abs=0.1
        )


async def test_a_camera_without_any_sound_is_said(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("silent"), frozen_seconds=0)) as role:
        await until(lambda: host.noted[0] == "NoSound", role)
        assert "no sound at all" in str(host.noted[1])


async def test_a_thumbnail_of_noise_is_made_coarser_until_it_fits(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("noise"))) as role:
        await until(lambda: host.thumbnails, role)
    assert len(host.children) > 1, "the first did not fit"
    assert host.failed is None
    assert len(host.thumbnails[0]) <= THUMBNAIL_BYTES


@pytest.mark.parametrize(("name", "size"), [("anamorphic", (320, 180)), ("upright", (180, 320))])
async def test_a_thumbnail_has_the_shape_that_is_seen(
    make_host: MakeHost, until: Until, film: Film, tmp_path: Path, name: str, size: tuple[int, int]
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film(name))) as role:
        await until(lambda: host.thumbnails, role)
    file = tmp_path / "thumbnail.jpg"
    file.write_bytes(host.thumbnails[0])
    (stream,) = probe(file)["streams"]
    assert (stream["width"], stream["height"]) == size
    assert stream.get("sample_aspect_ratio", "1:1") == "1:1"


async def test_a_thumbnail_shows_what_is_seen(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    host = make_host(role="monitor")
    source = {"type": "test", "size": "1920x1080"}
    async with running(host, settings(source)) as role:
        await until(lambda: len(host.thumbnails) >= 2, role)
    first, second = host.thumbnails[:2]
    assert first != second
    assert len(first) <= THUMBNAIL_BYTES
    picture = tmp_path / "thumbnail.jpg"
    picture.write_bytes(first)
    (stream,) = probe(picture)["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("mjpeg", 320, 180)


async def test_black_still_and_zero_are_told_from_one_another(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    strict = {"black_seconds": 1, "frozen_seconds": 2, "sound_seconds": 1}
    async with running(host, settings(film("black"), **strict)) as role:
        await until(lambda: metric(host, "picture_black") == 1, role)
        await until(lambda: host.noted[0] == "DigitalSilence", role)
        assert "black" in str(host.noted[1])
        assert metric(host, "digital_silence") == 1
        patient = attrs.evolve(role.settings, black_seconds=0, sound_seconds=0)
        assert await role.update(patient), "thresholds change while it looks"
        await until(lambda: host.noted[0] == "PictureFrozen", role)
        assert metric(host, "picture_frozen") == 1
        assert not await role.update(attrs.evolve(patient, thumbnail_seconds=3))
    assert len(host.children) == 1


async def test_sound_too_low_is_apart_from_zero(
    make_host: MakeHost, until: Until, film: Film
) -> None:
    host = make_host(role="monitor")
    async with running(host, settings(film("low"), sound_seconds=1)) as role:
        await until(lambda: host.noted[0] == "SoundLow", role)
        assert metric(host, "digital_silence") == 0
        assert metric(host, "signal") == 1
    assert host.thumbnails == []


async def test_a_source_may_come_and_go_and_come_again(make_host: MakeHost, until: Until) -> None:
    host, port = make_host(role="monitor"), free_port()
    source = {"role": "ingest", "host": "127.0.0.1", "port": port}
    async with running(host, settings(source)) as role:
        role.tick()
        assert host.noted[0] == "NoSignal"
        assert f"127.0.0.1:{port}" in str(host.noted[1])
        assert metric(host, "signal") == 0
        for _ in range(2):
            with sender(f"tcp://127.0.0.1:{port}?listen=1", "160x90", 25):
                await until(lambda: metric(host, "signal") == 1, role)
                assert host.noted == (None, None)
            await until(lambda: metric(host, "signal") == 0, role)
            assert host.noted[0] == "NoSignal"
    assert host.failed is None


async def test_a_program_that_is_missing_is_a_failure(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host(role="monitor")

    async def no_program(*_: Any, **__: Any) -> None:
        raise Failed("ProgramMissing", "ffmpeg is not on this station: install it")

    monkeypatch.setattr(host, "spawn", no_program)
    with pytest.raises(Failed, match="install it"):
        await Monitor(host, settings({"type": "test"})).start()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "microphone"}, "expected one of"),
        ({"black_seconds": -1}, "0 to 86400"),
        ({"low_lufs": 3}, "-100 to 0"),
        ({"loudness": 3}, "is not known here"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(Mistakes, match=message):
        settings({"type": "test"}, **values)
