"""One capture, many readers: what leaves an ingest, whatever happens in front of it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fleet.media.meter import ZERO_DB
from fleet.media.progress import Report
from fleet.roles import Failed
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.strict import Mistakes, structure
from tests.processes import PATIENCE, free_port, keeps_pace
from tests.roles.disk import Disk
from tests.roles.host import RealHost
from tests.roles.media import frames, joined, probe, public, unbroken
from tests.roles.network import QUIET, reader

NONE = {"type": "none"}
WELL = (None, "Choppy")
"""What may be said where all comes and goes; the second where the machine lacks the time for it."""
MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]


def settings(**values: Any) -> IngestSettings:
    small = {
        "picture": {"type": "test"},
        "sound": {"type": "test"},
        "size": "320x180",
        "video_bitrate": 400_000,
        "listen": "127.0.0.1",
        "port": free_port(),
        "local_copy": {"enabled": False},
    }
    return structure({**small, **values}, IngestSettings)


@asynccontextmanager
async def running(host: RealHost, wanted: IngestSettings) -> AsyncIterator[Ingest]:
    role = Ingest(host, wanted)
    await role.start()
    try:
        yield role
    finally:
        await role.stop()


def url(wanted: IngestSettings) -> str:
    return f"tcp://127.0.0.1:{wanted.port}"


def metric(host: RealHost, name: str) -> float | None:
    return host.registry.get_sample_value(name)


def holds(file: Path) -> Callable[[], bool]:
    """Whether a file has grown by a second or two since this was called."""
    enough = (file.stat().st_size if file.exists() else 0) + 50_000
    return lambda: file.exists() and file.stat().st_size > enough


def said(file: Path, *filters: str) -> str:
    """What ffmpeg's filters say of a file."""
    argv = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(file), *filters, "-f", "null", "-"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize(
    ("codecs", "names"),
    [({}, ("h264", "aac")), ({"video_codec": "h265", "audio_codec": "mp2"}, ("hevc", "mp2"))],
    ids=["default", "others"],
)
async def test_picture_and_sound_leave_in_the_size_and_rate_asked_for(
    make_host: MakeHost,
    until: Until,
    tmp_path: Path,
    codecs: dict[str, str],
    names: tuple[str, str],
) -> None:
    host, wanted = make_host(role="ingest"), settings(**codecs)
    async with running(host, wanted) as role:
        await until(lambda: (metric(host, "fleet_ffmpeg_frames_total") or 0) > 40, role)
        with reader(url(wanted), tmp_path / "a.ts", 60) as one:
            await until(lambda: metric(host, "fleet_ingest_readers") == 1, role)
            await until(holds(tmp_path / "a.ts"), role)
            assert one.end() == "", "a reader begins at a key frame, so nothing is undecodable"
        assert host.noted[0] in WELL
        assert (metric(host, "fleet_ingest_bytes_total") or 0) > 30_000
        assert metric(host, "fleet_ingest_picture_present") == 1
        assert metric(host, "fleet_ingest_sound_present") == 1
        assert metric(host, "fleet_ingest_input_width_pixels") == 320, "as it is wanted, at once"
        assert metric(host, "fleet_ingest_input_rate_hertz") == 25
    video, audio = probe(tmp_path / "a.ts")["streams"]
    assert (video["codec_name"], audio["codec_name"]) == names
    assert (video["width"], video["height"], video["r_frame_rate"]) == (320, 180, "25/1")
    assert unbroken(tmp_path / "a.ts")
    loudness = said(tmp_path / "a.ts", "-af", "volumedetect")
    assert "mean_volume: -21." in loudness
    assert host.failed is None


RATES = ("30000/1001", "24000/1001")


def all_films(directory: Path) -> None:
    """What is captured here; by one ffmpeg, which takes longer to start than to make a film."""
    directory.mkdir()
    h264 = ("-c:v", "libx264", "-preset", "ultrafast")
    inputs, outputs = [], []
    for number, rate in enumerate(RATES):
        inputs += ["-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={rate}"]
        film = str(directory / f"{number}.mkv")
        outputs += ["-map", str(number), "-t", "20", *h264, film]
    inputs += ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"]
    gaps = ("-vf", r"select=mod(n\,10)", "-fps_mode", "passthrough", "-enc_time_base", "1:25")
    outputs += ["-map", "2", "-t", "30", *gaps, *h264, str(directory / "gaps.mkv")]
    inputs += ["-f", "lavfi", "-i", "anullsrc=channel_layout=stereo:sample_rate=44100"]
    for encoding in ("pcm_s24le", "aac"):
        zeros = str(directory / f"{encoding}.mov")
        outputs += ["-map", "3", "-t", "20", "-c:a", encoding, zeros]
    subprocess.run([*QUIET, *inputs, *outputs], check=True)


@pytest.fixture(scope="session")
def films(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return once("captured", all_films)


@pytest.mark.parametrize("number", range(len(RATES)), ids=RATES)
async def test_a_film_or_television_rate_leaves_as_it_came_without_a_repeat(
    make_host: MakeHost, until: Until, tmp_path: Path, films: Path, number: int
) -> None:
    rate, source = RATES[number], {"type": "file", "path": str(films / f"{number}.mkv")}
    host = make_host(role="ingest")
    wanted = settings(picture=source, sound=NONE, rate=rate, size="160x90")
    what = ("fleet_ffmpeg_duplicated_frames_total", "fleet_ffmpeg_dropped_frames_total")
    async with running(host, wanted) as role:
        await until(lambda: (metric(host, "fleet_ffmpeg_frames_total") or 0) > 30, role)

        async def read_on() -> str:
            before = [metric(host, one) for one in what]
            with reader(url(wanted), tmp_path / "a.ts", 3) as one:
                await until(lambda: not one.running, role)
            counted = [metric(host, one) for one in what]
            repeats = said(tmp_path / "a.ts", "-vf", "mpdecimate=hi=64:lo=64:frac=1,showinfo")
            shown, others = frames(tmp_path / "a.ts"), repeats.count(" pts_time:")
            well = counted == before and shown == others
            return "" if well else f"{before} became {counted}, {others} of {shown} differ"

        await keeps_pace(read_on)
    (video,) = probe(tmp_path / "a.ts")["streams"]
    assert (video["r_frame_rate"], video["avg_frame_rate"]) == (rate, rate)


async def test_a_still_picture_of_any_kind_stays(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    files = [tmp_path / f"still.{kind}" for kind in ("png", "gif")]
    argv = [*QUIET, "-f", "lavfi", "-i", "testsrc2=size=160x90"]
    argv += [part for file in files for part in ("-frames:v", "1", str(file))]
    await asyncio.to_thread(subprocess.run, argv, check=True)
    hosts = [make_host(file.suffix[1:], role="ingest") for file in files]
    roles = [
        Ingest(host, settings(picture={"type": "file", "path": str(file)}, sound=NONE))
        for host, file in zip(hosts, files, strict=True)
    ]
    told: set[str | None] = set()

    def shown_for_long() -> bool:
        told.update(host.noted[0] for host in hosts)
        return all((metric(host, "fleet_ffmpeg_frames_total") or 0) > 125 for host in hosts)

    try:
        for role in roles:
            await role.start()
        await until(shown_for_long, *roles)
    finally:
        for role in roles:
            await role.stop()
    assert told == {None}, "five seconds, in which they were read again"


@pytest.mark.parametrize("codec", ["aac", "mp2"])
async def test_zeros_leave_as_zeros(
    make_host: MakeHost, until: Until, tmp_path: Path, films: Path, codec: str
) -> None:
    tracks = [
        {"name": it, "type": "file", "path": str(films / f"{it}.mov")}
        for it in ("pcm_s24le", "aac")
    ]
    wanted = settings(picture=NONE, sound=tracks, audio_codec=codec)
    async with running(make_host(role="ingest"), wanted) as role:
        with reader(url(wanted), tmp_path / "a.ts", 2) as one:
            await until(lambda: not one.running, role)
    levels = ("-af", "astats=measure_perchannel=none")
    each = ("-map", "0:a:0", *levels, "-f", "null", "-", "-map", "0:a:1", *levels)
    peaks = re.findall(r"Peak level dB: (\S+)", said(tmp_path / "a.ts", *each))
    assert len(peaks) == 2
    assert max(map(float, peaks)) < ZERO_DB


async def test_pictures_that_are_repeated_because_none_came_are_said_and_counted(
    make_host: MakeHost, until: Until, films: Path
) -> None:
    source = {"type": "file", "path": str(films / "gaps.mkv")}
    host, wanted = make_host(role="ingest"), settings(picture=source, sound=NONE)
    async with running(host, wanted) as role:
        tenth = r" ([789]|10)% of the pictures shown are repeated"
        await until(lambda: re.search(tenth, str(host.noted[1])), role)
        assert host.noted[0] == "Choppy"
        assert str(host.noted[1]).endswith(": check whether this station has processor time left")
        assert (metric(host, "fleet_ffmpeg_duplicated_frames_total") or 0) > 15
    assert host.failed is None


async def test_a_slow_reader_never_hurts_another_and_the_end_of_the_program_is_a_failure(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    host, wanted = make_host(role="ingest"), settings(video_bitrate=8_000_000)
    async with running(host, wanted) as role:
        with contextlib.closing(socket.socket()) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", wanted.port))
            with reader(url(wanted), tmp_path / "a.ts", 5) as fast:
                await until(lambda: not fast.running, role)
                assert fast.end() == ""
        assert host.failed is None
        os.kill(role.child.pid, signal.SIGKILL)
        await until(lambda: host.failed, role)
    assert "SIGKILL" in str(host.failed)
    assert frames(tmp_path / "a.ts") == pytest.approx(125, abs=2)
    assert unbroken(tmp_path / "a.ts")


@pytest.mark.parametrize(
    ("lost", "reason", "filters", "shown"),
    [
        (
            {"sound": {"type": "alsa", "device": "hw:CARD=Gone"}},
            "NoSound",
            ("-af", "volumedetect"),
            "mean_volume: -91.0 dB",
        ),
        (
            {"picture": {"type": "v4l2", "device": "usb-Gone-video0"}},
            "NoPicture",
            ("-vf", "blackdetect=d=1"),
            "black_start:",
        ),
    ],
)
async def test_a_lost_device_leaves_the_other_running(
    make_host: MakeHost,
    until: Until,
    tmp_path: Path,
    lost: dict[str, Any],
    reason: str,
    filters: tuple[str, ...],
    shown: str,
) -> None:
    host, wanted = make_host(role="ingest"), settings(**lost)
    async with running(host, wanted) as role:
        await until(lambda: host.noted[0] == reason, role)
        assert "Gone" in str(host.noted[1])
        with reader(url(wanted), tmp_path / "a.ts", 2) as one:
            await until(lambda: not one.running, role)
    assert [s["codec_type"] for s in probe(tmp_path / "a.ts")["streams"]] == ["video", "audio"]
    assert shown in said(tmp_path / "a.ts", *filters)
    assert host.failed is None


async def test_a_file_that_is_none_is_named_for_what_it_is(
    make_host: MakeHost, tmp_path: Path
) -> None:
    words = tmp_path / "words.mkv"
    words.write_text("no film at all")
    source = {"type": "file", "path": str(words)}
    role = Ingest(make_host(role="ingest"), settings(picture=source, sound=NONE))
    role.start_seconds = 2.0
    with pytest.raises(Failed, match=f"no picture from .*{words.name}") as failed:
        await role.start()
    assert failed.value.reason == "SourceUnreadable"


@pytest.mark.parametrize(
    ("file", "reason"), [("gone.mkv", "FileMissing"), ("in.d", "SourceUnreadable")]
)
def test_a_file_that_cannot_be_opened_is_told_from_one_that_is_not_there(
    make_host: MakeHost, tmp_path: Path, file: str, reason: str
) -> None:
    host = make_host(role="ingest")
    (tmp_path / "in.d").mkdir()
    source = {"type": "file", "path": str(tmp_path / file)}
    role = Ingest(host, settings(picture=source, sound=NONE))
    error = "picture_error=Resource not found."
    (tmp_path / "report").write_text(f"picture=missing\n{error}\nprogress=continue\n")
    role._report = Report(tmp_path / "report")
    role.tick()
    assert host.noted[0] == reason
    assert re.search(f"no picture from .*{file}", str(host.noted[1]))


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ({"type": "test"}, "check that this station has processor time left, .*apt install .*: it"),
        ({"type": "screen"}, "check that it runs, and lets the agent's user in .xhost .*: it"),
        ({"type": "v4l2", "device": "any"}, "check cable and device: it"),
    ],
)
def test_what_is_advised_fits_what_gives_nothing(
    make_host: MakeHost, tmp_path: Path, source: dict[str, str], advice: str
) -> None:
    host = make_host(role="ingest")
    role = Ingest(host, settings(picture=source, sound=NONE))
    (tmp_path / "report").write_text("picture=missing\nprogress=continue\n")
    role._report = Report(tmp_path / "report")
    role.tick()
    assert host.noted[0] == "NoSignal"
    assert re.search(f"nothing came; {advice} comes back by itself$", str(host.noted[1]))


async def test_the_station_itself_reads_it_whatever_address_it_listens_on(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    host = make_host(role="ingest")
    wanted = settings(listen="127.0.0.9", local_copy={"minimum_free_gib": 0})
    async with running(host, wanted) as role:
        with (
            reader(f"tcp://127.0.0.9:{wanted.port}", tmp_path / "a.ts", 60),
            reader(url(wanted), tmp_path / "b.ts", 60),
        ):
            await until(lambda: metric(host, "fleet_ingest_readers") == 3, role)  # and the copy
            with (
                socket.create_connection(("127.0.0.1", wanted.port), PATIENCE) as late,
                late.makefile("rb") as stream,
            ):
                first = stream.read(2 * 188)
            await until(holds(tmp_path / "a.ts"), role)
            await until(holds(tmp_path / "b.ts"), role)
        await until(lambda: metric(host, "fleet_ingest_local_copy") == 1, role)
    named = [int.from_bytes(first[at + 1 : at + 3]) & 0x1FFF for at in (0, 188)]
    assert named == [0, 0x20], "what is in it, before all else"
    assert unbroken(tmp_path / "a.ts")
    assert unbroken(tmp_path / "b.ts")


async def test_a_port_in_use_is_named(make_host: MakeHost) -> None:
    wanted = settings()
    taken = contextlib.closing(socket.create_server(("127.0.0.1", wanted.port)))
    with taken, pytest.raises(Failed, match=f"port {wanted.port}") as failed:
        await Ingest(make_host(role="ingest"), wanted).start()
    assert failed.value.reason == "PortInUse"


def link_plugins(directory: Path) -> None:
    directory.mkdir()
    for plugin in Path("/usr/lib").glob("*/gstreamer-1.0/*.so"):
        (directory / plugin.name).symlink_to(plugin)


async def test_a_part_of_gstreamer_that_is_missing_is_named_with_the_package_that_has_it(
    make_host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its plugins are there but one, until that is installed."""
    link_plugins(tmp_path / "plugins")
    lacking = tmp_path / "plugins/libgstx265.so"
    there = lacking.readlink()
    lacking.unlink()
    for name in ("GST_REGISTRY", "GST_REGISTRY_UPDATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GST_REGISTRY_1_0", str(tmp_path / "registry"))
    monkeypatch.setenv("GST_PLUGIN_SYSTEM_PATH_1_0", str(tmp_path / "plugins"))
    role = Ingest(make_host(role="ingest"), settings(video_codec="h265"))
    with pytest.raises(Failed, match="x265enc") as failed:
        await role.start()
    assert failed.value.reason == "ToolMissing"
    (package,) = re.findall(r": apt install (\S+)$", failed.value.message)
    has = ("dpkg", "-L", package)
    listed = await asyncio.to_thread(subprocess.run, has, capture_output=True, text=True)
    assert str(there) in listed.stdout.split()
    lacking.symlink_to(there)
    async with running(make_host("b", role="ingest"), settings(video_codec="h265")):
        pass


async def test_the_local_copy_makes_way_when_the_disk_runs_short(
    make_host: MakeHost, until: Until, tmp_path: Path, small_disk: Disk
) -> None:
    host, wanted = make_host(role="ingest"), settings(local_copy={"minimum_free_gib": 4 / 1024})
    host.recordings, old = small_disk.path, small_disk.path / "old.ts"
    old.write_bytes(bytes(5 * 1024**2))
    async with running(host, wanted) as role:
        await until(lambda: host.noted[0] == "LocalCopyStopped", role)
        assert str(host.noted[1]).endswith("delete or move old ones")
        with reader(url(wanted), tmp_path / "a.ts", 1) as one:
            await until(lambda: not one.running, role)
        assert list(small_disk.path.iterdir()) == [old]
        old.unlink()
        await until(lambda: metric(host, "fleet_ingest_local_copy") == 1, role)
        assert host.noted[0] in WELL
    assert frames(tmp_path / "a.ts") > 20


async def test_readers_and_copy_outlive_the_agent_and_the_copy_is_whole_over_its_segments(
    make_host: MakeHost, until: Until, tmp_path: Path
) -> None:
    wanted = settings(local_copy={"segment_seconds": 2, "minimum_free_gib": 0})
    before = Ingest(make_host(role="ingest"), wanted)
    await before.start()
    host = make_host(role="ingest")
    directory = host.recordings / "local-copy"
    with reader(url(wanted), tmp_path / "a.ts", 60) as one:
        await until(lambda: metric(before.host, "fleet_ingest_readers") == 2, before)  # type: ignore[arg-type]
        await forget(before)
        async with running(host, wanted) as role:
            taken = [child.adopted for child in host.children]
            assert taken == [True, True], "an agent ends what is not taken once the role has begun"
            await until(holds(tmp_path / "a.ts"), role)
            assert one.end() == ""
            await until(lambda: len(public(directory)) >= 3, role)
            assert metric(host, "fleet_ingest_local_copy") == 1
            assert host.noted[0] in WELL
    assert unbroken(tmp_path / "a.ts")
    whole = joined(public(directory), tmp_path / "copy.ts")
    assert unbroken(whole)
    assert frames(whole) > 75


async def forget(role: Ingest) -> None:
    """As if the agent were killed: nothing is stopped."""
    for task in (role._watch, role._copy._task):
        assert task is not None
        task.cancel()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"picture": {"type": "none"}, "sound": {"type": "none"}}, "neither picture nor sound"),
        ({"picture": {"type": "url", "url": "rtsp://me:pw@camera/1"}}, "without user name"),
        ({"picture": {"type": "url", "url": "gopher://camera/1"}}, "expected an address such as"),
        ({"picture": {"type": "alsa"}}, "expected a type out of"),
        ({"size": "321x180"}, "even numbers"),
        ({"rate": 29.97}, 'whole number or a fraction such as "30000/1001"'),
        ({"rate": "29.97"}, 'a fraction such as "30000/1001"'),
        ({"rate": "1000/1"}, "expected a rate from 1 to 120"),
        ({"rate": 121}, "1 to 120"),
        ({"video_codec": "av2"}, "expected one of"),
        ({"local_copy": {"directory": "/etc"}}, "expected a directory below"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(Mistakes, match=message):
        settings(**values)


def test_what_a_person_wrote_never_becomes_part_of_a_pipeline(make_host: MakeHost) -> None:
    evil = '/dev/null" ! filesink location=/tmp/x'
    role = Ingest(make_host(role="ingest"), settings(picture={"type": "file", "path": evil}))
    pipelines = json.loads(role.stdin())
    assert all("filesink" not in one["pipeline"] for one in pipelines["sources"])
