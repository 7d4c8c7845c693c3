"""Devices of the station, captured by an ingest or recorded as they are."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.media.progress import Report
from fleet.roles import Failed
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.devices import Microphone, Screen
from tests.roles.host import RealHost
from tests.roles.media import BARS, bars, loudness, pictures, probe, public, unbroken
from tests.roles.network import reader

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

TONE = -9.0
"""LUFS of the microphone's tone: a sine of -9 dBFS on both channels."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    return path


def metric(host: RealHost, name: str) -> float | None:
    return host.registry.get_sample_value(f"fleet_ingest_{name}")


def names(host: RealHost, reason: str, device: str) -> bool:
    """Whether it says why there is nothing of a device, and not only that nothing comes."""
    said = host.noted[1] or ""
    return host.noted[0] == reason and device in said and "nothing came" not in said


@pytest.mark.long
async def test_an_ingest_captures_a_screen_and_a_sound_device(
    make_host: MakeHost, until: Until, tmp_path: Path, home: Path
) -> None:
    port, host = free_port(), make_host(role="ingest")
    with Screen("320x180") as screen, Microphone(home) as microphone:
        settings = {
            "picture": {"type": "screen", "display": screen.display},
            "sound": {"type": "alsa", "device": microphone.name},
            "size": "320x180",
            "listen": "127.0.0.1",
            "port": port,
            "local_copy": {"enabled": False},
        }
        role = Ingest(host, structure(settings, IngestSettings))
        await role.start()
        await until(lambda: host.noted == (None, None), role)
        with reader(f"tcp://127.0.0.1:{port}", tmp_path / "a.ts", 2) as one:
            await until(lambda: not one.running, role)
            assert one.end() == ""
        with reader(f"tcp://127.0.0.1:{port}", tmp_path / "b.ts", 60) as one:
            screen.unplug()
            await until(lambda: names(host, "NoPicture", screen.display) or host.failed, role)
            assert not host.failed, host.failed
            screen.plug()
            await until(lambda: metric(host, "picture_present") == 1, role)
            assert one.running, "nobody who reads it notices"
        await role.stop()
    shown = await asyncio.to_thread(pictures, tmp_path / "a.ts", 320, 180)
    assert len(shown) == pytest.approx(50, abs=2)
    black = next(count for count, one in enumerate(shown) if any(bars(one, 320, 180)))
    assert black < 30, (
        "a reader begins at the latest key frame, which may be older than the picture"
    )
    seen = [bars(one, 320, 180) for one in shown[black:]]
    assert seen == [BARS] * len(seen)
    assert await asyncio.to_thread(loudness, tmp_path / "a.ts") == pytest.approx(TONE, abs=1.5)
    assert host.failed is None


def test_a_device_that_is_all_there_is_is_missing_until_it_is_back(
    make_host: MakeHost, tmp_path: Path
) -> None:
    host, report = make_host(role="ingest"), tmp_path / "report"
    screen = {"picture": {"type": "screen", "display": ":97"}, "port": free_port()}
    role = Ingest(host, structure(screen, IngestSettings))
    role._report = Report(report)
    gone = "picture=missing\npicture_error=cannot open display\nprogress=continue\n"
    report.write_text(gone)
    role.tick()
    assert host.noted[0] == "DeviceMissing"
    assert "screen :97" in str(host.noted[1])
    assert metric(host, "picture_present") == 0
    report.write_text(f"{gone}picture=present\npicture_error=\nprogress=continue\n")
    role.tick()
    assert host.noted == (None, None)
    assert metric(host, "picture_present") == 1


async def test_a_recording_straight_from_devices_has_their_picture_and_sound(
    make_host: MakeHost, record_settings: Settings, until: Until, home: Path
) -> None:
    host = make_host()
    with Screen("320x180") as screen, Microphone(home) as microphone:
        source = {
            "type": "device",
            "picture": {"type": "screen", "display": screen.display},
            "sound": {"type": "alsa", "device": microphone.name},
        }
        role = Record(host, record_settings(source=source))
        await role.start()
        await until(lambda: int(role._report.values.get("frame", 0)) > 25, role)  # type: ignore[union-attr]
        await role.stop()
    (file,) = public(host.recordings)
    assert [stream["codec_name"] for stream in probe(file)["streams"]] == ["h264", "aac"]
    assert unbroken(file)
    shown = await asyncio.to_thread(pictures, file, 320, 180)
    assert [bars(one, 320, 180) for one in shown[::10]] == [BARS] * len(shown[::10])
    assert await asyncio.to_thread(loudness, file) == pytest.approx(TONE, abs=1)
    assert host.failed is None


MISSING: dict[str, dict[str, Any]] = {
    "/dev/video97": {"picture": {"type": "v4l2", "device": "/dev/video97"}},
    "usb-Gone-index0": {"picture": {"type": "v4l2", "device": "usb-Gone-index0"}},
    "hw:CARD=Gone": {"sound": {"type": "alsa", "device": "hw:CARD=Gone"}},
    ":97": {"picture": {"type": "screen", "display": ":97"}},
}


ANY: dict[str, dict[str, Any]] = {
    "no video device is plugged in": {"picture": {"type": "v4l2", "device": "any"}},
    "no sound card is plugged in": {"sound": {"type": "alsa", "device": "any"}},
}
"""No machine that runs tests has one."""


@pytest.mark.parametrize("device", [*MISSING, *ANY])
async def test_a_device_that_is_not_there_is_named_by_a_recording(
    make_host: MakeHost, record_settings: Settings, device: str
) -> None:
    source = {"type": "device", **(MISSING | ANY)[device]}
    advice = ": plug in or name" if device in ANY else " is not there: plug it in"
    with pytest.raises(Failed, match=f"{device}{advice}") as failed:
        await Record(make_host(), record_settings(source=source)).start()
    assert failed.value.reason == "DeviceMissing"


CARD = {"no decklink input is plugged in": {"sound": {"type": "decklink", "device": "any"}}}


@pytest.mark.parametrize(
    ("picture", "sound"),
    [
        ("/dev/video97", "hw:CARD=Gone"),
        ("no video device is plugged in", "no sound card is plugged in"),
        (":97", "no decklink input is plugged in"),
        ("usb-Gone-index0", None),
        (None, "hw:CARD=Gone"),
    ],
)
async def test_devices_that_are_not_there_are_named_by_an_ingest(
    make_host: MakeHost, picture: str | None, sound: str | None
) -> None:
    known = MISSING | ANY | CARD
    named = [one for one in (picture, sound) if one]
    settings: dict[str, Any] = {"picture": {"type": "none"}, "local_copy": {"enabled": False}}
    for one in named:
        settings |= known[one]
    wanted = structure({"listen": "127.0.0.1", "port": free_port(), **settings}, IngestSettings)
    role = Ingest(make_host(role="ingest"), wanted)
    role.start_seconds = 2.0
    with pytest.raises(Failed) as failed:
        await role.start()
    said = failed.value.message
    assert failed.value.reason == "DeviceMissing"
    assert all(one in said for one in named), said
    assert "nothing came" not in said, "why there is nothing is known of each"
    advice = {"check that it runs" if one == ":97" else "check cable and device" for one in named}
    assert all(one in said for one in advice), said
