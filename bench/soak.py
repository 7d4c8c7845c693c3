"""Runs ingest, record and monitor for long, and looks for what only shows in time.

`make soak`, or `python -m bench.soak --minutes 15`: every two seconds the input shows a flash
and sounds a beep at one instant. In the recording, all segments joined, each frame must follow
the one before, and flash and beep must still be at one instant; nobody's memory may grow.
"""

import argparse
import asyncio
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
APART = 0.040
"""Seconds that sound and picture may be apart."""
GROWN_MIB = 10.0


async def _make(file: Path, seconds: float) -> None:
    """The input: black and silence, but for a flash and a beep of 0.2 s every two seconds."""
    on = r"lt(mod(t\,2)\,0.2)"
    picture = f"color=black:size=320x180:rate=25,drawbox=color=white:thickness=fill:enable='{on}'"
    sound = f"aevalsrc='{on}*0.3*sin(2*PI*1000*t)':sample_rate=48000"
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
    apart: Sequence[float]
    """Seconds from each beep to its flash."""


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


async def examine(file: Path) -> Found:
    """Look at every picture and every packet of sound of `file`."""
    pictures, sounds = await _times(file, "v:0"), await _times(file, "a:0")
    flashes = "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-:direct=1"
    bright = await _said(
        *("ffmpeg", "-v", "error", "-copyts", "-i", str(file)),
        *("-an", "-vf", flashes, "-f", "null", "-"),
    )
    begun, dark = [], True
    for at, light in re.findall(r"pts_time:([\d.]+)\n\S+YAVG=([\d.]+)", bright):
        if dark and float(light) > 120:
            begun.append(float(at))
        dark = float(light) <= 120
    silence = "silencedetect=noise=-35dB:duration=0.5"
    heard = await _said(
        *("ffmpeg", "-hide_banner", "-nostats", "-copyts", "-i", str(file)),
        *("-vn", "-af", silence, "-f", "null", "-"),
    )
    beeps = [float(at) for at in re.findall(r"silence_end: ([\d.]+)", heard)]
    apart = [
        flash - beep
        for flash in begun
        for beep in beeps
        if abs(flash - beep) < 1 and flash - pictures[0] > 10  # it settles when it begins
    ]
    return Found(len(pictures), _gaps(pictures, FRAME) + _gaps(sounds, SOUND), apart)


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
    apart = [1000 * one for one in found.apart] or [float("nan")]
    table = Table("", "", title=f"ingest, record and monitor for {minutes:g} minutes")
    table.add_row("pictures recorded", f"{found.pictures} in {files} files")
    table.add_row("gaps", str(found.gaps))
    table.add_row("restarts", str(restarts))
    table.add_row("flash after beep", f"{min(apart):.1f} to {max(apart):.1f} ms, {len(apart)} seen")
    minute = 30
    first, last = statistics.median(apart[:minute]), statistics.median(apart[-minute:])
    table.add_row("first and last minute", f"{first:.1f} and {last:.1f} ms")
    grown = memory.grown()
    for part, (warm, end) in grown.items():
        table.add_row(f"memory of {part}", f"{warm:.1f} -> {end:.1f} MiB")
    console.print(table)
    return (
        not found.gaps
        and not restarts
        and bool(found.apart)
        and all(abs(one) <= APART for one in found.apart)
        and all(end - warm < GROWN_MIB for warm, end in grown.values())
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="fleet-soak-") as directory:
        well = asyncio.run(soak(Path(directory), minutes, Console()))
    sys.exit(not well)
