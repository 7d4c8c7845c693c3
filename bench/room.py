"""A room's processes beside the same work done by bare ffmpeg and voctocore command lines.

Two films are captured, each with a copy on disk, mixed side by side, and the mix is recorded and
streamed: by an agent and its roles, and by hand.
"""

import asyncio
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil
from rich.table import Table

from tests.processes import Mosquitto, Programs, free_port
from tests.roles.mixing import own_address, two_ports
from tests.stranger import Stranger
from tests.wire.sides import Boss

STATION = "bench-room"
SIZE, RATE, BIT = "640x360", 25, 1_500_000
SECONDS = 20.0
"""So long each is watched."""
_CALM = 8.0
"""Seconds until all of it runs evenly."""
_QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y")
_H264 = (
    *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "30"),
    *("-pix_fmt", "yuv420p", "-b:v", str(BIT), "-c:a", "aac", "-b:a", "128k"),
)
_CAPS = (
    f"video/x-raw,format=I420,width=640,height=360,framerate={RATE}/1,pixel-aspect-ratio=1/1"
    ",interlace-mode=progressive"
)
_INI = f"""[mix]
videocaps = {_CAPS}
sources = cam,slides
[source.cam]
deinterlace = assume-progressive
[source.slides]
deinterlace = assume-progressive
"""


def film(path: Path) -> Path:
    """Half a minute of a moving picture and a tone."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=size={SIZE}:rate={RATE}")
    sound = ("-f", "lavfi", "-i", "sine=sample_rate=48000")
    argv = [*_QUIET, *picture, *sound, "-t", "30", *_H264, "-ac", "2", str(path)]
    subprocess.run(argv, check=True)
    return path


async def measure(broker: Mosquitto, programs: Programs) -> list[Table]:
    """The table of `make bench`'s third part."""
    source = film(programs.directory / "film.mkv")
    bare = await _by_hand(source, programs.directory)
    ours = await _by_roles(source, broker, programs)
    table = Table(title=f"A room at {SIZE}, {RATE} pictures a second, over {SECONDS:.0f} s")
    for column in ("", "CPU % of a core", "memory MiB"):
        table.add_column(column, justify="left" if not column else "right")
    for label, (cpu, memory) in (("by hand", bare), ("an agent and its roles", ours)):
        table.add_row(label, f"{cpu:.0f}", f"{memory:.0f}")
    table.add_row("ratio", f"{ours[0] / bare[0]:.2f}", f"{ours[1] / bare[1]:.2f}")
    return [table]


async def _cost(pids: Iterable[int]) -> tuple[float, float]:
    """CPU in per cent of a core, and memory in MiB, shared pages shared out."""
    await asyncio.sleep(_CALM)
    found = [
        one
        for pid in pids
        for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    ]
    before = sum(sum(one.cpu_times()[:2]) for one in found)
    await asyncio.sleep(SECONDS)
    used = sum(sum(one.cpu_times()[:2]) for one in found) - before
    return 100 * used / SECONDS, sum(one.memory_full_info().pss for one in found) / 2**20


async def _answers(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(30):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)


async def _by_hand(source: Path, place: Path) -> tuple[float, float]:
    ini = place / "voctocore.ini"
    ini.write_text(_INI)
    raw = ("-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-f", "matroska")
    started = [subprocess.Popen(["voctocore", "-i", str(ini)], stderr=subprocess.DEVNULL)]
    _, control = await _answers(9999)
    for number in range(2):
        url = f"tcp://127.0.0.1:{free_port()}"
        tee = f"[f=mpegts]{url}?listen=1|[f=mpegts]{place}/copy{number}.ts"
        film = ("-stream_loop", "-1", "-re", "-i", str(source))
        encode = (*_QUIET, *film, "-map", "0", *_H264, "-flags", "+global_header", "-f", "tee", tee)
        started.append(subprocess.Popen(encode))
        await asyncio.sleep(1)
        feed = (*_QUIET, "-i", url, *raw, f"tcp://127.0.0.1:{10000 + number}")
        started.append(subprocess.Popen(feed))
    await asyncio.sleep(2)
    with_composite = "set_videos_and_composite slides cam side_by_side_equal\nset_stream_live\n"
    control.write(with_composite.encode())
    for port, form in ((11000, ("-f", "mpegts", f"{place}/mix.ts")),
                       (15000, ("-f", "hls", f"{place}/mix.m3u8"))):  # fmt: skip
        argv = (*_QUIET, "-i", f"tcp://127.0.0.1:{port}", *_H264, *form)
        started.append(subprocess.Popen(argv))
    try:
        cost = await _cost(one.pid for one in started)
        assert all(one.poll() is None for one in started), "one of them ended"
        least = SECONDS * BIT / 8 / 4
        assert (place / "mix.ts").stat().st_size > least, "a mix without pictures costs less"
        return cost
    finally:
        control.close()
        for one in reversed(started):
            one.kill()
            one.wait()


async def _by_roles(source: Path, broker: Mosquitto, programs: Programs) -> tuple[float, float]:
    async with Stranger(broker.port) as stranger:
        await stranger.listen("fleet/v1/#")
        boss = Boss(stranger, STATION)
        agent = programs.agent(broker, STATION)
        await boss.online()
        film, ports, mix = (
            {"type": "file", "path": str(source)},
            [free_port(), free_port()],
            two_ports(),
        )
        same = {"size": SIZE, "rate": RATE, "video_bitrate": BIT, "listen": "127.0.0.1"}
        copy = {"minimum_free_gib": 0}
        roles = {
            "ingest": {
                name: {"picture": film, "sound": film, "port": port, "local_copy": copy, **same}
                for name, port in zip(("cam", "slides"), ports, strict=True)
            },
            "mix": {
                "main": {
                    "sources": {
                        name: {"host": "127.0.0.1", "port": port}
                        for name, port in zip(("cam", "slides"), ports, strict=True)
                    },
                    "audio": "cam",
                    "composite": "side_by_side",
                    "a": "slides",
                    "port": mix,
                    "control_listen": own_address(),
                    **same,
                }
            },
            "record": {"main": {"source": {"host": "127.0.0.1", "port": mix}}},
            "stream": {
                "main": {
                    "source": {"host": "127.0.0.1", "port": mix + 1},
                    "target": {"type": "hls"},
                }
            },
        }
        await boss.push(1, roles)
        await boss.runs(1, roles)
        return await _cost([agent.pid])
