"""Pictures of every kind leave an ingest, and are encoded by a recording, as they were meant."""

import asyncio
import re
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
from tests.roles.media import probe, public
from tests.roles.network import QUIET, reader

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
Until = Callable[..., Awaitable[None]]

WIDTH, HEIGHT = 320, 180
GREY, RED, GREEN, BLUE = (64, 64, 64), (191, 0, 0), (0, 191, 0), (0, 0, 191)
COLOURS = (GREY, RED, GREEN, BLUE)
"""From the left, a quarter of the width each."""
NEAR = 6
"""Of 255: what two encodings may cost."""


def colours(*encoder: str, filters: str = "", size: str = f"{WIDTH}x{HEIGHT}") -> list[str]:
    """ffmpeg's arguments for a film of the bars, which is shown again and again."""
    bars = ";".join(
        f"color=0x{r:02x}{g:02x}{b:02x}:size=80x180:rate=25,format=gbrp[{n}]"
        for n, (r, g, b) in enumerate(COLOURS)
    )
    joined = f"{bars};[0][1][2][3]hstack=4,scale={size.replace('x', ':')}:flags=neighbor{filters}"
    return ["-filter_complex", joined, "-t", "4", *encoder]


def h264(matrix: str, range_: str) -> list[str]:
    tags = [f"-{what}" for what in ("colorspace", "color_primaries", "color_trc")]
    named = {"bt601": "smpte170m"}.get(matrix, matrix)
    return colours(
        *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "8", "-color_range", range_),
        *(part for tag in tags for part in (tag, named)),
        filters=f":out_color_matrix={matrix}:out_range={range_},format=yuv420p",
    )


SOURCES = {
    "MJPEG": (
        "mov",
        colours(
            *("-c:v", "mjpeg", "-q:v", "2"),
            filters=":out_color_matrix=bt601:out_range=pc,format=yuvj420p",
        ),
    ),
    "601": ("mkv", h264("bt601", "tv")),
    "709": ("mkv", h264("bt709", "tv")),
    "709 of full range": ("mkv", h264("bt709", "pc")),
}


async def made(file: Path, arguments: list[str]) -> dict[str, Any]:
    await asyncio.to_thread(subprocess.run, [*QUIET, *arguments, str(file)], check=True)
    return {"type": "file", "path": str(file)}


async def captured(
    host: RealHost, until: Until, source: dict[str, Any], file: Path, **values: Any
) -> Path:
    """A second of what leaves an ingest."""
    cheap = {"size": f"{WIDTH}x{HEIGHT}", "local_copy": {"enabled": False}}
    wanted = {"listen": "127.0.0.1", "port": free_port(), "picture": source, **cheap, **values}
    role = Ingest(host, structure(wanted, IngestSettings))
    await role.start()
    frames = "fleet_ffmpeg_frames_total"
    await until(lambda: (host.registry.get_sample_value(frames) or 0) > 50, role)
    with reader(f"tcp://127.0.0.1:{role.settings.port}", file, 1) as one:
        await until(lambda: not one.running, role)
    await role.stop()
    return file


async def looked(file: Path, *filters: str) -> tuple[str, bytes]:
    """All its pictures, as rows of RGB; and what ffmpeg says of it, which decodes it cleanly."""
    argv = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"]
    argv += ["-i", str(file), *filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, check=True)
    said = done.stderr.decode()
    assert "[error]" not in said, said
    return said, done.stdout


PICTURE = re.compile(
    r"Video: .*, yuv420p\((?:(?P<range>tv|pc), )?(?:(?P<colours>[\w/]+), )?(?P<fields>[\w ]+)\), "
    r"(?P<size>\d+x\d+) \[SAR (?P<shape>\d+:\d+) "
)


def told(said: str) -> dict[str, str | None]:
    """What a file tells of its pictures; matrix, primaries and transfer where they differ."""
    found = PICTURE.search(said)
    assert found, said
    return found.groupdict()


def bars(rows: bytes, width: int = WIDTH, height: int = HEIGHT) -> list[tuple[int, ...]]:
    """The colours in the middle of each bar of the last picture."""
    last = rows[-width * height * 3 :]
    middles = [(height // 2 * width + int((n + 0.5) * width / 4)) * 3 for n in range(4)]
    return [tuple(last[at : at + 3]) for at in middles]


def near(found: list[tuple[int, ...]]) -> bool:
    return all(
        abs(level - meant) <= NEAR
        for one, wanted in zip(found, COLOURS, strict=True)
        for level, meant in zip(one, wanted, strict=True)
    )


async def recorded(host: RealHost, until: Until, wanted: RecordSettings) -> Path:
    """A second and more of what is recorded."""
    role = Record(host, wanted)
    await role.start()
    await until(lambda: role._report is not None and role._report.frames > 40, role)
    await role.stop()
    (file,) = public(host.recordings)
    return file


@pytest.mark.parametrize("kind", SOURCES)
async def test_colours_leave_an_ingest_and_are_recorded_as_they_came_and_say_which_they_are(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path, kind: str
) -> None:
    suffix, arguments = SOURCES[kind]
    source = await made(tmp_path / f"in.{suffix}", arguments)
    file = await captured(make_host(role="ingest"), until, source, tmp_path / "a.ts")
    said, rows = await looked(file)
    assert told(said)["colours"] == "bt709", "matrix, primaries and transfer"
    assert told(said)["range"] == "tv"
    assert near(bars(rows)), bars(rows)

    good = {"video_codec": "h264", "video_bitrate": 1_000_000}
    file = await recorded(make_host(), until, record_settings(source=source, **good))
    said, rows = await looked(file)
    assert near(bars(rows)), bars(rows)
    assert told(said)["range"] == "tv"
    matrix = str(told(said)["colours"]).partition("/")[0]
    assert matrix == {"MJPEG": "bt470bg", "601": "smpte170m"}.get(kind, "bt709")


async def test_a_picture_that_is_to_be_turned_is_turned(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    upright = await made(tmp_path / "up.mov", h264("bt709", "tv"))
    turned = tmp_path / "turned.mov"
    rotate = ("-i", upright["path"], "-c", "copy", "-metadata:s:v", "rotate=180")
    source = await made(turned, list(rotate))
    file = await captured(make_host(role="ingest"), until, source, tmp_path / "a.ts")
    found = bars((await looked(file))[1])
    assert near(found[::-1]), found
    wanted = record_settings(source=source, video_bitrate=1_000_000)
    found = bars((await looked(await recorded(make_host(), until, wanted)))[1])
    assert near(found[::-1]), "a copy would not tell that it is to be turned"


async def test_interlaced_anamorphic_pictures_leave_progressive_and_as_wide_as_they_are_seen(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    moving = ("-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50", "-t", "2")
    fields = "tinterlace=interleave_bottom,setfield=bff,format=yuv420p,setsar=64/45"
    source = await made(tmp_path / "in.mov", [*moving, "-vf", fields, "-c:v", "dvvideo"])
    size = {"size": "1024x576", "video_bitrate": 4_000_000}
    file = await captured(make_host(role="ingest"), until, source, tmp_path / "a.ts", **size)
    said, rows = await looked(file, "-vf", "idet,crop=1024:2")
    assert (told(said)["size"], told(said)["fields"]) == ("1024x576", "progressive")
    borders = [max(rows[-(1024 - x) * 3 :][:3]) for x in (4, 1019)]
    assert min(borders) > 60, "no pillars: it fills the width"
    assert combed(said) < 0.3

    good = {"video_codec": "h264", "video_bitrate": 4_000_000}
    file = await recorded(make_host(), until, record_settings(source=source, **good))
    said, _ = await looked(file, "-vf", "idet,crop=2:2")
    assert (told(said)["shape"], told(said)["fields"]) == ("64:45", "progressive")
    assert combed(said) < 0.3


def combed(said: str) -> float:
    """Share of pictures made of two fields, by what ffmpeg's filter says."""
    line = next(line for line in said.splitlines() if "Multi frame" in line)
    top, bottom, progressive, _ = (int(word) for word in line.split() if word.isdecimal())
    return (top + bottom) / (top + bottom + progressive)


async def test_a_recording_encodes_pictures_of_odd_size(
    make_host: MakeHost, record_settings: Settings, until: Until, tmp_path: Path
) -> None:
    wide = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p")
    source = await made(tmp_path / "in.mkv", colours(*wide, size="853x481"))
    host = make_host()
    file = await recorded(host, until, record_settings(source=source, video_codec="h264"))
    (stream,) = probe(file)["streams"]
    assert (stream["width"], stream["height"]) == (852, 480)
    assert host.failed is None
