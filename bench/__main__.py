"""Measures, and prints tables: `make bench`, or a part: `python -m bench recordings`."""

import argparse
import asyncio
import os
import platform
import tempfile
from pathlib import Path

from rich.console import Console

import bench.agent
import bench.pushing
import bench.recordings
import bench.room
from tests.processes import Mosquitto, Programs

PARTS = {
    "push": bench.pushing.measure,
    "agent": bench.agent.measure,
    "room": bench.room.measure,
    "recordings": bench.recordings.measure,
}


async def main(parts: list[str]) -> None:
    console = Console()
    console.print(f"{os.cpu_count()} cores, Python {platform.python_version()}, loopback")
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="fleet-bench-") as directory:
            place = Path(directory)
            broker, programs = Mosquitto(place), Programs(place)
            broker.start()
            try:
                for table in await PARTS[part](broker, programs):
                    console.print(table)
            finally:
                programs.end()
                broker.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all")
    asyncio.run(main(parser.parse_args().parts or list(PARTS)))
