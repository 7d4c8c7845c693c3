"""Runs ingest, record and monitor for long, and looks for what only shows in time.

`make soak`, or `python -m bench.soak --minutes 15`: every picture of the input shows its own
number, and a beep begins with every 50th. In the recording, all segments joined, each picture
must follow the one before, and a beep must be heard while its picture is seen; nobody's memory
may grow.
"""

import argparse
import asyncio
import itertools
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
from tests.roles.numbered import RATE, Shown, film, shown
from tests.stranger import Stranger
from tests.wire.sides import Boss

STATION = "soak"
SAMPLE_SECONDS = 10.0
WARM_SECONDS = 120.0
"""How long memory may grow: queues fill, and libraries are loaded."""
SOUND = 1024 / 48000
"""Seconds of sound in a packet."""
SETTLED_SECONDS = 10.0
"""What is not looked at in the beginning."""
BEFORE_SECONDS = 40.0
"""What the film lasts longer than the run: it is shown from the moment the ingest begins."""
APART = 0.040
"""Seconds that sound and picture may be apart."""
GROWN_MIB = 10.0


def _roles(file: Path, port: int, segment_seconds: int) -> dict[str, object]:
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
        "record": {"main": {"source": source, "segment_seconds": segment_seconds}},
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


async def _times(file: Path, stream: str) -> list[float]:
    show = ("-show_entries", "packet=pts_time", "-of", "csv=p=0")
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-select_streams", stream, *show, str(file)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return sorted(float(line.strip(b",")) for line in said.split())


def _irregular(times: Sequence[float], step: float) -> int:
    return sum(abs(b - a - step) > step / 4 for a, b in itertools.pairwise(times))


async def _gaps(file: Path) -> int:
    """Pictures and packets of sound that do not follow the one before."""
    pictures, sounds = await _times(file, "v:0"), await _times(file, "a:0")
    return _irregular(pictures, 1 / RATE) + _irregular(sounds, SOUND)


@frozen
class Soaked:
    """What was found in what was recorded, and meanwhile."""

    minutes: float
    files: int
    restarts: int
    gaps: int
    found: Shown
    memory: Memory

    @property
    def far(self) -> list[tuple[float, float]]:
        """The beeps that are too far from their picture."""
        return [(at, one) for at, one in self.found.apart if abs(one) > APART]

    @property
    def well(self) -> bool:
        """Whether all is as it is promised."""
        grown = self.memory.grown().values()
        return (
            not self.gaps
            and not self.restarts
            and bool(self.found.apart)
            and not self.far
            and all(end - warm < GROWN_MIB for warm, end in grown)
        )

    def table(self) -> Table:
        """All of it, for people."""
        found, far = self.found, self.far
        table = Table("", "", title=f"ingest, record and monitor for {self.minutes:g} minutes")
        table.add_row("pictures recorded", f"{found.pictures} in {self.files} files")
        table.add_row("gaps", str(self.gaps))
        table.add_row("pictures of the input lost, repeated", f"{found.lost}, {found.repeated}")
        table.add_row("restarts", str(self.restarts))
        apart = [1000 * one for _, one in found.apart] or [float("nan")]
        table.add_row("picture before sound", f"{min(apart):.1f} to {max(apart):.1f} ms")
        table.add_row("beeps, their median", f"{len(apart)}, {statistics.median(apart):.1f} ms")
        lines = [str(len(far)), *(f"{1000 * one:.0f} ms at {at:.1f} s" for at, one in far[:20])]
        table.add_row(f"further apart than {1000 * APART:g} ms", "\n".join(lines))
        first, last = statistics.median(apart[:30]), statistics.median(apart[-30:])
        table.add_row("first and last minute", f"{first:.1f} and {last:.1f} ms")
        for part, (warm, end) in self.memory.grown().items():
            table.add_row(f"memory of {part}", f"{warm:.1f} -> {end:.1f} MiB")
        return table


async def soak(
    place: Path,
    minutes: float,
    segment_seconds: int = 60,
    settled: float = SETTLED_SECONDS,
    every: float = SAMPLE_SECONDS,
) -> Soaked:
    """The whole run.

    `settled`: seconds in the beginning that are not looked at; `every`: so many between two looks
    at memory.
    """
    broker, programs, memory = Mosquitto(place), Programs(place), Memory()
    programs.cold = True  # a warm one shares its memory with others
    broker.start()
    file = place / "input.mkv"
    await asyncio.to_thread(film, file, minutes * 60 + BEFORE_SECONDS)
    try:
        agent = programs.agent(broker, STATION)
        async with Stranger(broker.port, "fleet/v1/#") as stranger:
            boss = Boss(stranger, STATION)
            await boss.online()
            roles = _roles(file, free_port(), segment_seconds)
            await boss.push(1, roles)
            before = _restarts(await boss.runs(1, roles))
            begun = time.monotonic()
            while (at := time.monotonic() - begun) < minutes * 60:
                memory.look(programs, at)
                await asyncio.sleep(every)
            restarts = _restarts(stranger.latest(boss.topic("status"))) - before
            agent.terminate()
            await agent.ended(30)
    finally:
        programs.end()
        broker.stop()
    recorded = [one for one in public(place / STATION / "recordings") if one.is_file()]
    whole = joined(recorded, place / "whole.ts")
    gaps, seen = await _gaps(whole), await asyncio.to_thread(shown, whole, settled)
    return Soaked(minutes, len(recorded), restarts, gaps, seen, memory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="fleet-soak-") as directory:
        soaked = asyncio.run(soak(Path(directory), minutes))
    Console().print(soaked.table())
    sys.exit(not soaked.well)
