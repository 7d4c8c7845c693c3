"""What ffmpeg says of its own progress, and the metrics made of it.

The report is a file, so it goes on when the agent is replaced, and the next one reads it on.
"""

import re
import time
from collections.abc import Mapping
from os import SEEK_END
from pathlib import Path

from attrs import define, field
from prometheus_client import Counter, Gauge

from fleet.host import Host


@define
class Report:
    """What ffmpeg's `-progress` appends to a file, read bit by bit."""

    path: Path
    values: Mapping[str, str] = field(factory=dict)
    """The latest of each in whole blocks: `{"frame": "51", "speed": "1.01x", …}`."""
    _offset: int = 0

    @property
    def frames(self) -> int:
        """Frames out so far."""
        return whole(self.values.get("frame"))

    @property
    def done(self) -> tuple[int, int]:
        """What only grows: frames, and microseconds of sound as long as there are none.

        Where sound comes out first, the first report has no frame yet.
        """
        return self.frames, 0 if self.frames else whole(self.values.get("out_time_us"))

    def read(self) -> None:
        """Take in what was added since the last time; the agent empties a long report."""
        try:
            with self.path.open("rb") as file:
                file.seek(0 if file.seek(0, SEEK_END) < self._offset else self._offset)
                latest, rest = latest_values(file.read())
                self._offset = file.tell() - rest
        except OSError:
            return
        self.values = {**self.values, **latest}


def latest_values(text: bytes) -> tuple[dict[str, str], int]:
    r"""The latest of each value in whole blocks of a report, and how many bytes follow them.

    >>> latest_values(b"frame=1\nprogress=continue\nframe=2\nprogress=continue\nfra")
    ({'frame': '2', 'progress': 'continue'}, 3)
    """
    blocks = re.findall(rb"(?:\A|(?<=\n))((?:(?!progress=).*\n)*progress=\w+\n)", text)
    if not blocks:
        return {}, len(text)
    pairs = (line.split("=", 1) for line in b"".join(blocks).decode(errors="replace").splitlines())
    values = {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}
    return values, len(text) - (text.rindex(blocks[-1]) + len(blocks[-1]))


def whole(text: str | None) -> int:
    """A count as ffmpeg writes it; 0 for `N/A`."""
    return int(text) if text and text.isdecimal() else 0


class Metrics:
    """What every ffmpeg tells, as Prometheus' client library knows it."""

    def __init__(self, host: Host, output: str) -> None:
        def counter(name: str, documentation: str) -> Counter:
            return Counter(name, documentation, registry=host.registry)

        def gauge(name: str, documentation: str) -> Gauge:
            return Gauge(name, documentation, registry=host.registry)

        self._counted: dict[Counter, int] = {}
        self._frames = counter("fleet_ffmpeg_frames_total", "Video frames written.")
        self._dropped = counter(
            "fleet_ffmpeg_dropped_frames_total", "Frames left out to keep the frame rate."
        )
        self._duplicated = counter(
            "fleet_ffmpeg_duplicated_frames_total", "Frames written twice to keep the frame rate."
        )
        self._speed = gauge("fleet_ffmpeg_speed_ratio", "Media time over real time; 1 keeps up.")
        self._bytes = counter(f"fleet_{output}_bytes_total", "Bytes written.")
        self._bitrate = gauge(
            f"fleet_{output}_bitrate_bits_per_second", "Bits written a second, of late."
        )
        self._last_write = gauge(
            f"fleet_{output}_last_write_timestamp_seconds", "When bytes were last written."
        )
        self._samples: list[tuple[float, int]] = []

    def begin(self) -> None:
        """Another process begins to count."""
        self._counted.clear()
        self._samples.clear()

    def show(self, values: Mapping[str, str], size: int | None, at: float | None) -> None:
        """Take over a report's values and the bytes written, both counted since the start."""
        self._count(self._frames, whole(values.get("frame")))
        self._count(self._dropped, whole(values.get("drop_frames")))
        self._count(self._duplicated, whole(values.get("dup_frames")))
        speed = re.match(r"[\d.]+", values.get("speed", ""))
        if speed:
            self._speed.set(float(speed[0]))
        if size is not None:
            if self._count(self._bytes, size) and at is not None:
                self._last_write.set(at)
            self._bitrate.set(self._rate(size))

    def _count(self, counter: Counter, total: int) -> bool:
        """Bring a counter up to `total`; True if it grew. Less than before: counted from zero."""
        counted = self._counted.get(counter, 0)
        grown = total - (counted if total >= counted else 0)
        if grown > 0:
            counter.inc(grown)
            self._counted[counter] = total
        return grown > 0

    def _rate(self, size: int) -> float:
        now = time.monotonic()
        self._samples = [s for s in self._samples if s[0] > now - 10] + [(now, size)]
        begun, first = self._samples[0]
        return (size - first) * 8 / (now - begun) if now > begun else 0.0
