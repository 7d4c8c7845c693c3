"""What comes is copied where the output takes it, and encoded where it must be."""

import contextlib
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.roles import Failed
from fleet.roles.record import Record, RecordSettings
from fleet.roles.stream import Stream, StreamSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import frames, probe, public
from tests.roles.network import QUIET, Peer, takes_connections

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

_ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! h264parse",
    "vp8": "vp8enc deadline=1 keyframe-max-dist=12",
    "rawvideo": "identity",
    "aac": "audioconvert ! avenc_aac ! aacparse",
    "opus": "opusenc",
    "flac": "flacenc",
    "pcm_s16le": "identity",
}


@contextlib.contextmanager
def offered(video: str, audio: str) -> Iterator[str]:
    """A picture and a tone as Matroska for any number of readers, as a mixer offers its own."""
    port = free_port()
    pipeline = (
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=90,framerate=25/1"
        f" ! {_ENCODERS[video]} ! queue ! mux. audiotestsrc is-live=true"
        " ! audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=2"
        f" ! {_ENCODERS[audio]} ! queue ! mux."
        " matroskamux name=mux streamable=true"
        f" ! tcpserversink host=127.0.0.1 port={port} sync-method=latest-keyframe"
    )
    with Peer("gst-launch-1.0", "-q", *pipeline.split()) as server:
        while not takes_connections(port):
            assert server.running, server.end()
            time.sleep(0.02)
        yield f"tcp://127.0.0.1:{port}"


def pictures(role: Any) -> int:
    """How many were written; sound may be there before."""
    return int(role._report.values.get("frame", 0))


def codecs(file: Path) -> tuple[str, ...]:
    return tuple(stream["codec_name"] for stream in probe(file)["streams"])


@pytest.mark.parametrize(
    ("container", "comes", "recorded"),
    [
        ("mpegts", ("h264", "aac"), ("h264", "aac")),
        ("mpegts", ("vp8", "opus"), ("h264", "opus")),
        ("mpegts", ("h264", "flac"), ("h264", "aac")),
        ("mpegts", ("rawvideo", "pcm_s16le"), ("h264", "aac")),
        ("matroska", ("vp8", "flac"), ("vp8", "flac")),
        ("matroska", ("rawvideo", "pcm_s16le"), ("h264", "pcm_s16le")),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
async def test_a_recording_copies_what_fits_and_encodes_what_does_not(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    container: str,
    comes: tuple[str, str],
    recorded: tuple[str, str],
) -> None:
    host = make_host()
    with offered(*comes) as url:
        wanted = record_settings(source={"type": "url", "url": url}, container=container)
        role = Record(host, wanted)
        await role.start()
        await until(lambda: pictures(role) > 25, role)
        await role.stop()
    (file,) = public(host.recordings)
    assert codecs(file) == recorded
    assert frames(file) > 25
    encoded = ("libx264" in role.child.argv, "aac" in role.child.argv)
    assert encoded == (comes[0] != recorded[0], comes[1] != recorded[1])
    assert host.failed is None


@pytest.mark.long
async def test_a_sender_that_takes_one_reader_at_a_time_is_waited_for(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    url, clip = f"tcp://127.0.0.1:{free_port()}?listen=1", tmp_path / "clip.webm"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-t", "12")
    encoded = ("-c:v", "libvpx", "-threads", "1", "-deadline", "realtime", "-cpu-used", "8")
    with Peer(*QUIET, *picture, *encoded, str(clip)) as encoder:
        await until(lambda: not encoder.running)
    with repeated(f"{' '.join(QUIET)} -re -i {clip} -c copy -f matroska {url}"):
        source = {"type": "url", "url": url.partition("?")[0]}
        wanted = record_settings(source=source)
        role = await started(lambda n: Record(make_host(n), wanted))
        await until(lambda: pictures(role) > 25, role)
        await role.stop()
    (file,) = public(role.host.recordings)
    assert codecs(file) == ("h264",)


async def test_a_copy_that_was_asked_for_and_cannot_be_is_told(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    with offered("vp8", "opus") as url:
        source = {"type": "url", "url": url}
        with pytest.raises(Failed, match=f"{url}.*video_codec.*auto") as failed:
            await Record(host, record_settings(source=source, video_codec="copy")).start()
        assert failed.value.reason == "CodecUnsuitable"
        assert list(host.recordings.iterdir()) == [], "what nobody can read is not left behind"
        role = Record(make_host(), record_settings(source=source, video_codec="auto"))  # as it says
        await role.start()
        await role.stop()


def on_its_side(directory: Path) -> Path:
    """A second of a picture that is to be turned."""
    flat, turned = directory / "flat.mov", directory / "turned.mov"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-t", "1")
    rotate = ("-c", "copy", "-metadata:s:v", "rotate=90", str(turned))
    subprocess.run([*QUIET, *picture, "-c:v", "libx264", str(flat)], check=True)
    subprocess.run([*QUIET, "-i", str(flat), *rotate], check=True)
    return turned


async def test_a_copy_that_lies_on_its_side_is_said_and_auto_sets_it_upright(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    source = {"type": "file", "path": str(on_its_side(tmp_path)), "loop": False}
    for codec, said, width in (("copy", "PictureTurned", 160), ("auto", None, 90)):
        host = make_host()
        role = Record(host, record_settings(source=source, video_codec=codec))
        await role.start()
        assert host.noted[0] == said
        assert codec == "auto" or 'video_codec = "auto"' in str(host.noted[1])
        await until(lambda host=host: host.completed or host.failed, role)
        await role.stop()
        assert host.failed is None
        newest = max(public(host.recordings), key=lambda file: file.stat().st_mtime_ns)
        assert probe(newest)["streams"][0]["width"] == width


def without_its_begin(directory: Path) -> Path:
    """The second of two seconds: its key frame is in the first."""
    whole, cut = directory / "whole.mp4", directory / "cut.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25")
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "2", "-c:a", "aac")
    subprocess.run([*QUIET, *picture, *sound, "-c:v", "libx264", str(whole)], check=True)
    subprocess.run([*QUIET, "-ss", "1", "-i", str(whole), "-c", "copy", str(cut)], check=True)
    return cut


async def test_what_was_cut_off_the_begin_of_a_film_is_not_recorded(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    source = {"type": "file", "path": str(without_its_begin(tmp_path)), "loop": False}
    host = make_host()
    role = Record(host, record_settings(source=source))
    await role.start()
    await until(lambda: host.completed or host.failed, role)
    await role.stop()
    assert host.failed is None
    (file,) = public(host.recordings)
    assert frames(file) == 25


async def test_a_recording_that_cannot_be_looked_at_goes_on(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = tmp_path / "bin/ffprobe"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    host = make_host()
    with offered("h264", "aac") as url, monkeypatch.context() as patched:
        patched.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
        role = Record(host, record_settings(source={"type": "url", "url": url}))
        await role.start()
        assert [child.argv[0] for child in host.children][1:] == ["ffprobe"]
        await until(lambda: pictures(role) > 25, role)
        await role.stop()
    assert codecs(public(host.recordings)[0]) == ("h264", "aac")
    assert host.failed is None


@pytest.mark.parametrize("kind", ["rtmp", "hls"])
async def test_a_stream_encodes_what_its_target_does_not_take(
    make_host: MakeHost, until: Until, tmp_path: Path, kind: str
) -> None:
    address = f"rtmp://127.0.0.1:{free_port()}/live/app"
    listen = f"{' '.join(QUIET)} -listen 1 -i {address} -c copy {tmp_path}/$n.flv"
    targets = {
        "rtmp": {"type": "rtmp", "url": address},
        "hls": {"type": "hls", "segment_seconds": 1},
    }
    with offered("vp8", "flac") as url, repeated(listen):
        source = {"type": "url", "url": url}
        wanted = structure({"source": source, "target": targets[kind]}, StreamSettings)
        role = await started(lambda n: Stream(make_host(n, role="stream"), wanted))
        await until(lambda: pictures(role) > 30, role)
        await role.stop()
    if kind == "hls":  # what was copied first is gone, from the list too
        hls = tmp_path / "recordings/hls"
        files = sorted(hls.glob(f"{role.host.instance}-*.ts"))
        lines = (hls / f"{role.host.instance}.m3u8").read_text().splitlines()
        assert [line for line in lines if line.endswith(".ts")] == [file.name for file in files]
        assert {codecs(file) for file in files} == {("h264", "aac")}
    else:
        sizes = {file.stat().st_size: file for file in public(tmp_path) if file.suffix == ".flv"}
        assert codecs(sizes[max(sizes)]) == ("h264", "aac")


@contextlib.contextmanager
def repeated(command: str) -> Iterator[None]:
    """Runs a command again whenever it has ended; `$n` counts."""
    loop = f"trap 'kill -9 $!; exit' TERM; while n=$((n+1)); do {command} & wait $!; done"
    with Peer("sh", "-c", loop):
        yield


async def started(make: Callable[[str], Any]) -> Any:
    """A role that starts, as soon as there is somebody to connect to."""
    for count in range(1000):
        role = make(f"main{count}")
        try:
            await role.start()
        except Failed as failure:
            if role.encoded or not failure.reason.endswith("Unreachable"):
                raise  # once it is known what must be encoded, that is tried by itself
        else:
            return role
    raise AssertionError("nobody to connect to")
