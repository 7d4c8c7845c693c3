"""What many recordings cost: the manager that knows them, the agent's index, and a read-back."""

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from attrs import evolve
from rich.table import Table

from fleet.agent.recordings.index import RecordingIndex
from fleet.agent.recordings.probing import probe
from fleet.agent.recordings.reading_back import read_back
from fleet.manager.store import ManagerStore
from fleet.model import KeyFrames, Segment, SegmentCheck, SegmentStream
from fleet.schedule import Schedule, ScheduledRoom, ScheduledTalk
from fleet.wire import encode
from tests.processes import Mosquitto, Programs
from tests.recordings.house import Box, house

ROOMS, SEATS, DAYS = 20, ("mix", "cam"), 10
FILE = timedelta(minutes=3)
A_DAY = 250
"""Files of one recording: 20 rooms, two recordings each, ten days make 100,000."""
INDEXED = 10_000
BEGIN = datetime(2026, 2, 1, 8, tzinfo=UTC)
NOW = BEGIN + timedelta(days=DAYS)
VIDEO = (
    *("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25,noise=alls=12:allf=t"),
    *("-f", "lavfi", "-i", "sine=440:r=48000", "-t", "180", "-c:v", "libx264"),
    *("-preset", "superfast", "-b:v", "4M", "-g", "50", "-c:a", "aac"),
)


def segment(room: str, number: int) -> Segment:
    """One of a day's 250, of as many bytes as a real one."""
    day, one = divmod(number - 1, A_DAY)
    begin = BEGIN + timedelta(days=day) + one * FILE
    video = SegmentStream("video", "h264", None, None, 4500)
    audio = SegmentStream("audio", "aac", None, None, 8438)
    return Segment(
        index="index-1",
        number=number,
        file=f"{room}-{room}-cam-main-{begin:%Y%m%dT%H%M%SZ}.ts",
        room=room,
        role="record",
        instance="main",
        begin=begin,
        end=begin + FILE,
        bytes=90_000_000,
        streams=(video, audio),
        frames=4500,
        checksum="xxh3-128:3d6d625edc2549a3026f63d27939ff52",
        gap=0.0,
        ended="full",
        start=1.4 + 180.0 * one,
        keys=(KeyFrames(1.4 + 180.0 * one, 2.0, 90),),
        check=SegmentCheck(begin + FILE, loudness=-21.3, offset=0.0),
    )


def talks() -> Schedule:
    """Twelve of half an hour a day in each room."""
    found = []
    for number in range(ROOMS):
        room = ScheduledRoom(f"Hall {number}")
        for day in range(DAYS):
            for one in range(12):
                begin = BEGIN + timedelta(days=day, minutes=40 * one + 10)
                guid = f"{number}-{day}-{one}"
                found.append(
                    ScheduledTalk(
                        *(
                            guid,
                            room,
                            f"Talk {guid}",
                            begin,
                            begin + timedelta(minutes=30),
                            day + 1,
                        ),
                        f"{begin:%Y-%m-%d}",
                    )
                )
    rooms = tuple(ScheduledRoom(f"Hall {number}") for number in range(ROOMS))
    ordered = sorted(found, key=lambda one: one.begin)
    return Schedule("DemoCon", None, "1", "UTC", rooms, tuple(ordered))


class _Lag:
    """The longest time for which the event loop was held."""

    def __init__(self) -> None:
        self.most = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            self.most = max(self.most, time.perf_counter() - began - 0.005)

    def end(self) -> None:
        self._task.cancel()


async def measure(_broker: Mosquitto, _programs: Programs) -> list[Table]:
    """All of it; no broker is needed."""
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as name:
        place = Path(name)
        return [await _manager(place / "store"), _index(place), await _reading(place)]


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", min_width=80)


def _resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


async def _manager(directory: Path) -> Table:
    boxes = [Box(f"hall{room}", seat) for room in range(ROOMS) for seat in SEATS]
    text = '[schedule]\nfile = "x.json"\n' + "".join(
        f'[rooms.hall{number}]\ntitle = "Hall {number}"\n' for number in range(ROOMS)
    )
    await asyncio.to_thread(directory.mkdir)
    store = ManagerStore.in_directory(directory)
    began = time.perf_counter()
    for box in boxes:
        box.segments = [segment(box.room, number) for number in range(1, A_DAY * DAYS + 1)]
        box.copied = {one.file for one in box.segments}
        store.recordings.save([(box.name, one) for one in box.segments])
    written = time.perf_counter() - began
    store.close()
    for box in boxes:
        box.segments = box.segments[-1:]
        box.copied = set()
    table = Table(
        title=f"A manager with {len(boxes) * A_DAY * DAYS:,} segments", title_justify="left"
    )
    for name in ("", "seconds", "loop held at most", "MiB more"):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("writing them", f"{written:.2f}", "", "")
    before = _resident()
    async with house(directory, boxes, talks(), text) as one:
        lag = _Lag()

        async def timed(what: str, work: Callable[[], Awaitable[Any]]) -> None:
            await asyncio.sleep(0.1)
            lag.most, began = 0.0, time.perf_counter()
            await work()
            row = (f"{time.perf_counter() - began:.2f}", f"{lag.most * 1000:.0f} ms")
            table.add_row(what, *row, f"{_resident() - before:.0f}")

        async def begin() -> None:
            one.come_online()
            await one.until(lambda: len({who for who, what in one.boxes.asked_of}) == len(boxes))

        every = list(one.ledger.rooms.all_talks())
        await timed("a start: what is known of each station", begin)
        await timed("one receipt", lambda: one.recordings.receipts(every[700:701], NOW))
        today = [it for it in every if it[1].date == f"{BEGIN + timedelta(days=5):%Y-%m-%d}"]
        await timed("receipts of a day", lambda: one.recordings.receipts(today, NOW))
        await timed("fleet recordings: all talks", lambda: one.recordings.receipts(every, NOW))
        lag.end()
    return table


def _index(directory: Path) -> Table:
    place = directory / "index"
    place.mkdir()
    index = RecordingIndex(place, "b1")
    index.open()
    with index.path.open("ab") as file:
        for number in range(1, INDEXED + 1):
            file.write(encode(evolve(segment("hall1", number), index=index.name)) + b"\n")
    script = (
        "import psutil,time,sys;from pathlib import Path\n"
        "from fleet.agent.recordings.index import RecordingIndex\n"
        "rss=lambda: psutil.Process().memory_info().rss/2**20\n"
        "i=RecordingIndex(Path(sys.argv[1]),'b1');b=rss();t=time.perf_counter();i.open()\n"
        "print(len(i),time.perf_counter()-t,rss()-b)"
    )
    argv = [sys.executable, "-c", script, str(place)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    many, seconds, more = done.stdout.split()
    table = _table(f"An agent's index of {int(many):,} segments")
    for name in ("", ""):
        table.add_column(name)
    table.add_row("opening it", f"{float(seconds):.2f} s")
    table.add_row("memory", f"{float(more):.1f} MiB")
    table.add_row("on disk", f"{index.path.stat().st_size / 2**20:.1f} MiB")
    return table


async def _reading(directory: Path) -> Table:
    file = directory / "segment.ts"
    argv = ["ffmpeg", "-v", "error", *VIDEO, str(file)]
    await asyncio.to_thread(subprocess.run, argv, check=True)
    table = Table(
        title="Reading back 180 s of 1280x720, 25 pictures a second", title_justify="left"
    )
    for name in ("", "seconds", "seconds of CPU"):
        table.add_column(name, justify="left" if not name else "right")
    before, began = os.times(), time.perf_counter()
    held = await asyncio.to_thread(probe, file)
    table.add_row("its packets", *_spent(before, began))
    before, began = os.times(), time.perf_counter()
    await read_back(file, held)
    table.add_row("decoding it", *_spent(before, began))
    return table


def _spent(before: os.times_result, began: float) -> tuple[str, str]:
    now = os.times()
    cpu = sum(now[:4]) - sum(before[:4])
    return f"{time.perf_counter() - began:.1f}", f"{cpu:.1f}"
