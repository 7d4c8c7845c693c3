"""Keeps the index of what this station recorded, tells of each closed segment, and reads it back.

It goes by the files alone, so it does not matter which agent began a recording, or whether one was
there. Nothing of it holds the event loop, and nothing is decoded while the box is short of CPU.
"""

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import psutil
from attrs import evolve, frozen

from fleet.agent.box.looking import Recorded, recorded
from fleet.agent.processes.adoption import Place
from fleet.agent.recordings.ends import Ends
from fleet.agent.recordings.index import RecordingIndex
from fleet.agent.recordings.probing import Probe, probe
from fleet.agent.recordings.reading_back import read_back
from fleet.host import Failed
from fleet.media.archive import FinishedFile, finished, opened
from fleet.media.disk import DiskWork
from fleet.media.segments import public_name
from fleet.model import (
    GONE,
    SHORT_OF_CPU,
    Config,
    LastSegment,
    Segment,
    SegmentCheck,
    SegmentList,
    plain,
)

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 15.0
"""Seconds between two looks for segments that were closed."""
_EVERY: Final = 10
"""Each such look is at all files, whatever their directories say."""
_REMEMBERED: Final = timedelta(days=90)
"""How long a recording is remembered whose file is gone."""
_FORGET_SECONDS: Final = 24 * 3600.0
_MOST_GONE: Final = 50
"""Files that are said to be gone at once."""
_MOST_HELD: Final = 10
"""New files of which is remembered what their packets told: they are read back next."""
_SETTLE: Final = 1.0
"""Seconds in which a file is closed whose instance has just ended."""
SAID_SECONDS: Final = 45.0
"""So long after a segment was found it is said that nobody could look at it yet."""
_CPU_SECONDS: Final = 5.0
_BUSY: Final = 0.9
"""Share of all processors that recordings and the like use at most while something is read back."""
_PATIENCE: Final = 300.0
"""Seconds a disk may take to read a whole segment."""
_NEXT_SECONDS: Final = 2.5
"""A segment that follows is opened so soon after the last write to the one before."""
_AROUND: Final = 40.0
"""Seconds around a segment's last write in which what became of its instance was seen."""
_STOPPING: Final = 15.0
"""So long at most a program writes on that was told to stop."""
_STARTING: Final = 1.0
"""Names have whole seconds."""


@frozen
class _Closed:
    """A finished file and whose it is; `follows`: when the next one of it was opened."""

    file: FinishedFile
    role: str
    instance: str
    room: str | None
    follows: datetime | None
    anew: bool
    """Whether the next one was begun by another run."""


class IndexKeeper:
    """The index of one station, kept by two guarded tasks.

    `there`: whether the disk of recordings is, so that none is begun below its mount point.
    """

    def __init__(
        self,
        place: Place,
        in_force: Callable[[], Config | None],
        tell: Callable[[Segment], None],
        there: Callable[[], bool] = lambda: True,
    ) -> None:
        self.ends = Ends()
        self._place = place
        self._root = place.recordings.absolute()
        self._in_force = in_force
        self._tell = tell
        self._there = there
        self._index = RecordingIndex(self._root, place.station)
        self._disk, self._files = DiskWork(self._root), DiskWork(self._root)
        self._added = asyncio.Event()
        self._found: dict[int, float] = {}
        """When those were found that were not looked at yet."""
        self._held: dict[int, Probe] = {}
        """What the packets of some of them told."""
        self._trouble: str | None = None
        self._busy_before = _busy()
        self._begun = time.time()
        self._looks = 0
        self._forgets = -math.inf
        """When what is gone for long is forgotten next."""

    async def run(self) -> None:
        """Tell for ever of what was closed; needs no broker."""
        while True:
            await self._try(self.look)
            self.ends.changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ends.changed.wait(), LOOK_SECONDS)
            await asyncio.sleep(_SETTLE)

    async def run_reading(self) -> None:
        """Read back for ever what nobody has looked at, one after the other."""
        while True:
            if not await self._try(self.read_back):
                self._added.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._added.wait(), LOOK_SECONDS)

    async def _try(self, work: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await work() if self._there() else False
        except (Failed, OSError, ValueError) as error:
            where = error.filename if isinstance(error, OSError) else None
            why = f"{where}: {plain(error)}" if where else plain(error)
            if why != self._trouble:  # said once, tried for as long as it takes
                log.warning("the index of recordings waits: %s", why)
            self._trouble = why
            return False
        return done

    async def after(self, last: LastSegment | None) -> SegmentList:
        """What follows in the index.

        Raises:
            Failed: the disk hangs.
            OSError, ValueError: it cannot be read.
        """
        return await self._disk.do(lambda: self._opened().after(last))

    def _opened(self) -> RecordingIndex:
        self._index.open()
        return self._index

    async def look(self) -> bool:
        """Add what was closed since; whether there was anything."""
        closed, gone = await self._disk.do(lambda: self._closed(self._in_force()))
        for segment in gone:
            await self._say(segment)
        for one in closed:
            try:
                held = await self._files.do(partial(probe, one.file.file), _PATIENCE)
            except OSError as error:  # moved away, say: the others are looked at
                log.warning("%s is not in the index yet: %s", one.file.path, plain(error))
                continue
            added = await self._disk.do(partial(self._index.add, self._segment(one, held)))
            self._found[added.number] = time.monotonic()
            self._held[added.number] = held
            if len(self._held) > _MOST_HELD:
                del self._held[min(self._held)]
            self._added.set()
            self._tell(added)
        return bool(closed)

    def _closed(self, config: Config | None) -> tuple[list[_Closed], list[Segment]]:
        """What is to be added to the index, and what in it is to be said anew."""
        if not self._root.is_dir() or self._still(config):
            return [], []
        self._opened()
        if time.monotonic() >= self._forgets:
            self._index.forget(datetime.now(UTC) - _REMEMBERED)
            self._forgets = time.monotonic() + _FORGET_SECONDS
        every = finished([self._root], lambda one: one.path in self._index)
        fresh = [one for one in every if one.path not in self._index]
        closed = [one for one in (self._whose(file, config) for file in fresh) if one is not None]
        return closed, self._index.gone({one.path for one in every}, _MOST_GONE)

    def _still(self, config: Config | None) -> bool:
        """Whether nothing was opened or closed lately where recordings are: most looks end here."""
        self._looks += 1
        if self._looks % _EVERY == 1:
            return False
        places = {self._root}
        if config is not None:
            places |= {one.directory for one in recorded(config, self._place.station, self._root)}
        changed = [place.stat().st_mtime for place in places if place.is_dir()]
        return all(at < time.time() - _AROUND for at in changed)

    def _whose(self, file: FinishedFile, config: Config | None) -> _Closed | None:
        stem = file.file.stem.rpartition("-")[0]
        role, instance, room = self._by_name(file, stem, config)
        if role is None:
            return None  # another station's, on a disk that they share
        others = [
            at
            for one in file.file.parent.iterdir()
            if one.stem.rpartition("-")[0] == stem and one != file.file
            if (at := opened(one.name)) is not None
        ]
        own = opened(file.file.name) or datetime.now(UTC)
        follows = min((at for at in others if at > own), default=None)
        anew = False
        if follows is not None:
            run = f".{self._place.station}.{role}.{instance}.{follows:%Y%m%dT%H%M%SZ}"
            anew = any(True for _ in file.file.parent.glob(f"{run}*"))
        return _Closed(file, role, instance, room, follows, anew)

    def _by_name(
        self, file: FinishedFile, stem: str, config: Config | None
    ) -> tuple[str | None, str, str | None]:
        station = self._place.station
        name = station
        if config is not None:
            name = config.name or station
            known: list[Recorded] = list(recorded(config, station, self._root))
            for one in known:
                if one.prefix == stem and one.directory == file.file.parent:
                    return one.role, one.instance, config.room
        for called in (name, station):
            plain = public_name(None, called, "", datetime.now(UTC), "").rpartition("-")[0]
            found = re.fullmatch(rf"(?:(.+)-)?{re.escape(plain)}-([\w.-]+)", stem)
            if found:
                copy = "local-copy" in Path(file.path).parts[:-1]
                return "ingest" if copy else "record", found[2], found[1]
        return None, "", None

    def _segment(self, closed: _Closed, held: Probe) -> Segment:
        last = closed.file.changed / 1e9
        follows = closed.follows.timestamp() if closed.follows is not None else None
        since = max(last - _STOPPING, held.begin.timestamp())
        # What runs goes on with the next segment; what ended begins it afterwards.
        until = last + _AROUND if follows is None else follows + _STARTING
        ended = self.ends.of(closed.role, closed.instance, since, until)
        if ended is None and follows is not None and follows - last <= _NEXT_SECONDS:
            ended = "crash" if closed.anew else "full"
        if ended is None:
            ended = "crash" if last > self._begun else "stopped"
        return Segment(
            self._index.name,
            len(self._index) + 1,
            closed.file.path,
            closed.room,
            closed.role,
            closed.instance,
            held.begin,
            held.end,
            held.bytes,
            tuple(one.stream for one in held.tracks),
            sum(one.packets for one in held.of("video")),
            held.checksum,
            None,
            ended,
            held.start,
            held.keys,
        )

    async def read_back(self) -> bool:
        """Read back the newest that nobody has looked at; False where there is none, or no CPU."""
        segment = await self._disk.do(self._index.unchecked)
        if segment is None:
            return False
        reading = asyncio.create_task(self._check(segment), name="a read-back")
        try:
            done = await self._unless_short(reading)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Failed, OSError):
                await reading
        if not done:
            await self._say_skipped(segment)
            return False
        if self._there():
            await self._say(evolve(segment, check=reading.result()))
            self._found.pop(segment.number, None)
        return True

    async def _say(self, segment: Segment) -> None:
        await self._disk.do(partial(self._index.replace, segment))
        self._tell(segment)

    async def _check(self, segment: Segment) -> SegmentCheck:
        file = self._root / segment.file
        if not await self._files.do(file.exists):
            return SegmentCheck(datetime.now(UTC), skipped=GONE)
        held = self._held.pop(segment.number, None)
        if held is None or held.checksum != segment.checksum:
            held = await self._files.do(partial(probe, file), _PATIENCE)
        check = await read_back(file, held)
        if held.checksum != segment.checksum and check.error is None:
            check = evolve(check, error="it has changed since it was closed")
        return check

    async def _unless_short(self, reading: "asyncio.Task[SegmentCheck]") -> bool:
        """Whether it came to its end: as soon as the box is short of CPU nobody waits for it."""
        while not self._short():
            await asyncio.wait({reading}, timeout=_CPU_SECONDS)
            if reading.done():
                return True
        return False

    def _short(self) -> bool:
        """Whether what is not at idle priority had nearly all of the processors since the last."""
        before, now = self._busy_before, _busy()
        if now[1] - before[1] < 1.0:
            return False  # too short to tell
        self._busy_before = now
        return (now[0] - before[0]) / (now[1] - before[1]) > _BUSY

    async def _say_skipped(self, segment: Segment) -> None:
        since = self._found.get(segment.number)
        late = since is not None and time.monotonic() - since > SAID_SECONDS
        if late and segment.check is None:
            await self._say(
                evolve(segment, check=SegmentCheck(datetime.now(UTC), skipped=SHORT_OF_CPU))
            )


def _busy() -> tuple[float, float]:
    """Seconds that processors worked, except for what is nice; and all seconds they had."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "nice", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    whole = sum(times) - guests
    return whole - idle, whole
