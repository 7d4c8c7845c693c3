"""Runs ingest, record and monitor for long, and looks for what only shows in time.

`make soak`, or `python -m bench.soak --minutes 15`: every picture of the input shows its own
number, and a beep begins with every 50th. In the recording, all segments joined, each picture
must follow the one before, and a beep must be heard while its picture is seen; nobody's memory
may grow.
"""

import argparse
import asyncio
import bisect
import itertools
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from attrs import define, field, frozen
from rich.console import Console
from rich.table import Table

from tests.processes import Mosquitto, Programs, free_port
from tests.roles.media import joined, public
from tests.stranger import Stranger
from tests.wire.sides import Boss

STATION = "soak"
SAMPLE_SECONDS = 10.0
WARM_SECONDS = 120.0
"""How long memory may grow: queues fill, and libraries are loaded."""
FRAME = 1 / 25
"""Seconds between two pictures."""
SOUND = 1024 / 48000
"""Seconds of sound in a packet."""
BITS, WIDTH = 20, 16
"""Boxes that make up a picture's number, lowest first, and how many pixels wide each is."""
BEEP = 2.0
"""Seconds between two beeps."""
SETTLED_SECONDS = 10.0
"""What is not looked at in the beginning."""
APART = 0.040
"""Seconds that sound and picture may be apart."""
GROWN_MIB = 10.0


async def _make(file: Path, seconds: float) -> None:
    """The input: each picture's number as a row of boxes, and a beep of 0.2 s every two seconds."""
    boxes = [
        f"drawbox=x={WIDTH * bit}:w={WIDTH}:color=white:thickness=fill"
        rf":enable='mod(floor(n/{2**bit})\,2)'"
        for bit in range(BITS)
    ]
    picture = ",".join([f"color=black:size={WIDTH * BITS}x180:rate=25", *boxes])
    sound = rf"aevalsrc='lt(mod(t\,{BEEP})\,0.2)*0.3*sin(2*PI*1000*t)':sample_rate=48000"
    await _said(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound),
        *("-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"),
        *("-pix_fmt", "yuv420p", "-c:a", "flac", str(file)),
    )


def _roles(file: Path, port: int) -> dict[str, object]:
    source = {"host": "127.0.0.1", "port": port}
    given = {"type": "file", "path": str(file)}
    return {
        "ingest": {
            "main": {
                "picture": given,
                "sound": given,
                "size": "320x180",
                "video_bitrate": 400_000,
                "listen": "127.0.0.1",
                "port": port,
                "local_copy": {"enabled": False},
            }
        },
        "record": {"main": {"source": source, "segment_seconds": 60}},
        "monitor": {"main": {"source": source}},
    }


def _restarts(status: Any) -> int:
    return sum(one["main"]["restarts"] for one in status["roles"].values())


@define
class Memory:
    """Resident memory of each part over time, in MiB."""

    samples: dict[str, list[tuple[float, float]]] = field(factory=dict)

    def look(self, programs: Programs, at: float) -> None:
        """Take one sample, `at` seconds after the begin."""
        for process in programs.leftovers():
            try:
                line = " ".join(process.cmdline())
                size = process.memory_info().rss / 2**20
            except psutil.Error:
                continue
            part = next((name for key, name in _PARTS.items() if key in line), None)
            if part is not None:
                self.samples.setdefault(part, []).append((at, size))

    def grown(self) -> dict[str, tuple[float, float]]:
        """Part -> MiB after warming up, and at the end; medians of a minute each."""
        found = {}
        for part, samples in self.samples.items():
            warm = [size for at, size in samples if at >= WARM_SECONDS] or [samples[-1][1]]
            found[part] = statistics.median(warm[:6]), statistics.median(warm[-6:])
        return found


_PARTS = {
    "capture.py": "ingest",
    "-progress": "record",
    "ebur128": "monitor",
    "fleet-agent": "agent",
}
"""What only its command line has -> the part."""


@frozen
class Found:
    """What a recording shows."""

    pictures: int
    gaps: int
    """Pictures or packets of sound that do not follow the one before."""
    lost: int
    """Pictures of the input that are not in the recording."""
    repeated: int
    """Pictures that are there more than once, each time counted."""
    apart: Sequence[tuple[float, float]]
    """Of each beep when it is heard, and how long its picture is seen before; in seconds."""


async def _said(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return said.decode(errors="replace")


async def _times(file: Path, stream: str) -> list[float]:
    show = ("-show_entries", "packet=pts_time", "-of", "csv=p=0")
    said = await _said("ffprobe", "-v", "error", "-select_streams", stream, *show, str(file))
    return sorted(float(line.strip(",")) for line in said.split())


def _gaps(times: Sequence[float], step: float) -> int:
    return sum(abs(b - a - step) > step / 4 for a, b in itertools.pairwise(times))


async def _numbers(file: Path) -> list[int]:
    """Which picture of the input each one in `file` is."""
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-i", str(file), "-an", "-fps_mode", "passthrough"),
        *("-vf", f"scale={BITS}:1:flags=area,format=gray", "-f", "rawvideo", "-"),
        stdout=asyncio.subprocess.PIPE,
    )
    rows, _ = await process.communicate()
    return [
        sum(2**bit for bit, light in enumerate(row) if light > 120)
        for row in zip(*[iter(rows)] * BITS, strict=True)
    ]


async def _beeps(file: Path) -> list[float]:
    heard = await _said(
        *("ffmpeg", "-hide_banner", "-nostats", "-copyts", "-i", str(file), "-vn"),
        *("-af", "silencedetect=noise=-20dB:duration=0.5", "-f", "null", "-"),
    )
    return [float(at) for at in re.findall(r"silence_end: ([\d.]+)", heard)]


async def examine(file: Path) -> Found:
    """Look at every picture and every packet of sound of `file`."""
    pictures, sounds = await _times(file, "v:0"), await _times(file, "a:0")
    settled = bisect.bisect(pictures, pictures[0] + SETTLED_SECONDS)
    times, numbers = pictures[settled:], (await _numbers(file))[settled:]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    apart = []
    for beep in await _beeps(file):
        shown = bisect.bisect(times, beep) - 1
        if 0 <= shown < len(times) - 1:
            seen = numbers[shown] * FRAME + beep - times[shown]
            apart.append((beep, seen - round(seen / BEEP) * BEEP))
    return Found(
        len(pictures),
        _gaps(pictures, FRAME) + _gaps(sounds, SOUND),
        sum(step - 1 for step in steps if step > 1),
        sum(step == 0 for step in steps),
        apart,
    )


async def soak(place: Path, minutes: float, console: Console) -> bool:
    """The whole run; whether nothing was found."""
    broker, programs, memory = Mosquitto(place), Programs(place), Memory()
    broker.start()
    file = place / "input.mkv"
    await _make(file, minutes * 60 + 120)
    try:
        agent = programs.agent(broker, STATION)
        async with Stranger(broker.port, "fleet/v1/#") as stranger:
            boss = Boss(stranger, STATION)
            await boss.online()
            roles = _roles(file, free_port())
            await boss.push(1, roles)
            before = _restarts(await boss.runs(1, roles))
            begun = time.monotonic()
            while (at := time.monotonic() - begun) < minutes * 60:
                memory.look(programs, at)
                await asyncio.sleep(SAMPLE_SECONDS)
            restarts = _restarts(stranger.latest(boss.topic("status"))) - before
            agent.terminate()
            await agent.ended(30)
    finally:
        programs.end()
        broker.stop()
    recorded = [one for one in public(place / STATION / "recordings") if one.is_file()]
    found = await examine(joined(recorded, place / "whole.ts"))
    return _show(console, minutes, len(recorded), restarts, found, memory)


def _show(
    console: Console, minutes: float, files: int, restarts: int, found: Found, memory: Memory
) -> bool:
    table = Table("", "", title=f"ingest, record and monitor for {minutes:g} minutes")
    table.add_row("pictures recorded", f"{found.pictures} in {files} files")
    table.add_row("gaps", str(found.gaps))
    table.add_row("pictures of the input lost, repeated", f"{found.lost}, {found.repeated}")
    table.add_row("restarts", str(restarts))
    apart = [1000 * one for _, one in found.apart] or [float("nan")]
    table.add_row("picture before sound", f"{min(apart):.1f} to {max(apart):.1f} ms")
    table.add_row("beeps, their median", f"{len(apart)}, {statistics.median(apart):.1f} ms")
    far = [(at, one) for at, one in found.apart if abs(one) > APART]
    table.add_row(
        f"further apart than {1000 * APART:g} ms",
        "\n".join([str(len(far)), *(f"{1000 * one:.0f} ms at {at:.1f} s" for at, one in far[:20])]),
    )
    first, last = statistics.median(apart[:30]), statistics.median(apart[-30:])
    table.add_row("first and last minute", f"{first:.1f} and {last:.1f} ms")
    grown = memory.grown()
    for part, (warm, end) in grown.items():
        table.add_row(f"memory of {part}", f"{warm:.1f} -> {end:.1f} MiB")
    console.print(table)
    return (
        not found.gaps
        and not restarts
        and bool(found.apart)
        and not far
        and all(end - warm < GROWN_MIB for warm, end in grown.values())
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="fleet-soak-") as directory:
        well = asyncio.run(soak(Path(directory), minutes, Console()))
    sys.exit(not well)
