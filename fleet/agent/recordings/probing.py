"""What a finished segment holds, from its packets alone: nothing is decoded for it."""

import json
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import xxhash
from attrs import define, evolve, field, frozen

from fleet.agent.box.decoding import idle
from fleet.media.began import NoTime, began
from fleet.model import MAX_KEY_FRAMES, MAX_SPANS, KeyFrames, SegmentStream

_HOLE: Final = 0.06
"""Seconds by which a packet is late where one is missing: sound of 48 kHz has one in 0.02 s."""
_CHUNK: Final = 1 << 20
_MOST_STREAMS: Final = 16
_EVEN_PACKETS: Final = frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "opus"))
_SAMPLES: Final = (480, 576, 960, 1024, 1152, 1536, 1920, 2048, 2880)
"""A packet of those has as many."""
_NEARLY: Final = 0.03
_FIRST_LOOK: Final = 60.0
_MOST_KEYS: Final = 10_000
_EVEN: Final = 0.002
"""Seconds by which key frames may be early or late and are even nevertheless: Matroska has whole
milliseconds."""


@define
class PacketTrack:
    """One stream, as its packets tell. Times in seconds from the begin of the file."""

    kind: str
    codec: str
    name: str | None
    language: str | None
    index: int = 0
    """In the file, as ffmpeg calls it."""
    packets: int = 0
    first: float = 0.0
    last: float = 0.0
    length: float = 0.0
    """Of one packet."""
    holes: list[tuple[float, float]] = field(factory=list)
    missing: int = 0
    """Packets that should lie in the holes."""
    keys: list[float] = field(factory=list)
    """When its key frames are shown, as far as is told."""
    rate: float = 0.0
    """Of its samples."""
    whole: float | None = 0.0
    """Seconds of all its packets, as exact as its clock; None where one does not say its length."""
    _dts: float = 0.0

    def packet(self, pts: float, dts: float, length: float, *, is_key: bool = False) -> None:
        """One more of it."""
        if is_key and self.kind == "video" and len(self.keys) < _MOST_KEYS:
            self.keys.append(pts)
        if not self.packets:
            self.first = self.last = pts
        else:
            step = dts - self._dts
            expected = length or self.length
            if expected and step > max(1.5 * expected, expected + _HOLE / 2):
                self.missing += max(1, round(step / expected) - 1)
                if len(self.holes) < MAX_SPANS:
                    self.holes.append((self._dts + expected, dts))
        self.first, self.last = min(self.first, pts), max(self.last, pts)
        self.packets += 1
        self.whole = self.whole + length if self.whole is not None and length else None
        self._dts, self.length = dts, length or self.length

    @property
    def end(self) -> float:
        """When the last of it ends."""
        return self.last + self.length

    @property
    def ahead(self) -> float | None:
        """Seconds by which it would end too early, played packet after packet.

        None of a codec whose packets are not of one length: times alone are too coarse, Matroska's
        are whole milliseconds.
        """
        if self.codec not in _EVEN_PACKETS or not self.whole or not self.rate:
            return None
        about = self.whole / self.packets * self.rate
        samples = min(_SAMPLES, key=lambda one: abs(one - about))
        if abs(samples - about) > _NEARLY * samples:
            return None
        return self.end - self.first - self.packets * samples / self.rate

    @property
    def stream(self) -> SegmentStream:
        """As it travels."""
        kind: Any = self.kind
        return SegmentStream(kind, self.codec, self.name, self.language, self.packets)


@frozen
class Probe:
    """What a file holds. `start`: the least time in it, in seconds; `begin`, `end`: in UTC."""

    tracks: tuple[PacketTrack, ...]
    start: float
    begin: datetime
    end: datetime
    checksum: str
    bytes: int

    def of(self, kind: str) -> list[PacketTrack]:
        """Its tracks of this kind."""
        return [one for one in self.tracks if one.kind == kind]

    @property
    def keys(self) -> tuple[KeyFrames, ...]:
        """Of the first picture."""
        return evenly(self.of("video")[0].keys if self.of("video") else ())


def evenly(keys: Iterable[float]) -> tuple[KeyFrames, ...]:
    """Key frames in as few words as fit a message; of uneven ones those at the end are left out.

    >>> evenly([1.4, 3.4, 5.4, 6.0])
    (KeyFrames(first=1.4, every=2.0, count=3), KeyFrames(first=6.0, every=0.0, count=1))
    """
    runs: list[KeyFrames] = []
    for at in sorted(keys):
        last = runs[-1] if runs else None
        if last is not None and last.count == 1:
            runs[-1] = KeyFrames(last.first, round(at - last.first, 6), 2)
        elif last is not None and abs(last.first + last.every * last.count - at) < _EVEN:
            runs[-1] = evolve(last, count=last.count + 1)
        elif len(runs) == MAX_KEY_FRAMES:
            break
        else:
            runs.append(KeyFrames(round(at, 6), 0.0, 1))
    return tuple(runs)


def probe(file: Path) -> Probe:
    """Read all packets of a file. Blocks for as long as the disk and ffprobe do.

    Raises:
        OSError: it cannot be read.
    """
    tracks = _tracks(file)
    with_packets = [one for one in tracks if one.packets]
    start = min((one.first for one in with_packets), default=0.0)
    end = max((one.end for one in with_packets), default=start)
    leads = [one for one in with_packets if one.kind == "video"] or with_packets
    stat = file.stat()
    try:
        begin = began(file)
    except NoTime:
        begin = datetime.fromtimestamp(stat.st_mtime, UTC) - timedelta(seconds=end - start)
    else:
        begin -= timedelta(seconds=min((one.first for one in leads), default=start) - start)
    return Probe(
        tuple(tracks),
        start,
        begin,
        begin + timedelta(seconds=end - start),
        _checksum(file),
        stat.st_size,
    )


def _tracks(file: Path) -> list[PacketTrack]:
    show = (
        "-show_entries",
        "stream=index,codec_type,codec_name,sample_rate:stream_tags=title,language",
    )
    argv = ["ffprobe", "-v", "quiet", *show, "-of", "json", f"file:{file}"]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_FIRST_LOOK, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"{file} cannot be read within {_FIRST_LOOK:.0f} s") from None
    tracks: dict[str, PacketTrack] = {}
    try:
        for one in json.loads(done.stdout).get("streams", [])[:_MOST_STREAMS]:
            tags = one.get("tags", {})
            if one.get("codec_type") in ("video", "audio"):
                tracks[str(one["index"])] = PacketTrack(
                    one["codec_type"],
                    str(one.get("codec_name", "unknown"))[:200],
                    _short(tags.get("title")),
                    _short(tags.get("language")),
                    int(one["index"]),
                    rate=float(one.get("sample_rate", 0.0)),
                )
    except (ValueError, KeyError, AttributeError):
        return []
    entries = "packet=stream_index,pts_time,dts_time,duration_time,flags"
    argv = ["ffprobe", "-v", "quiet", "-show_entries", entries, "-of", "compact=p=0"]
    with subprocess.Popen([*argv, f"file:{file}"], stdout=subprocess.PIPE, text=True) as asked:
        idle(asked.pid)
        for line in asked.stdout or ():
            said = dict(part.partition("=")[::2] for part in line.strip().split("|"))
            track = tracks.get(said.get("stream_index", ""))
            pts = _number(said.get("pts_time"))
            dts = _number(said.get("dts_time"))
            at = dts if pts is None else pts
            if track is not None and at is not None:
                length = _number(said.get("duration_time")) or 0
                is_key = said.get("flags", "").startswith("K")
                track.packet(at, at if dts is None else dts, length, is_key=is_key)
    return list(tracks.values())


def _short(text: object) -> str | None:
    return str(text)[:200] if text else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _checksum(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while some := opened.read(_CHUNK):
            digest.update(some)
    return f"xxh3-128:{digest.hexdigest()}"
