"""Whatever a source's clock does: recorded once, as long as it took, and with its sound."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.media.began import began
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record, RecordSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import frames, joined, numbers, probe, public
from tests.roles.network import QUIET, Looping, Peer, nginx_rtmp, takes_connections
from tests.roles.numbered import film, shown

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]
RATE, SECONDS = 25, 3


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def plain_film(once: Once) -> Path:
    """Three seconds as Matroska, with FLAC."""
    return once("film.mkv", lambda file: film(file, SECONDS))


@pytest.fixture(scope="session")
def short_film(once: Once, plain_film: Path) -> Path:
    """The same as FLV, with AAC."""
    return once("film.flv", lambda file: encoded(plain_film, file, "aac"))


def encoded(film: Path, file: Path, sound: str, *more: str) -> None:
    argv = [*QUIET, "-i", str(film), "-c:v", "copy", "-c:a", sound, *more, str(file)]
    subprocess.run(argv, check=True)


def pictures(role: Record) -> int:
    return int(role._report.values.get("frame", 0)) if role._report else 0


def assert_even(files: list[Path], target: Path, apart: float = 0.08) -> Path:
    """Times only grow, no segment is longer than it is to be, sound is with its picture."""
    whole = joined(files, target)
    times = sorted(numbers(whole))
    assert max(after - before for before, after in itertools.pairwise(times)) < 3 * RATE
    assert [n for n, _ in itertools.groupby(times)] == times, "no two pictures at one time"
    beeps = [away for _, away in shown(whole).apart]
    assert beeps
    assert max(map(abs, beeps)) < apart, beeps
    return whole


async def test_a_publisher_that_comes_back_is_recorded_on_in_step_with_our_clock(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    tmp_path: Path,
    short_film: Path,
) -> None:
    url = f"rtmp://127.0.0.1:{free_port()}/live/main"
    publishing = (*QUIET, "-re", "-i", str(short_film), "-c", "copy", "-f", "flv", url)
    host = make_host()
    source = {"type": "url", "url": url}
    with nginx_rtmp(tmp_path, int(url.split(":")[2].split("/")[0])):
        with Peer(*publishing) as publisher:
            role = Record(host, record_settings(source=source, segment_seconds=2))
            await role.start()
            await until(lambda: not publisher.running, role)
        before, away = pictures(role), time.monotonic()
        with Peer(*publishing) as publisher:
            await until(lambda: pictures(role) > before, role)
            away = time.monotonic() - away
            await until(lambda: not publisher.running, role)
            await until(lambda: pictures(role) >= before + SECONDS * RATE - 20, role)
        await role.stop()
    files = public(host.recordings)
    whole = assert_even(files, tmp_path / "whole.ts")
    times = sorted(numbers(whole))
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert max(steps) / RATE < away, "a pause lasts as long as it did"
    assert sorted(steps)[-2] == 1, "nothing but the pause is missing"
    assert len(times) - steps.index(max(steps)) > SECONDS * RATE - 20, "all of the second time"
    assert host.registry.get_sample_value("fleet_source_clock_jumps_total") == 1
    assert host.noted[0] == "ClockJumped"
    assert host.failed is None


@pytest.mark.parametrize("kind", ["flv", "ts"])
async def test_a_file_that_is_sent_over_and_over_plays_on_and_is_said(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    tmp_path: Path,
    short_film: Path,
    kind: str,
) -> None:
    host, file = make_host(), short_film
    if kind == "ts":
        file = tmp_path / "film.ts"
        await asyncio.to_thread(encoded, short_film, file, "copy")
    with Looping([file], SECONDS, header=13 if kind == "flv" else 0) as sender:
        source = {"type": "url", "url": sender.url}
        wall = time.time()
        role = Record(host, record_settings(source=source, segment_seconds=2))
        await role.start()
        await until(lambda: pictures(role) > 2.5 * SECONDS * RATE, role)
        took = time.monotonic() - sender.begun
        await role.stop()
    whole = assert_even(public(host.recordings), tmp_path / "whole.ts")
    assert -1 < began(whole).timestamp() - wall < 30, "the time of day is in it"
    assert b"MISPmicrosectime" in whole.read_bytes()
    times = numbers(whole)
    span = max(times) - min(times) + 1
    assert span / RATE == pytest.approx(took, abs=3)
    assert span / len(times) == pytest.approx(1, abs=0.02), "as it was sent"
    assert (host.registry.get_sample_value("fleet_source_clock_jumps_total") or 0) >= 2
    assert host.noted[0] == "ClockJumped"
    assert host.failed is None


CAMERA = Path(__file__).with_name("camera.py")


@contextlib.contextmanager
def camera(clock: Path, *more: str) -> Iterator[str]:
    """A camera whose clock is set by what stands in `clock`, such as `+3600`."""
    port = free_port()
    environment = (
        f"LD_PRELOAD={next(Path('/usr/lib').glob('*/faketime/libfaketimeMT.so.1'))}",
        *(f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        *more,
    )
    with Peer("env", *environment, "/usr/bin/python3", str(CAMERA), str(port)) as server:
        while not takes_connections(port):
            assert server.running, server.end()
            time.sleep(0.02)
        yield f"rtsp://127.0.0.1:{port}/main"


async def test_a_camera_whose_clock_is_set_is_recorded_on(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    clock, host = tmp_path / "clock", make_host()
    clock.write_text("+0")

    def jumps() -> float:
        return host.registry.get_sample_value("fleet_source_clock_jumps_total") or 0

    with camera(clock) as url:
        source = {"type": "url", "url": url}
        role = Record(host, record_settings(source=source, segment_seconds=2))
        await role.start()
        await until(lambda: pictures(role) > 2 * RATE, role)
        before = 0.0
        for step in ("+3600", "-3600", "-1764000000"):  # on, back, and to 1970
            clock.write_text(step)
            await until(lambda before=before: jumps() > before, role)
            seen = pictures(role)
            await until(lambda seen=seen: pictures(role) > seen + 2 * RATE, role)
            assert host.noted[0] == "ClockJumped"
            assert jumps() - before in (1, 2), "one for both tracks, if their reports come together"
            before = jumps()
        await role.stop()
    whole = joined(public(host.recordings), tmp_path / "whole.ts")
    times = sorted(numbers(whole))[RATE:]  # the first report moves its times once
    assert times == list(range(times[0], times[0] + len(times)))
    ends = [float(s["start_time"]) + float(s["duration"]) for s in probe(whole)["streams"]]
    assert max(ends) - min(ends) < 0.3, "sound and picture are together"


async def test_a_camera_that_sends_pictures_in_another_order_loses_none_and_jumps_never(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    host, clock = make_host(), tmp_path / "clock"
    clock.write_text("+0")
    with camera(clock, "B_FRAMES=2") as url:
        source = {"type": "url", "url": url}
        role = Record(host, record_settings(source=source))
        await role.start()
        await until(lambda: pictures(role) > 4 * RATE, role)
        await role.stop()
    (file,) = public(host.recordings)
    times = sorted(numbers(file))[RATE:]  # the first report moves its times once
    assert times == list(range(times[0], times[0] + len(times)))
    assert host.registry.get_sample_value("fleet_source_clock_jumps_total") == 0


async def test_a_camera_that_sends_by_udp_alone_is_read_so(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with camera(clock, "ONLY=UDP") as url:
        source = {"type": "url", "url": url}
        role = Record(make_host(), record_settings(source=source))
        await role.start()
        await until(lambda: pictures(role) > RATE, role)
        await role.stop()
        assert len(public(role.host.recordings)) == 1, "nothing changed"
        small = {"size": "160x90", "local_copy": {"enabled": False}, "listen": "127.0.0.1"}
        wanted = {"picture": source, "sound": source, "port": free_port(), **small}
        capture = Ingest(make_host(role="ingest"), structure(wanted, IngestSettings))
        capture.start_seconds = 60
        await capture.start()
        shows = "fleet_ingest_picture_present"
        await until(lambda: capture.host.registry.get_sample_value(shows) == 1, capture)
        await capture.stop()


@pytest.mark.parametrize("sound", ["mp2", "aac"])
async def test_the_wrap_of_a_transport_stream_is_recorded_over(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    tmp_path: Path,
    plain_film: Path,
    sound: str,
) -> None:
    file, host = tmp_path / "wraps.ts", make_host()
    offset = ("-output_ts_offset", str(2**33 / 90_000 - 3))  # and 1.4 s for the decoder
    await asyncio.to_thread(encoded, plain_film, file, sound, *offset)
    source = {"type": "file", "path": str(file), "loop": False}
    role = Record(host, record_settings(source=source, segment_seconds=1))
    await role.start()
    await until(lambda: host.completed or host.failed, role)
    await role.stop()
    assert host.failed is None
    files = public(host.recordings)
    assert len(files) == SECONDS
    times = sorted(numbers(assert_even(files, tmp_path / "whole.ts")))
    assert times == list(range(times[0], times[0] + SECONDS * RATE))


async def test_a_web_camera_that_tells_no_times_is_recorded_and_captured_as_its_pictures_come(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    host, file, rate, seconds = make_host(), tmp_path / "pictures", 10, 30
    picture = ("-f", "lavfi", "-i", f"smptebars=size=160x90:rate={rate}", "-t", str(seconds))
    with Peer(*QUIET, *picture, "-f", "mpjpeg", str(file)) as encoder:
        await until(lambda: not encoder.running)
    with Looping([file], seconds) as sender:
        source = {"type": "url", "url": sender.url}
        role = Record(host, record_settings(source=source, container="matroska"))
        await role.start()
        await until(lambda: pictures(role) > 2.5 * rate, role)
        await role.stop()
    (recorded,) = public(host.recordings)
    with Looping([file], seconds) as sender:
        small = {"size": "160x90", "local_copy": {"enabled": False}, "listen": "127.0.0.1"}
        wanted = {"picture": {**source, "url": sender.url}, "port": free_port(), **small}
        capture = Ingest(make_host(role="ingest"), structure(wanted, IngestSettings))
        capture.start_seconds = 60
        await capture.start()
        repeated = "fleet_ffmpeg_duplicated_frames_total"
        await until(lambda: capture.host.registry.get_sample_value(repeated), capture)
        await capture.stop()
    found = probe(recorded)
    plays = float(found["format"]["duration"])
    assert plays == pytest.approx(int(found["streams"][0]["nb_read_frames"]) / rate, rel=0.3)
    assert host.registry.get_sample_value("fleet_source_clock_jumps_total") == 0
    assert host.failed is None


async def test_kill_9_of_what_stands_between_leaves_a_file_that_decodes_and_nobody_behind(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    short_film: Path,
) -> None:
    host = make_host()
    with Looping([short_film], SECONDS, header=13) as sender:
        role = Record(host, record_settings(source={"type": "url", "url": sender.url}))
        await role.start()
        await until(lambda: pictures(role) > 2 * RATE, role)
        os.kill(role.child.pid, signal.SIGKILL)
        await until(lambda: host.failed, role)
        await role.stop()
        await until(lambda: not any(left(p, role.child.pid) for p in psutil.process_iter()))
    (file,) = public(host.recordings)
    assert frames(file) > 2 * RATE - 10
    assert host.failed is not None
    assert host.failed.reason == "ChildExited"


def left(process: psutil.Process, group: int) -> bool:
    """Whether a process of that group still works."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    return False
