"""Tracks of sound: named, of any channels of an input, kept apart on the whole way."""

import asyncio
import re
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.media.pipelines import raw, sources
from fleet.media.tracks import tracks_of
from fleet.roles import Role
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.monitor import Monitor, MonitorSettings
from fleet.roles.record import Record, RecordSettings
from fleet.roles.stream import Stream, StreamSettings
from fleet.strict import Mistakes, structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import probe, public
from tests.roles.network import QUIET

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]
TONES = (500, 1000, 2000, 0)
"""Hertz in each channel of the desk; 0 is nothing at all."""
NAMES = ["speaker", "german", "hall"]


def desk(file: Path) -> None:
    """What a mixing desk gives, over and over: channels of their own."""
    channels = "|".join(f"0.2*sin(2*PI*{hertz}*t)" for hertz in TONES)
    sound = f"aevalsrc='{channels}':channel_layout=4.0:sample_rate=48000:duration=20"
    subprocess.run([*QUIET, "-f", "lavfi", "-i", sound, str(file)], check=True)


def heard(file: Path, track: int, channels: int) -> list[int]:
    """The tone in each channel of a track, to 50 Hz; 0 where there is none."""
    found = []
    for channel in range(channels):
        only = f"pan=mono|c0=c{channel},astats=measure_overall=none"
        argv = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(file), "-map", f"0:{track}"]
        done = subprocess.run(
            [*argv, "-af", only, "-f", "null", "-"], capture_output=True, text=True, check=True
        )
        level = float(re.findall(r"RMS level dB: (\S+)", done.stderr)[-1])
        crossings = float(re.findall(r"Zero crossings rate: (\S+)", done.stderr)[-1])
        found.append(round(crossings * 24000 / 50) * 50 if level > -60 else 0)
    return found


def called(file: Path) -> str:
    """What a transport stream says of its name, and of its tracks."""
    show = ("-v", "error", "-show_entries", "program_tags=service_name:stream_tags=language")
    argv = ["ffprobe", *show, str(file)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.mark.long
async def test_every_track_is_kept_apart_named_and_judged(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    await asyncio.to_thread(desk, tmp_path / "desk.wav")
    card = {"type": "file", "path": str(tmp_path / "desk.wav")}
    given = {
        "picture": {"type": "none"},
        "sound": [
            {"name": "speaker", "language": "en", "channels": [1], **card},
            {"name": "german", "language": "de", "channels": [3, 4], **card},
            {"name": "hall", "type": "test"},
        ],
        "port": free_port(),
        "listen": "127.0.0.1",
        "local_copy": {"enabled": False},
    }
    ingest = Ingest(make_host(role="ingest"), structure(given, IngestSettings))
    source = {"host": "127.0.0.1", "port": ingest.settings.port, "tracks": NAMES}
    watched: dict[str, Any] = {"source": source, "sound_seconds": 1, "thumbnail_seconds": 60}
    monitor = Monitor(
        make_host("watch", role="monitor"),
        structure(watched, MonitorSettings),
    )
    record = Record(make_host(), record_settings(source=source, container="matroska"))
    sent = {"source": source, "track": "german", "target": {"type": "hls", "segment_seconds": 1}}
    stream = Stream(make_host("sent", role="stream"), structure(sent, StreamSettings))
    whole = Record(make_host("whole"), record_settings(source=source, directory="whole"))
    roles: list[Role[Any]] = [ingest, record, whole, stream, monitor]
    for role in roles:
        await role.start()
    host = monitor.host
    assert isinstance(host, RealHost)
    hls = host.recordings / "hls"
    await until(lambda: host.noted[0] == "ChannelSilent", *roles)
    await until(lambda: len(list(hls.glob("sent-*.ts"))) > 2, *roles)
    for role in reversed(roles):
        await role.stop()

    said = str(host.noted[1])
    assert said.startswith("the right channel of track german is digital zero"), said
    for name, channel, dead in (("german", "right", 1), ("german", "left", 0), ("hall", "left", 0)):
        labels = {"track": name, "channel": channel}
        value = host.registry.get_sample_value("fleet_monitor_channel_silent", labels)
        assert value == dead, labels
    first = host.registry.get_sample_value("fleet_monitor_loudness_short_term_lufs")
    speaker = {"track": "speaker"}
    named = host.registry.get_sample_value("fleet_monitor_loudness_short_term_lufs", speaker)
    assert first == named, "without a track it is that of the first"

    (recording,) = [file for file in public(host.recordings) if file.is_file()]
    streams = probe(recording)["streams"]
    assert [one["tags"].get("title") for one in streams] == NAMES
    assert [one["tags"].get("language") for one in streams] == ["eng", "ger", None]
    assert [one["channels"] for one in streams] == [1, 2, 2]
    tones = [heard(recording, track, one["channels"]) for track, one in enumerate(streams)]
    assert tones == [[500], [2000, 0], [450, 450]]
    (transport,) = public(host.recordings / "whole")
    said = called(transport)
    assert "service_name=speaker, german, hall" in said
    assert re.findall(r"language=(\w+)", said)[:2] == ["eng", "ger"]
    segment = sorted(hls.glob("sent-*.ts"))[1]
    (only,) = probe(segment)["streams"]
    assert heard(segment, 0, only["channels"]) == [2000, 0]


def opened(make_host: MakeHost, picture: Any, sound: Any) -> list[dict[str, Any]]:
    given = {"picture": picture, "sound": sound}
    settings = structure(given, IngestSettings)
    host = make_host(role="ingest")
    return sources(settings.picture, tracks_of(settings.sound), raw("320x180"), "25/1", host)


def test_a_card_is_opened_once_for_all_tracks_and_with_as_many_channels(
    make_host: MakeHost,
) -> None:
    card: dict[str, Any] = {"type": "alsa", "device": "hw:CARD=Desk"}
    channels: dict[str, Any] = {"a": [1], "b": [7, 8], "c": None}
    names = [{"name": name, "channels": picked} for name, picked in channels.items()]
    other = {"name": "d", "type": "alsa", "device": "hw:CARD=Other"}
    one, two = opened(make_host, {"type": "none"}, [*({**card, **name} for name in names), other])
    assert one["channels"] == {"sound": (1,), "sound-2": (7, 8)}
    assert one["set"] == {"sound-device": {"device": "hw:CARD=Desk"}}
    assert (
        "alsasrc name=sound-device provide-clock=false ! audio/x-raw,channels=[8,64] ! tee"
        in (one["pipeline"])
    )
    assert two["pipeline"].endswith(
        "appsink name=sound-4 max-buffers=100 emit-signals=true async=false drop=true"
    )


def test_what_an_address_sends_is_held_for_each_track(make_host: MakeHost) -> None:
    sent = {"type": "url", "url": "srt://camera:9000"}
    (one,) = opened(
        make_host, sent, [{"name": "a", **sent}, {"name": "b", "channels": [2], **sent}]
    )
    assert one["set"].keys() == {"decoder", "picture", "sound", "sound-2"}


@pytest.mark.parametrize(
    ("track", "source", "message"),
    [
        ("sign", {"host": "a", "tracks": NAMES}, "none of that name: speaker, german, hall"),
        ("9", {"host": "a"}, "none of that name: numbers, the first is 1"),
        ("speaker", {"type": "file", "path": "a.ts"}, "none of that name: numbers"),
    ],
)
def test_a_track_that_a_source_does_not_have_is_a_mistake(
    track: str, source: dict[str, Any], message: str
) -> None:
    with pytest.raises(Mistakes, match=message):
        structure({"source": source, "target": {"type": "hls"}, "track": track}, StreamSettings)
