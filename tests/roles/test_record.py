"""The record role on a real ffmpeg: what it writes, and how it begins and ends."""

import asyncio
import contextlib
import functools
import http.server
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.roles import Failed
from fleet.roles.record import Record, RecordSettings
from tests.processes import free_port
from tests.roles.media import clip, each, frames, hidden, joined, numbers, probe, public
from tests.roles.network import QUIET, Peer

MakeHost = Callable[..., Any]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
async def test_joined_segments_have_every_frame_of_one_continuous_run(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path, container: str
) -> None:
    host = make_host()
    role = Record(host, record_settings(segment_seconds=1, container=container))
    await role.start()
    await until(lambda: len(public(host.recordings)) > 3, role)
    await role.stop()
    files = public(host.recordings)
    assert each(files[:-1]) == [25] * (len(files) - 1)
    if container == "mpegts":
        seen = numbers(joined(files, tmp_path / "joined.ts"))
        assert seen == list(range(seen[0], seen[0] + len(seen)))


async def test_sigint_finalises_so_that_matroska_knows_its_duration_where_there_is_no_room(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host(room=None)
    role = Record(host, record_settings(container="matroska", directory="day1/raw"))
    await role.start()
    (file,) = public(host.recordings / "day1/raw")
    await until(lambda: file.stat().st_size > 60_000, role)
    await role.stop()
    assert float(probe(file)["format"]["duration"]) > 1
    assert re.fullmatch(r"hall1-cam-main-\d{8}T\d{6}Z\.mkv", file.name), "its dash is left out too"


@pytest.mark.parametrize("container", ["mpegts", "matroska"])
async def test_kill_9_leaves_a_file_that_decodes_almost_to_the_end(
    make_host: MakeHost, record_settings: Settings, until: Until, container: str
) -> None:
    host = make_host()
    role = Record(host, record_settings(container=container))
    await role.start()
    (file,) = public(host.recordings)
    await until(lambda: role._report and role._report.frames >= 100, role)
    os.kill(role.child.pid, signal.SIGKILL)
    await until(lambda: host.failed is not None)
    await role.stop()
    assert frames(file) >= 75
    assert host.failed is not None
    assert host.failed.reason == "ChildExited"
    assert "SIGKILL" in host.failed.message
    assert hidden(host.recordings) == []


async def test_a_stopped_process_makes_no_progress(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    role = Record(host, record_settings(stall_seconds=7))
    await role.start()
    assert role.stall_seconds == 7
    await until(lambda: host.progressed, role)
    os.kill(role.child.pid, signal.SIGSTOP)
    await until(lambda: psutil.Process(role.child.pid).status() == psutil.STATUS_STOPPED)

    async def look() -> None:
        role.tick()
        await role._disk.do(lambda: None)  # what the tick began is done
        role.tick()

    await look()
    before = host.progressed
    for _ in range(5):
        await look()
    assert host.progressed == before
    os.kill(role.child.pid, signal.SIGCONT)
    await until(lambda: host.progressed > before, role)
    await role.stop()


async def test_the_patience_changes_without_interrupting(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    role = Record(host, record_settings())
    assert await role.update(record_settings(stall_seconds=30))
    assert role.stall_seconds == 30
    assert not await role.update(record_settings(segment_seconds=5, stall_seconds=30))


async def test_what_is_recorded_decodes_and_metrics_are_of_ffmpegs_progress_and_the_files(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    television = {"type": "test", "size": "160x90", "rate": "30000/1001"}
    role = Record(host, record_settings(source=television))
    value = host.registry.get_sample_value
    await role.start()
    (file,) = public(host.recordings)
    assert file.stat().st_size, "started means that bytes are on disk"

    def as_on_disk() -> bool:
        written, now = value("fleet_recording_last_write_timestamp_seconds"), file.stat()
        return bool(
            value("fleet_recording_bytes_total") == pytest.approx(now.st_size, rel=0.2)
            and written == pytest.approx(now.st_mtime, abs=2)
        )

    await until(lambda: value("fleet_ffmpeg_frames_total") >= 50, role)
    await until(as_on_disk, role)
    await until(lambda: value("fleet_ffmpeg_speed_ratio") == pytest.approx(1, abs=0.5), role)
    await until(lambda: value("fleet_recording_bitrate_bits_per_second") > 50_000, role)
    assert value("fleet_ffmpeg_dropped_frames_total") == 0
    assert value("fleet_ffmpeg_duplicated_frames_total") == 0
    await role.stop()
    assert re.fullmatch(r"hall1-hall1-cam-main-\d{8}T\d{6}Z\.ts", file.name)
    video, audio = probe(file)["streams"]
    assert (video["codec_name"], audio["codec_name"]) == ("h264", "aac")
    assert (video["r_frame_rate"], video["avg_frame_rate"]) == ("30000/1001", "30000/1001")
    assert hidden(host.recordings) == []
    assert host.failed is None


async def test_a_file_is_copied_and_its_end_completes_the_recording(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    host.recordings.mkdir()
    clip(host.recordings / "in.mp4")
    source = {"type": "file", "path": "in.mp4", "loop": False}
    role = Record(host, record_settings(source=source, directory="out"))
    await role.start()
    await until(lambda: host.completed, role)
    await role.stop()
    (file,) = public(host.recordings / "out")
    assert frames(file) == 50


async def test_a_looped_file_goes_on_beyond_its_end(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    host.recordings.mkdir()
    clip(host.recordings / "in.mp4")
    source = {"type": "file", "path": str(host.recordings / "in.mp4")}
    role = Record(host, record_settings(source=source, directory="out", segment_seconds=1))
    await role.start()
    await until(lambda: role._report and role._report.frames > 80, role)
    await role.stop()
    assert sum(each(public(host.recordings / "out"))) > 80


async def test_a_stream_from_the_network_is_recorded_until_it_ends(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    with sender("-re") as url:
        role = Record(host, record_settings(source={"type": "url", "url": url}))
        await role.start()
        (file,) = public(host.recordings)
        await until(lambda: file.stat().st_size > 50_000, role)
    await until(lambda: host.failed)
    await role.stop()
    assert host.failed.reason == "SourceEnded"
    assert frames(file) > 10


async def test_a_recording_that_begins_before_its_source_waits_and_has_not_failed(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host, port = make_host(), free_port()
    role = Record(host, record_settings(source={"host": "127.0.0.1", "port": port}))
    starting = asyncio.create_task(role.start())
    await until(lambda: host.noted[0])
    assert host.noted[0] == "SourceNotYet"
    assert f"127.0.0.1:{port}" in str(host.noted[1])
    with sender(port=port):
        await starting
        assert host.noted == (None, None)
        await role.stop()
    assert host.failed is None


async def test_segments_that_come_in_a_burst_are_all_kept(
    make_host: MakeHost, record_settings: Settings, until: Until
) -> None:
    host = make_host()
    with sender("-t", "4") as url:
        source = {"type": "url", "url": url}
        role = Record(host, record_settings(source=source, segment_seconds=1))
        with contextlib.suppress(Failed):  # it may be over before the first look at it
            await role.start()
            await until(lambda: host.failed, role)
        await role.stop()
    files = public(host.recordings)
    assert each(files) == [25] * 4
    assert len({file.stem[-16:] for file in files}) == 4


@contextlib.contextmanager
def sender(*options: str, port: int = 0) -> Iterator[str]:
    """Sends a picture to the first who connects, a key frame each second; its address."""
    url = f"tcp://127.0.0.1:{port or free_port()}"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25")
    encoded = ("-c:v", "mpeg2video", "-g", "25", "-bf", "0", "-f", "mpegts")
    process = subprocess.Popen([*QUIET, *options, *picture, *encoded, f"{url}?listen=1"])
    try:
        while not psutil.Process(process.pid).net_connections("inet"):
            time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait()


async def test_stopped_before_it_began_it_stops(
    make_host: MakeHost, record_settings: Settings
) -> None:
    host = make_host()
    await Record(host, record_settings()).stop()
    assert host.children == []
    assert host.failed is None
    assert not host.recordings.exists()


async def test_the_end_of_an_hls_source_is_recorded_once(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    clip(site / "clip.mp4")
    cut = ("-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0")
    with Peer(*QUIET, "-i", str(site / "clip.mp4"), *cut, str(site / "on.m3u8")) as cutter:
        await until(lambda: not cutter.running)
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = {"type": "url", "url": f"http://127.0.0.1:{server.server_port}/on.m3u8"}
        for _ in range(2):
            host = make_host()
            role = Record(host, record_settings(source=source))
            with contextlib.suppress(Failed):  # it may end before it counts as begun
                await role.start()
                await until(lambda host=host: host.failed, role)
            await role.stop()
        with pytest.raises(Failed, match="when its list goes on") as failed:
            await Record(make_host(), record_settings(source=source)).start()
        assert failed.value.reason == "SourceEnded"
        (file,) = public(make_host().recordings)
        assert frames(file) == 50
        goes_on = (site / "on.m3u8").read_text().replace("#EXT-X-ENDLIST", "")
        (site / "on.m3u8").write_text(goes_on + "#EXTINF:1,\non0.ts\n#EXT-X-ENDLIST\n")
        host = make_host()
        role = Record(host, record_settings(source=source))
        with contextlib.suppress(Failed):
            await role.start()
            await until(lambda: host.failed, role)
        await role.stop()
        assert len(public(make_host().recordings)) == 2
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server that keeps no log."""

    def log_message(self, *_: object) -> None:
        pass
