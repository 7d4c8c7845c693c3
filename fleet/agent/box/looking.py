"""Looks at what this station itself recorded and offers, when it is asked to: files, not status.

The newest segment that is closed is decoded, the newest of all has to grow, the last minute of each
track has to be heard, and a player's list has to lead to something that can be played. All of it at
idle priority, one file after the other, and only for so long: what was not reached is said.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from fleet.agent.box import decoding
from fleet.host import Failed
from fleet.media.disk import DiskWork
from fleet.media.segments import public_name
from fleet.model import Config, plain
from fleet.station import FileLook, ListLook, LookResult

HEARD_SECONDS: Final = 60.0
"""How much of the newest sound is listened to."""
_GROW_SECONDS: Final = 1.0
_TAIL_SECONDS: Final = 2.0
"""Seconds kept for the sound of each recording, however long its picture takes."""
_LIST_BYTES: Final = 1 << 20
_MOST: Final = 32
"""Instances that are looked at."""
_SUFFIXES: Final = (".ts", ".mkv")
_STAMP: Final = re.compile(r"-\d{8}T\d{6}Z$")


@frozen
class Recorded:
    """Where an instance's segments lie, and what their names begin with."""

    role: str
    instance: str
    directory: Path
    prefix: str


@frozen
class Listed:
    """A playlist that a stream writes."""

    role: str
    instance: str
    file: Path


def recorded(config: Config, station: str, recordings: Path) -> Iterator[Recorded]:
    """What the config in force has written in segments. Pure."""
    name = config.name or station
    for role, instances in config.roles.items():
        for instance, settings in instances.items():
            directory: object = None
            if role == "record":
                directory = settings.get("directory", "")
            elif role == "ingest":
                copy = _table(settings.get("local_copy"))
                if copy.get("enabled", True):
                    directory = copy.get("directory", "local-copy")
            if isinstance(directory, str):
                stem = public_name(config.room, name, instance, datetime.now(UTC), "")
                prefix = _STAMP.sub("", stem)
                yield Recorded(role, instance, recordings / directory, prefix)


def listed(config: Config, recordings: Path) -> Iterator[Listed]:
    """The playlists that it has written. Pure."""
    for instance, settings in config.roles.get("stream", {}).items():
        target = _table(settings.get("target"))
        if target.get("type") == "hls":
            file = recordings / str(target.get("directory", "hls")) / f"{instance}.m3u8"
            yield Listed("stream", instance, file)


def _table(value: object) -> Mapping[str, object]:
    """A station's own role of that name may have settings of another form."""
    return value if isinstance(value, Mapping) else {}


def newest(names: Sequence[str], prefix: str, instance: str, now: datetime) -> list[str]:
    """The last two segments of an instance, the newest first. Pure.

    What runs keeps the names it began with, also where the station is called otherwise since. A
    name of the future is of a time when the clock was ahead, or is behind now: others are newer.

    >>> now = datetime(2026, 2, 1, 10, tzinfo=UTC)
    >>> names = ["a-20260201T093000Z.ts", "a-20260201T092700Z.ts", "ab-20260201T094000Z.ts"]
    >>> newest([*names, "a-20270201T000000Z.ts"], "a", "", now)
    ['a-20260201T093000Z.ts', 'a-20260201T092700Z.ts']
    """
    stems = {
        name: _STAMP.sub("", name.rpartition(".")[0])
        for name in names
        if name.endswith(_SUFFIXES) and _STAMP.search(name.rpartition(".")[0])
    }
    found = [name for name, stem in stems.items() if stem == prefix]
    if not found and instance:
        found = [name for name, stem in stems.items() if stem.endswith(f"-{instance}")]
    today = f"{now:%Y%m%dT%H%M%SZ}"
    opened = {name: name.rpartition(".")[0].rpartition("-")[2] for name in found}
    return sorted(found, key=lambda one: (opened[one] <= today, opened[one]), reverse=True)[:2]


class Looker:
    """Looks at the recordings of one station; who asks while it does gets the same answer."""

    def __init__(self, recordings: Path) -> None:
        self._disk = DiskWork(recordings)
        self._recordings = recordings
        self._looking: asyncio.Task[LookResult] | None = None

    async def look(self, config: Config | None, station: str, seconds: float) -> LookResult:
        """Everything there is to see, within so many seconds."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(config, station, seconds), name="a look")
        return await asyncio.shield(self._looking)

    async def _look(self, config: Config | None, station: str, seconds: float) -> LookResult:
        end = time.monotonic() + seconds
        if config is None:
            return LookResult(datetime.now(UTC), (), ())
        of = list(recorded(config, station, self._recordings))[:_MOST]
        lists = list(listed(config, self._recordings))[:_MOST]
        growing = asyncio.create_task(self._growing(of))
        files: list[FileLook] = []
        shown: list[ListLook] = []
        for number, one in enumerate(lists):
            share = (end - time.monotonic()) / (len(lists) + len(of) - number)
            shown.append(await self._list(one, time.monotonic() + share))
        for number, each in enumerate(of):
            share = (end - time.monotonic()) / (len(of) - number)
            files.append(await self._file(each, time.monotonic() + share))
        try:
            grown = await growing
        except Failed:
            grown = {}
        told = (evolve(one, grows=grown.get((one.role, one.instance), False)) for one in files)
        return LookResult(datetime.now(UTC), tuple(told), tuple(shown))

    async def _growing(self, of: Sequence[Recorded]) -> dict[tuple[str, str], bool]:
        """Whether the newest file of each grows."""
        before = await self._disk.do(lambda: [_sizes(one) for one in of])
        await asyncio.sleep(_GROW_SECONDS)
        after = await self._disk.do(lambda: [_sizes(one) for one in of])
        return {
            (one.role, one.instance): now is not None and now != then
            for one, then, now in zip(of, before, after, strict=True)
        }

    async def _file(self, one: Recorded, end: float) -> FileLook:
        def said(problem: str | None, file: str | None = None, **more: Any) -> FileLook:
            return FileLook(one.role, one.instance, file, problem, **more)

        try:
            names = await self._disk.do(lambda: _newest(one))
            if not names:
                return said("no recording is there")
            file = names[-1]
            path = one.directory / file
            found = await decoding.streams(path, end)
            tracks = sum(stream.get("codec_type") == "audio" for stream in found)
            reserved = min(_TAIL_SECONDS, (end - time.monotonic()) / 2) if tracks else 0.0
            decoded = await decoding.decode(path, end - reserved)
            peaks = await self._peaks(one.directory, names, tracks, end)
        except Failed as failed:
            return said(str(failed))
        picture = next((one for one in found if one.get("codec_type") == "video"), {})
        return said(
            decoded.complaint,
            file,
            closed=len(names) > 1,
            seconds=decoded.seconds,
            whole=decoded.whole,
            pictures=decoded.pictures if picture else None,
            size=f"{picture['width']}x{picture['height']}" if "width" in picture else None,
            rate=_rate(str(picture.get("r_frame_rate", ""))),
            peaks=peaks,
        )

    async def _peaks(
        self, directory: Path, names: Sequence[str], tracks: int, end: float
    ) -> tuple[float | None, ...] | None:
        """The highest peak of each track in the last minute, in dB; None where there is none."""
        if not tracks:
            return ()
        found: list[float | None] = [None] * tracks
        left = HEARD_SECONDS
        for path in (directory / name for name in names):
            peaks = await decoding.peaks(path, tracks, left, end)
            if peaks is None:
                return None
            for track, peak in enumerate(peaks):
                before = found[track]
                if peak is not None:
                    found[track] = peak if before is None else max(peak, before)
            left -= await self._disk.do(partial(_length, path))
            if left <= 0:
                break
        return tuple(found)

    async def _list(self, one: Listed, end: float) -> ListLook:
        def said(problem: str | None, age: float | None = None) -> ListLook:
            return ListLook(one.role, one.instance, one.file.name, problem, age)

        try:
            text, age = await self._disk.do(lambda: _read_list(one.file))
        except (OSError, ValueError) as error:
            return said(f"{one.file.name} cannot be read: {plain(error)}")
        except Failed as failed:
            return said(str(failed))
        segments = [line for line in text.splitlines() if line and not line.startswith("#")]
        longest = re.search(r"^#EXT-X-TARGETDURATION:(\d{1,4})$", text, re.MULTILINE)
        if not text.startswith("#EXTM3U") or not segments or longest is None:
            return said(f"{one.file.name} lists nothing to play", age)
        if age > 3 * int(longest[1]) + 1:
            return said(f"{one.file.name} has not changed for {age:.0f} s", age)
        file = one.file.parent / Path(segments[-1]).name
        decoded = await decoding.decode(file, end)
        if decoded.whole and not decoded.complaint and not decoded.seconds:
            return said(f"{file.name} has nothing to play", age)
        return said(decoded.complaint, age)


def _newest(one: Recorded) -> list[str]:
    return newest(_names(one.directory), one.prefix, one.instance, datetime.now(UTC))


def _names(directory: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(directory)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Failed("NotPermitted", f"{directory} cannot be read: {error.strerror}") from None


def _sizes(one: Recorded) -> tuple[str, int] | None:
    names = _newest(one)
    with contextlib.suppress(OSError):
        return (names[0], (one.directory / names[0]).stat().st_size) if names else None
    return None


def _length(path: Path) -> float:
    """How long a segment has been or was written, in seconds; its name says when it was opened."""
    stamp = path.stem.rpartition("-")[2]
    try:
        opened = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return max(0.0, path.stat().st_mtime - opened.timestamp())
    except (OSError, ValueError):
        return 0.0


def _read_list(file: Path) -> tuple[str, float]:
    age = max(0.0, time.time() - file.stat().st_mtime)
    with file.open(encoding="utf-8") as opened:
        return opened.read(_LIST_BYTES), age


def _rate(fraction: str) -> float | None:
    over, _, under = fraction.partition("/")
    try:
        return round(int(over) / int(under or 1), 3)
    except (ValueError, ZeroDivisionError):
        return None
