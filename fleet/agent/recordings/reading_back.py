"""Decodes a closed segment whole, and says what an ear and an eye would find wrong with it."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import define, field

from fleet.agent.box import decoding
from fleet.agent.recordings.probing import Probe
from fleet.model import MAX_SPANS, SegmentCheck, Span

_BLACK: Final = "blackdetect=d=2"
_FROZEN: Final = "freezedetect=n=-45dB:d=5"
"""Each key frame of a still picture is encoded a bit otherwise, and nothing else is as near."""
_SOUND: Final = (
    "silencedetect=n=-60dB:d=5:mono=1,silencedetect=n=-90dB:d=0.02:mono=0,ebur128=framelog=verbose"
)
_DROPOUT: Final = 1.0
"""Seconds of zeros, at most, that are a dropout: what is longer somebody has switched off."""
_EDGE: Final = 0.1
"""Seconds at both ends of a file in which sound may begin and end."""
_UNEVEN: Final = 1.0
"""Seconds by which sound may begin or end beside the picture: they lie beside each other so."""
_LEAST_LUFS: Final = -69.9
"""What is as low is no sound at all."""
_HOURS: Final = 6 * 3600.0

_EVENT: Final = re.compile(
    r"\] (?:channel: (?P<channel>\d+) \| )?(?P<what>silence|lavfi\.freezedetect\.freeze)_"
    r"(?P<edge>start|end): (?P<at>-?[\d.]+)"
)
_BLACK_SPAN: Final = re.compile(r"black_start:(-?[\d.]+) black_end:(-?[\d.]+)")
_LOUDNESS: Final = re.compile(r"^\s+I:\s+(-?[\d.]+) LUFS")
_CORRUPT: Final = re.compile(
    r"corrupt (?:input packet|decoded frame) in stream (\d+)"
    r"|Error while decoding stream #0:(\d+)"
    r"|\[[av]ist#0:(\d+)/[^]]*\].* (?:Error submitting packet|Decoding error)"
)
"""As ffmpeg 5 says it, and later ones."""
_PICTURES: Final = re.compile(r"^(?:\[info\] )?frame= *(\d+)")


@define
class Decoding:
    """What ffmpeg said of one decoding. Stretches in seconds from the begin of the file."""

    spans: dict[tuple[str, str | None], list[tuple[float, float]]] = field(factory=dict)
    corrupt: Counter[int] = field(factory=Counter)
    """Packets and pictures by stream."""
    pictures: int = 0
    loudness: float | None = None
    error: str | None = None
    _open: dict[tuple[str, str | None], float] = field(factory=dict)

    def line(self, text: str) -> None:
        """One line of it."""
        if event := _EVENT.search(text):
            what = (event["what"].rpartition(".")[2], event["channel"])
            if event["edge"] == "start":
                self._open[what] = float(event["at"])
            elif what in self._open:
                self._span(what, self._open.pop(what), float(event["at"]))
        elif black := _BLACK_SPAN.search(text):
            self._span(("black", None), float(black[1]), float(black[2]))
        elif loud := _LOUDNESS.match(text):
            lufs = float(loud[1])
            self.loudness = lufs if lufs > _LEAST_LUFS else None
        elif corrupt := _CORRUPT.search(text):
            self.corrupt[int(next(filter(None, corrupt.groups())))] += 1
        elif pictures := _PICTURES.match(text):
            self.pictures = int(pictures[1])
        elif ("[error]" in text or "[fatal]" in text) and self.error is None:
            said = re.sub(r" @ 0x[0-9a-f]+", "", text)
            self.error = re.sub(r"\s+", " ", said).strip()[:400]

    def ended(self, length: float) -> None:
        """What still was so at the end of the file was so until then."""
        for what, since in self._open.items():
            self._span(what, since, length)
        self._open.clear()

    def _span(self, what: tuple[str, str | None], begin: float, end: float) -> None:
        found = self.spans.setdefault(what, [])
        if len(found) < 10 * MAX_SPANS:
            found.append((max(0.0, begin), end))


async def read_back(file: Path, probe: Probe) -> SegmentCheck:
    """Decode all of it, one track of sound after the other, at idle priority.

    Raises:
        Failed: ffmpeg cannot be started.
    """
    length = (probe.end - probe.begin).total_seconds()
    pictures, tracks = probe.of("video"), probe.of("audio")
    error: str | None = None
    heard: list[Decoding] = []
    for number in range(max(1, len(tracks))):
        one = Decoding()
        argv = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-v", "level+info"]
        argv += ["-threads", "1", "-i", f"file:{file}"]
        if pictures and not number:
            argv += ["-map", "0:v:0", "-vf", f"{_BLACK},{_FROZEN}", "-f", "null", "-"]
        if tracks:
            argv += ["-map", f"0:a:{number}", "-af", _SOUND, "-f", "null", "-"]
        status, _, _ = await decoding.run(argv, time.monotonic() + _HOURS, one.line)
        one.ended(length)
        heard.append(one)
        if status != 0 or not (pictures or tracks):
            error = error or one.error or f"ffmpeg ended with {status}"
    if not probe.tracks:
        error = error or "it has neither picture nor sound"
    return _check(probe, heard, length, error)


def _check(
    probe: Probe, heard: Sequence[Decoding], length: float, error: str | None
) -> SegmentCheck:
    pictures, tracks = probe.of("video"), probe.of("audio")
    named = [
        one.name or (f"track {n}" if len(tracks) > 1 else "") for n, one in enumerate(tracks, 1)
    ]

    def spans(found: Iterator[tuple[float, float, str | None]]) -> tuple[Span, ...]:
        ordered = sorted(found, key=lambda one: one[:2])[:MAX_SPANS]
        begin = probe.begin
        return tuple(
            Span(begin + timedelta(seconds=a), begin + timedelta(seconds=b), what or None)
            for a, b, what in ordered
        )

    def silences() -> Iterator[tuple[float, float, str | None]]:
        for name, one in zip(named, heard, strict=False):
            for (what, channel), found in one.spans.items():
                if what == "silence" and channel is not None:
                    where = f"{name} channel {int(channel) + 1}".strip()
                    yield from ((a, b, where) for a, b in found)

    def dropouts() -> Iterator[tuple[float, float, str | None]]:
        for name, track, one in zip(named, tracks, heard, strict=False):
            holes = [(a - probe.start, b - probe.start) for a, b in track.holes]
            zeros = one.spans.get(("silence", None), [])
            for a, b in zeros:
                inside = a > _EDGE and b < length - _EDGE
                if inside and b - a <= _DROPOUT and not any(a < d and c < b for c, d in holes):
                    yield a, b, name
            yield from ((a, b, name) for a, b in holes)
            if pictures and track.packets:  # it begins late, or is gone before the picture is
                first, last = pictures[0].first - probe.start, pictures[0].end - probe.start
                begins, ends = track.first - probe.start, track.end - probe.start
                yield from (
                    (a, b, name) for a, b in ((first, begins), (ends, last)) if b - a > _UNEVEN
                )

    def seen(what: str) -> Iterator[tuple[float, float, str | None]]:
        for one in heard[:1]:
            yield from ((a, b, None) for a, b in one.spans.get((what, None), []))

    ahead: list[float] = [one.ahead for one in tracks if one.ahead is not None and pictures]
    offset = max(ahead, key=abs, default=None)
    loud = [one.loudness for one in heard if one.loudness is not None]
    return SegmentCheck(
        datetime.now(UTC),
        sum(one.missing for one in probe.of("video")),
        sum(one.corrupt[track.index] for one in heard[:1] for track in pictures[:1]),
        spans(dropouts()),
        spans(silences()),
        spans(seen("black")),
        spans(seen("freeze")),
        max(loud, default=None),
        None if offset is None else round(offset, 3),
        error,
        None,
        sum(one.corrupt[track.index] for track, one in zip(tracks, heard, strict=False)),
    )
