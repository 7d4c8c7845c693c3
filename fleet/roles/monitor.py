"""Looks and listens to a source, so that somebody notices before the talk is over.

It measures loudness as EBU R128 has it, true peaks, black, still and missing pictures, and shows
a small picture every few seconds. A source that is away is something it says, not a reason to
fail: it looks again until the source is back.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from os import SEEK_END
from pathlib import Path
from signal import SIGINT
from typing import Annotated, Literal

import attrs
from attrs import define, evolve, frozen
from prometheus_client import Gauge, Metric
from prometheus_client.registry import Collector

from fleet import kept
from fleet.media.ffmpeg import diagnose
from fleet.media.meter import STALE_SECONDS, THRESHOLDS, TRACK, Meter, Thresholds, Track
from fleet.media.reach import webward
from fleet.media.sources import (
    EVERY_STREAM,
    MOST_TRACKS,
    Reference,
    Source,
    UrlSource,
    discreetly,
    guarded,
    private,
)
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

_AWAY = ("SourceUnreachable", "SourceRefused", "SourceUnreadable", "SourceEnded", "FileMissing")
_NO_PICTURE = "'0:V:0' matches no streams"
_RETRY_SECONDS = 2.0
_SOUND = ",".join(
    [
        f"ametadata=add:key={TRACK}:value={{track}}",
        "asplit[loudness][peaks];[loudness]ebur128=metadata=1",
        r"aselect=not(mod(n\,5))",  # twice a second
        "ametadata=print:file=-:direct=1",
        "anullsink;[peaks]aresample=192000:osf=flt",  # true peaks lie between samples, above 0 dB
        "asetnsamples=n=19200",  # ffmpeg keeps many of these, so they are short
        "astats=metadata=1:reset=10:measure_overall=none:measure_perchannel=Peak_level",
        r"aselect=not(mod(n+1\,10))",  # the highest of each second
        "ametadata=print:file=-:direct=1",
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
_SMALL = (
    r"scale=w='if(gte(dar\,1)\,320\,trunc(160*dar)*2)':h='if(gte(dar\,1)\,trunc(160/dar)*2\,320)'"
    ":out_range=full,setsar=1,format=yuv420p"
)
"""As it is seen, whatever the shape of its pixels, the longer side 320."""
_FINE, _COARSE = 6, 31
"""Best and worst quality of a thumbnail, as ffmpeg counts it."""


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
        float | None, _seconds("how long it may be black; 0: for ever; else as the kind")
    ] = None
    frozen_seconds: Annotated[
        float | None, _seconds("how long it may stand still; 0: for ever; else as the kind")
    ] = None
    sound_seconds: Annotated[
        float | None, _seconds("how long sound may be bad; 0: for ever; else as the kind")
    ] = None
    low_lufs: Annotated[float, Meta(ge=-100, le=0, description="short-term, too low")] = -48.0
    high_lufs: Annotated[float, Meta(ge=-100, le=0, description="short-term, too high")] = -14.0
    high_peak_db: Annotated[float, Meta(ge=-100, le=3, description="true peak, too high")] = -5.0
    thumbnail_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="between two", extra_json_schema={"unit": "s"})
    ] = 5

    def thresholds(self) -> Thresholds:
        """Those of the kind, except for what is set."""
        names = [threshold.name for threshold in attrs.fields(Thresholds)]
        mine = {name: getattr(self, name) for name in names}
        return evolve(
            THRESHOLDS[self.kind], **{name: it for name, it in mine.items() if it is not None}
        )


class _Metrics(Collector):
    """What was measured: of all sound, of each track, of each of its channels."""

    def __init__(self, host: Host, meter: Meter) -> None:
        self._meter = meter
        self.now, self.signal = 0.0, False
        host.registry.register(self)
        self.updated = Gauge(
            "fleet_monitor_last_update_timestamp_seconds",
            "When it was last measured.",
            registry=host.registry,
        )

    def collect(self) -> Iterator[Metric]:
        """Those without a track are of the first; zero is all sound then."""
        meter, now = self._meter, self.now
        tracks = meter.heard(now)
        first = next(iter(tracks.values()), Track())
        channels = {
            (name, channel): track for name, track in tracks.items() for channel in track.peaks
        }

        def gauge(name: str, documentation: str, value: float | None = None) -> Metric:
            metric = Metric(f"fleet_monitor_{name}", documentation, "gauge")
            if value is not None:
                metric.add_sample(metric.name, {}, value)
            return metric

        momentary = gauge("loudness_momentary_lufs", "EBU R128, over 400 ms.", first.momentary)
        short_term = gauge("loudness_short_term_lufs", "EBU R128, over 3 s.", first.short_term)
        for name, track in tracks.items():
            momentary.add_sample(momentary.name, {"track": name}, track.momentary)
            short_term.add_sample(short_term.name, {"track": name}, track.short_term)
        peak = gauge("true_peak_dbtp", "Highest in the last second.")
        zero = gauge("digital_silence", "1 while it is digital zero.", meter.silent(now) >= 0)
        dead = gauge("channel_silent", "1 when zero for too long while other sound is heard.")
        judged = meter.dead(now)
        for (name, channel), track in channels.items():
            labels = {"track": name, "channel": channel}
            peak.add_sample(peak.name, labels, track.peaks[channel])
            zero.add_sample(zero.name, labels, track.zero[channel].seconds(now) >= 0)
            dead.add_sample(dead.name, labels, judged[name, channel])
        yield from (momentary, short_term, peak, zero, dead)
        yield gauge("picture_black", "1 when black for too long.", meter.is_black(now))
        yield gauge("picture_frozen", "1 when still for too long.", meter.is_frozen(now))
        yield gauge("signal", "1 while the source sends.", self.signal)


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

    taken_live = frozenset(one.name for one in attrs.fields(MonitorSettings)) - _FIXED
    stall_seconds = 30.0
    start_seconds = 10.0
    """How long a start waits for the first measurement."""

    def __init__(self, host: Host, settings: MonitorSettings) -> None:
        super().__init__(host, settings)
        source = settings.source
        self._names = source.tracks if isinstance(source, Reference) else ()
        self._meter = Meter(settings.thresholds(), names=self._names)
        self._metrics = _Metrics(host, self._meter)
        self._child: Child | None = None
        self._lines = _Lines(Path())
        self._measured = 0.0
        self._pictures = True
        """Whether the source has a picture to show; ffmpeg fails where it has not."""
        self._thumbnail = host.state / "thumbnail.jpg"
        for path in (self._thumbnail, host.state / "thumbnail.jpg.tmp"):
            kept.make_way(path)
        self._shown = 0.0
        self._coarse = _FINE
        self._anew = False
        """Whether ffmpeg is ended to be begun otherwise."""
        self._away: str | None = None
        """Why the source cannot be read."""
        self._task: asyncio.Task[None] | None = None

    def argv(self) -> list[str]:
        """Two outputs: what is measured, and the thumbnail."""
        source = self.settings.source
        every = rf"isnan(prev_selected_t)+gte(t-prev_selected_t\,{self.settings.thumbnail_seconds})"
        thumbnail = [
            *("-map", "0:V:0", "-vf", f"select={every},{_SMALL}"),
            *("-c:v", "mjpeg", "-strict", "unofficial", "-q:v", str(self._coarse)),
            *("-fps_mode", "passthrough", "-threads", "1"),
            *("-f", "image2", "-update", "1", "-atomic_writing", "1", f"file:{self._thumbnail}"),
        ]
        return [
            *(webward(source.url) if isinstance(source, UrlSource) else []),
            *guarded(source),
            *discreetly(source),
            *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning"),
            "-y",  # the thumbnail of before the source went
            *source.inputs(self.host),
            *([] if source.raw else EVERY_STREAM),
            *self._meters(),
            *("-vf", _PICTURE, "-f", "null", "-"),
            *(thumbnail if self._pictures else []),
        ]

    def _meters(self) -> Iterator[str]:
        unnamed = map(str, range(len(self._names) + 1, MOST_TRACKS + 1))
        for number, name in enumerate((*self._names, *unnamed)):
            yield f"-filter:a:{number}"
            yield _SOUND.format(track=name)

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
        given = private(self.settings.source, self.host)
        child = await self.host.spawn(
            self.argv(), stop_signal=SIGINT, grace=2.0, report=True, stdin=given
        )
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
            elif self._anew:
                self._anew = False
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
            self._meter.feed(line, now)
            if line.startswith("lavfi."):
                self._measured = now
                self._away = None
        signal = self._away is None and now - self._measured < STALE_SECONDS
        if self._measured == now:
            self._metrics.updated.set_to_current_time()
        if not signal and self._child is not None and now - self._begun > 2 * STALE_SECONDS:
            self._begun = now
            self.host.task(self._child.stop(), "stop")
        self._metrics.now, self._metrics.signal = now, signal
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
                elif self._coarse < _COARSE and self._child is not None and not self._anew:
                    self._coarse = min(self._coarse * 2, _COARSE)
                    self._anew = True
                    self.host.task(self._child.stop(), "coarser thumbnail")

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
