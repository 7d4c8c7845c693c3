"""What ffmpeg can play is recorded, picture by picture, and each segment decodes by itself."""

import os
import re
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from fleet.roles.record import Record, RecordSettings
from tests.roles.host import RealHost
from tests.roles.media import frames, probe, public
from tests.roles.network import QUIET

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

SECONDS, RATE = 3, 25
_H264 = "-c:v libx264 -bf 2 -g 25 -pix_fmt yuv420p"
KINDS = {
    "mpeg4-b-frames.avi": "-c:v mpeg4 -bf 2 -g 25 -c:a mp3",  # without times of when they are shown
    "h264-b-frames.avi": f"{_H264} -c:a mp3",
    "program-stream.mpg": "-c:v mpeg2video -bf 2 -g 25 -c:a mp2",
    "theora.ogv": "-c:v libtheora -g 25 -c:a libvorbis",
    "sorenson.flv": "-c:v flv1 -g 25 -c:a mp3 -ar 44100",
    "windows.wmv": "-c:v wmv2 -g 25 -c:a wmav2",
    "motion-jpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le",
    "open-gop.mp4": f"{_H264} -x264-params open-gop=1:keyint=25:min-keyint=25 -c:a aac",
    "open-gop-h265.mov": "-c:v libx265 -x265-params log-level=none:open-gop=1:keyint=25 -c:a alac",
    "bare.h264": f"{_H264} -an",
    "transport.ts": f"{_H264} -c:a aac",
    "open-gop-mpeg2.ts": "-c:v mpeg2video -bf 2 -g 25 -strict -2 -c:a s302m -ac 2",
}

OTHERS = {
    "cut.ts": "-t 2 -c:a ac3",  # but for the end
    "cut.ac3": "-t 2 -vn -c:a ac3",
    "two.ts": "-t 0.08 -an -c:v libx264",
    "slow.ts": "-t 4 -r 1/2 -an -c:v libx264",
    "untimed.vob": "-t 2 -c:v mpeg2video -bf 2 -c:a ac3 -f vob",  # the last picture too
    "short.gif": "-t 0.5 -r 10",
    "still.png": "-t 0.04 -frames:v 1",
}
OUT_OF_ORDER = ("mpeg4-b-frames.avi", "theora.ogv", "bare.h264", "open-gop-h265.mov")
"""Those whose pictures come in another order, with other times or without any."""


def made(*arguments: str) -> None:
    subprocess.run([*QUIET, *arguments], check=True)


def all_kinds(directory: Path) -> None:
    """A film of each kind, by one ffmpeg: to start it takes longer than to encode one."""
    directory.mkdir()
    picture = ("-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={RATE}")
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=48000")
    films = {kind: f"-t {SECONDS} {codecs}" for kind, codecs in KINDS.items()} | OTHERS
    outputs = [
        part for name, how in films.items() for part in (*how.split(), str(directory / name))
    ]
    made(*picture, *sound, *outputs)
    for kind in ("ts", "ac3"):
        file = directory / f"cut.{kind}"
        file.write_bytes(file.read_bytes()[:-300])


@pytest.fixture(scope="session")
def sources(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return once("sources", all_kinds)


def decoded(files: list[Path]) -> list[tuple[int, int]]:
    """Pictures that are seen of each by itself, some at a cut needing what is before it, and
    packets of its sound.

    One ffmpeg decodes them all: to start one takes longer than to decode a second.
    """
    inputs = [part for file in files for part in ("-i", str(file))]
    tables = [file.with_name(f".{file.name}.crc") for file in files]
    outputs = [
        (
            *("-map", f"{number}:v?", "-map", f"{number}:a?", "-c:a", "copy"),
            *("-fps_mode", "passthrough", "-f", "framecrc", str(table)),
        )
        for number, table in enumerate(tables)
    ]
    subprocess.run([*QUIET, *inputs, *(part for one in outputs for part in one)], check=True)
    found = []
    for table in tables:
        text = table.read_text()
        media = dict(re.findall(r"#media_type (\d+): (\w+)", text))
        kinds = [media[line.split(",")[0]] for line in text.splitlines() if line[0] != "#"]
        found.append((kinds.count("video"), kinds.count("audio")))
        table.unlink()
    return found


async def played(until: Until, *roles: Record) -> list[RealHost]:
    """Their hosts, once what they record came to its end; they begin one after the other."""
    hosts = [role.host for role in roles if isinstance(role.host, RealHost)]
    for role in roles:
        await role.start()
    await until(lambda: all(host.completed or host.failed for host in hosts), *roles)
    for role in roles:
        await role.stop()
    assert [host.failed for host in hosts] == [None] * len(roles)
    return hosts


@pytest.mark.parametrize(
    "kinds", [list(KINDS)[at : at + 3] for at in range(0, len(KINDS), 3)], ids="+".join
)
async def test_every_picture_of_a_source_is_recorded_in_segments_that_decode(
    make_host: MakeHost,
    record_settings: Settings,
    until: Until,
    sources: Path,
    kinds: list[str],
) -> None:
    wanted = [(kind, "mpegts") for kind in kinds]
    wanted += [(kind, "matroska") for kind in kinds if kind in OUT_OF_ORDER]
    roles = []
    for number, (kind, container) in enumerate(wanted):
        source = {"type": "file", "path": str(sources / kind), "loop": False}
        settings = record_settings(
            source=source, segment_seconds=1, container=container, directory=str(number)
        )
        roles.append(Record(make_host(f"main{number}"), settings))
    hosts = await played(until, *roles)
    segments = [public(host.recordings / str(number)) for number, host in enumerate(hosts)]
    every = iter(decoded([file for files in segments for file in files]))
    for (kind, container), files in zip(wanted, segments, strict=True):
        recorded = f"{kind} in {container}"
        assert len(files) in (SECONDS, SECONDS + 1), recorded
        found = [next(every) for _ in files]
        seen = [pictures for pictures, _ in found]
        heard = sum(packets for _, packets in found)
        assert kind == "bare.h264" or heard >= 0.9 * SECONDS * 48_000 / 2048, (
            f"{recorded}: its sound too"
        )
        leading = 3 * (len(files) - 1) if "open-gop" in kind else 0
        there = SECONDS * RATE
        assert there - leading <= sum(seen) <= there, (
            f"{recorded}: none is missing or there twice: {seen}"
        )
        assert min(seen[:-1]) >= RATE - 3, recorded


async def test_sound_whose_last_packet_is_cut_short_ends_as_a_source_that_ended(
    make_host: MakeHost, record_settings: Settings, until: Until, sources: Path
) -> None:
    wanted = [(f"cut.{kind}", one) for kind in ("ts", "ac3") for one in ("mpegts", "matroska")]
    roles = []
    for number, (file, container) in enumerate(wanted):
        source = {"type": "file", "path": str(sources / file), "loop": False}
        settings = record_settings(source=source, container=container, directory=str(number))
        roles.append(Record(make_host(f"main{number}"), settings))
    hosts = await played(until, *roles)
    recorded = [public(host.recordings / str(number)) for number, host in enumerate(hosts)]
    assert [[it.suffix for it in files] for files in recorded] == [[".ts"], [".mkv"]] * 2
    heard = [packets for _, packets in decoded([file for (file,) in recorded])]
    assert min(heard) >= 60, "32 ms each"


async def test_a_short_source_plays_as_long_as_its_pictures_and_lacks_none(
    make_host: MakeHost, record_settings: Settings, until: Until, sources: Path
) -> None:
    lasts = {"two.ts": (2, 0.08), "slow.ts": (2, 4.0), "untimed.vob": (50, 2.0)}
    roles = []
    for name in lasts:
        source = {"type": "file", "path": str(sources / name), "loop": False}
        settings = record_settings(source=source, container="matroska", directory=name)
        roles.append(Record(make_host(name), settings))
    hosts = await played(until, *roles)
    for host, (name, (count, seconds)) in zip(hosts, lasts.items(), strict=True):
        (recorded,) = public(host.recordings / name)
        assert frames(recorded) == count
        assert float(probe(recorded)["format"]["duration"]) == pytest.approx(seconds, abs=0.05)
        assert host.noted == (None, None)


async def test_what_a_named_pipe_gives_is_recorded_whole(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    file, pipe = tmp_path / "two.ts", tmp_path / "pipe.ts"
    made(
        "-f", "lavfi", "-i", "testsrc2=size=160x90", "-frames:v", "2", "-c:v", "libx264", str(file)
    )
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=[file.read_bytes()], daemon=True)
    writing.start()
    source = {"type": "file", "path": str(pipe), "loop": False}
    (host,) = await played(until, Record(make_host(), record_settings(source=source)))
    assert [frames(recorded) for recorded in public(host.recordings)] == [2]


async def test_a_looped_file_has_heads_in_each_segment_and_no_jump(
    make_host: MakeHost, record_settings: Settings, until: Until, sources: Path
) -> None:
    host = make_host()
    source = {"type": "file", "path": str(sources / "open-gop.mp4")}
    role = Record(host, record_settings(source=source, segment_seconds=1))
    await role.start()
    program = psutil.Process(role.child.pid)
    opened = program.num_fds()
    await until(lambda: len(public(host.recordings)) > SECONDS + 1, role)
    await until(lambda: program.num_fds() <= opened, role)  # each turn leaves nothing open
    await role.stop()
    assert min(decoded(public(host.recordings)[:-1]))[0] >= RATE - 3
    assert host.registry.get_sample_value("fleet_source_clock_jumps_total") == 0
    assert host.failed is None


async def test_a_picture_that_moves_and_no_container_takes_is_there_from_the_begin(
    make_host: MakeHost, record_settings: Settings, until: Until, sources: Path
) -> None:
    host, source = make_host(), {"type": "file", "path": str(sources / "short.gif")}
    settings = record_settings(source=source, container="matroska")
    role = Record(host, settings)
    await role.start()
    await until(lambda: role._report is not None and role._report.frames > 10, role)
    await role.stop()
    assert decoded(public(host.recordings))[0][0] > 10
    assert host.failed is None


async def test_a_still_picture_is_shown_on_and_the_cover_of_a_piece_of_music_is_none(
    make_host: MakeHost, record_settings: Settings, until: Until, sources: Path, tmp_path: Path
) -> None:
    still, song = sources / "still.png", tmp_path / "song.mp3"
    sound = ("-f", "lavfi", "-i", "sine", "-t", "1")
    made("-i", str(still), *sound, "-disposition:v", "attached_pic", str(song))
    host = make_host()
    role = Record(host, record_settings(source={"type": "file", "path": str(still)}))
    await role.start()
    await until(lambda: role._report is not None and role._report.frames > 3, role)
    await role.stop()
    assert host.failed is None
    (file,) = public(host.recordings)
    lasted = float(probe(file)["format"]["duration"])
    assert lasted > 2.5
    assert frames(file) == pytest.approx(lasted, abs=1.5), "one a second"
    host = make_host("song")
    role = Record(host, record_settings(source={"type": "file", "path": str(song), "loop": False}))
    await role.start()
    await until(lambda: host.completed or host.failed, role)
    await role.stop()
    assert host.failed is None
    assert [one["codec_name"] for one in probe(public(host.recordings)[-1])["streams"]] == ["mp3"]


async def test_what_cannot_be_passed_on_is_found_out_once(
    make_host: MakeHost, record_settings: Settings, sources: Path
) -> None:
    source = {"type": "file", "path": str(sources / "windows.wmv")}
    begun: list[str] = []
    for _ in range(2):
        host = make_host()
        role = Record(host, record_settings(source=source))
        await role.start()
        await role.stop()
        begun.append(next(" ".join(it.argv) for it in host.children if it.argv[0] != "ffprobe"))
    assert "--sound-decoded" not in begun[0]
    assert "--sound-decoded" in begun[1]
