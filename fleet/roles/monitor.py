"""Looks and listens to a source, so that somebody notices before the talk is over.

It measures loudness as EBU R128 has it, true peaks, black, still and missing pictures, and shows
a small picture every few seconds. A source that is away is something it says, not a reason to
fail: it looks again until the source is back.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from os import SEEK_END
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Literal

import attrs
from attrs import define, evolve, frozen
from prometheus_client import Gauge

from fleet.media.ffmpeg import diagnose
from fleet.media.meter import STALE_SECONDS, THRESHOLDS, Meter, Thresholds
from fleet.media.sources import Source
from fleet.roles import (
    THUMBNAIL_BYTES,
    Child,
    Failed,
    Host,
    Meta,
    Role,
    RoleFactory,
    register_factory,
)

_AWAY = ("SourceUnreachable", "SourceUnreadable", "SourceEnded", "FileMissing")
_NO_PICTURE = "'0:v:0' matches no streams"
_RETRY_SECONDS = 2.0
_SOUND = ",".join(
    [
        "asplit[loudness][peaks];[loudness]ebur128=metadata=1",
        r"aselect=not(mod(n\,5))",  # twice a second
        "ametadata=print:key=lavfi.r128.M:file=-:direct=1",
        "ametadata=print:key=lavfi.r128.S:file=-:direct=1",
        "anullsink;[peaks]aresample=192000",  # true peaks lie between samples
        "asetnsamples=n=19200",  # ffmpeg keeps many of these, so they are short
        "astats=metadata=1:reset=10:measure_overall=none:measure_perchannel=Peak_level",
        r"aselect=not(mod(n+1\,10))",  # the highest of each second
        "ametadata=print:key=lavfi.astats.1.Peak_level:file=-:direct=1",
        "ametadata=print:key=lavfi.astats.2.Peak_level:file=-:direct=1",
    ]
)
_PICTURE = ",".join(
    [
        "fps=2,scale=160:90:flags=area,format=yuv420p,blackframe=amount=0:threshold=38",
        "metadata=print:key=lavfi.blackframe.pblack:file=-:direct=1",
        "format=gray,tblend=all_mode=difference",  # what changed, and how much at most
        "signalstats,metadata=print:key=lavfi.signalstats.YMAX:file=-:direct=1",
    ]
)


def _seconds(description: str) -> Meta:
    return Meta(ge=0, le=86400, description=description, extra_json_schema={"unit": "s"})


_FIXED = {"source", "thumbnail_seconds"}
"""Settings that cannot change while it looks."""


@frozen
class MonitorSettings:
    """What is watched, and from when on something is wrong."""

    source: Annotated[Source, Meta(description="what is watched")]
    kind: Annotated[
        Literal["camera", "slides", "mix"],
        Meta(description="slides may stand still and be silent, a mix may stand still for long"),
    ] = "camera"
    black_seconds: Annotated[
        float | None, _seconds("black for so long is wrong; 0: never; else as the kind")
    ] = None
    frozen_seconds: Annotated[
        float | None, _seconds("still for so long is wrong; 0: never; else as the kind")
    ] = None
    sound_seconds: Annotated[
        float | None, _seconds("bad sound for so long is wrong; 0: never; else as the kind")
    ] = None
    low_lufs: Annotated[float, Meta(ge=-100, le=0, description="short-term, too low")] = -48.0
    high_lufs: Annotated[float, Meta(ge=-100, le=0, description="short-term, too high")] = -14.0
    high_peak_db: Annotated[float, Meta(ge=-100, le=3, description="true peak, too high")] = -5.0
    thumbnail_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="between two", extra_json_schema={"unit": "s"})
    ] = 5

    def thresholds(self) -> Thresholds:
        """Those of the kind, but for what is set."""
        names = [threshold.name for threshold in attrs.fields(Thresholds)]
        mine = {name: getattr(self, name) for name in names}
        return evolve(
            THRESHOLDS[self.kind], **{name: it for name, it in mine.items() if it is not None}
        )


class _Metrics:
    def __init__(self, host: Host) -> None:
        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"fleet_monitor_{name}", documentation, labels, registry=host.registry)

        self.momentary = gauge("loudness_momentary_lufs", "EBU R128, over 400 ms.")
        self.short_term = gauge("loudness_short_term_lufs", "EBU R128, over 3 s.")
        self.peak = gauge("true_peak_dbtp", "Highest in the last second.", "channel")
        self.silence = gauge("digital_silence", "1 while the sound is digital zero.")
        self.black = gauge("picture_black", "1 when black for too long.")
        self.frozen = gauge("picture_frozen", "1 when still for too long.")
        self.signal = gauge("signal", "1 while the source sends.")
        self.updated = gauge("last_update_timestamp_seconds", "When it was last measured.")

    def show(self, meter: Meter, now: float, signal: bool) -> None:
        self.momentary.set(meter.momentary)
        self.short_term.set(meter.short_term)
        for channel, peak in meter.peaks.items():
            self.peak.labels(channel).set(peak)
        self.silence.set(meter.silent.seconds(now) >= 0)
        self.black.set(meter.is_black(now))
        self.frozen.set(meter.is_frozen(now))
        self.signal.set(signal)


@define
class _Lines:
    """What a child appends to its report, line by line; the agent empties a long one."""

    path: Path
    _offset: int = 0

    def read(self) -> list[str]:
        """Whole lines since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(0 if file.seek(0, SEEK_END) < self._offset else self._offset)
                text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                self._offset = file.tell() - (len(text) - len(whole))
        except OSError:
            return []
        return whole.decode(errors="replace").splitlines()


class Monitor(Role[MonitorSettings]):
    """One pair of eyes and ears."""

    live = frozenset(one.name for one in attrs.fields(MonitorSettings)) - _FIXED
    stall_seconds = 30.0
    start_seconds = 10.0
    """How long a start waits for the first measurement."""

    def __init__(self, host: Host, settings: MonitorSettings) -> None:
        super().__init__(host, settings)
        self._metrics = _Metrics(host)
        self._meter = Meter(settings.thresholds())
        self._child: Child | None = None
        self._lines = _Lines(Path())
        self._measured = 0.0
        self._pictures = True
        """Whether the source has a picture to show; ffmpeg fails where it has not."""
        self._thumbnail = host.state / "thumbnail.jpg"
        self._shown = 0.0
        self._away: str | None = None
        """Why the source cannot be read."""
        self._task: asyncio.Task[None] | None = None

    def argv(self) -> list[str]:
        """Two outputs: what is measured, and the thumbnail."""
        every = rf"isnan(prev_selected_t)+gte(t-prev_selected_t\,{self.settings.thumbnail_seconds})"
        thumbnail = [
            *("-map", "0:v:0", "-vf", f"select={every},scale=320:-2:out_range=full,format=yuv420p"),
            *(
                "-c:v",
                "mjpeg",
                "-strict",
                "unofficial",
                "-q:v",
                "6",
                "-fps_mode",
                "passthrough",
                "-threads",
                "1",
            ),
            *("-f", "image2", "-update", "1", "-atomic_writing", "1", f"file:{self._thumbnail}"),
        ]
        return [
            *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning"),
            "-y",  # the thumbnail of before the source went
            *self.settings.source.inputs(self.host),
            *("-af", _SOUND, "-vf", _PICTURE, "-f", "null", "-"),
            *(thumbnail if self._pictures else []),
        ]

    async def start(self) -> None:
        """Returns with the first measurement, or once it is known that the source is away."""
        await self._spawn()
        self._task = self.host.task(self._keep_on(), "look")
        deadline = time.monotonic() + self.start_seconds
        while not self._measured and self._away is None and time.monotonic() < deadline:
            if self._task.done():
                self._task.result()
            self.tick()
            await asyncio.sleep(0.05)

    async def _spawn(self) -> None:
        child = await self.host.spawn(self.argv(), stop_signal=SIGINT, grace=2.0, report=True)
        self._child, self._lines = child, _Lines(child.output)
        self._begun = time.monotonic()

    async def _keep_on(self) -> None:
        """Look again whenever ffmpeg has ended."""
        while self._child is not None:
            status = await self._child.wait()
            words = self._child.last_words(20)
            source = str(self.settings.source)
            failure = diagnose(words, source, source)
            if self._pictures and _NO_PICTURE in words:
                self._pictures = False
            elif failure is not None and failure.reason not in _AWAY:
                self.host.fail(failure.reason, failure.message)
                raise failure
            else:
                self._pictures = True
                ended = f"{source} cannot be read: ffmpeg ended with status {status}"
                self._away = failure.message if failure else ended
                await asyncio.sleep(_RETRY_SECONDS)
            try:
                await self._spawn()
            except Failed as failed:
                self.host.fail(failed.reason, failed.message)
                raise

    def tick(self) -> None:
        """Measure, show, and say what is wrong."""
        now = time.monotonic()
        for line in self._lines.read():
            if line.startswith("lavfi."):
                self._meter.feed(line, now)
                self._measured = now
                self._away = None
        signal = self._away is None and now - self._measured < STALE_SECONDS
        if self._measured == now:
            self._metrics.updated.set_to_current_time()
        if not signal and self._child is not None and now - self._begun > 2 * STALE_SECONDS:
            self._begun = now
            self.host.task(self._child.stop(), "stop")
        self._metrics.show(self._meter, now, signal)
        self._show()
        self.host.progress()
        if not signal:
            why = self._away or f"nothing comes from {self.settings.source}"
            self.host.note("NoSignal", f"{why}; it is looked at again until it is back")
            return
        troubles = self._meter.troubles(now)
        if troubles:
            said = "; ".join(trouble.message for trouble in troubles)
            self.host.note(troubles[0].reason, said)
        else:
            self.host.note(None)

    def _show(self) -> None:
        with contextlib.suppress(OSError):
            changed = self._thumbnail.stat().st_mtime
            if changed > self._shown:
                self._shown = changed
                jpeg = self._thumbnail.read_bytes()
                if len(jpeg) <= THUMBNAIL_BYTES:
                    self.host.thumbnail(jpeg)

    async def update(self, settings: MonitorSettings) -> bool:
        """Thresholds can change while it looks."""
        if not self.takes_live(settings):
            return False
        self.settings, self._meter.thresholds = settings, settings.thresholds()
        return True

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
        with contextlib.suppress(OSError):
            self._thumbnail.unlink()


class MonitorFactory(RoleFactory[MonitorSettings]):
    """As many as there are sources."""

    role = Monitor
    settings = MonitorSettings
    tools: Mapping[str, str] = {"ffmpeg": "ffmpeg"}


register_factory("monitor", MonitorFactory())
