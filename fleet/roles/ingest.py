"""Opens a capture device once and offers what it gives to any number of readers.

Scaled, encoded once, and served as MPEG-TS on a port by a GStreamer program that never stops:
where picture or sound is lost, black or silence stands in for it until it is back, so readers
and recordings go on. A copy on the station's own disk is a reader too, with a process of its
own: a full disk cannot harm what is offered.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Annotated, Literal

from attrs import frozen
from prometheus_client import Counter, Gauge

from fleet.media.encoders import Chosen, Encoder, choose
from fleet.media.formats import AudioBitrate, Rate, Size, VideoBitrate, fraction
from fleet.media.inputs import NOTHING, FileInput, Input, NoInput, Picture, Sound, UrlInput
from fleet.media.local_copy import LOCAL_COPY, LocalCopy, LocalCopySettings
from fleet.media.pipelines import CAPTURE, LOOPBACK, output, raw, refused, sink, sources
from fleet.media.progress import Metrics, Report
from fleet.media.reach import webward
from fleet.media.segments import publish_left
from fleet.media.sources import PORT, Listen
from fleet.media.tracks import SoundTrack, Tracks, tracks_of
from fleet.roles import (
    ChildRole,
    Failed,
    Host,
    Meta,
    Offer,
    OwnStation,
    RoleFactory,
    register_factory,
)

_ADVICE = {
    "url": "check its address and that it sends",
    "test": "check that this station has processor time left, and that fc-match names a font (else "
    "apt install --reinstall fontconfig fontconfig-config fonts-dejavu-core)",
    "screen": "check that it runs, and lets the agent's user in (xhost +si:localuser:fleet)",
    "file": "check that the file is there, that the agent's user may read it, and what it holds",
}
"""Type of an input -> what to do where nothing comes of it; for all others there is a cable."""
_PATIENCE_SECONDS = 3.0
"""How long the second of picture and sound may come after the first."""
_LOSS = 0.01
"""Share of pictures or sound whose loss is said."""


@frozen
class IngestSettings:
    """What is captured, and what leaves the station."""

    picture: Annotated[Picture, Meta(description="where the picture comes from")]
    sound: (
        Annotated[
            Sound,
            Meta(title="a table with a type", description="where the sound comes from, or tracks"),
        ]
        | Annotated[Tracks, Meta(title="a list of one to four tracks")]
    ) = NOTHING
    size: Annotated[Size, Meta(description="of what leaves: input is scaled, aspect kept")] = (
        "1280x720"
    )
    rate: Annotated[Rate, Meta(description="of what leaves, frames a second")] = 25
    video_codec: Literal["h264", "h265"] = "h264"
    video_bitrate: VideoBitrate = 3_000_000
    encoder: Encoder = "auto"
    audio_codec: Literal["aac", "mp2"] = "aac"
    audio_bitrate: AudioBitrate = 128_000
    port: Annotated[int, Meta(ge=1024, le=65535, description="where readers connect (TCP)")] = PORT
    listen: Annotated[
        Listen, Meta(description="where others connect; readers on the station always can")
    ] = "0.0.0.0"  # noqa: S104 (readers are other boxes; the port carries what the room sees)
    local_copy: Annotated[LocalCopySettings, Meta(description="the copy on the station's disk")] = (
        LOCAL_COPY
    )

    def __attrs_post_init__(self) -> None:
        if isinstance(self.picture, NoInput) and isinstance(self.sound, NoInput):
            raise ValueError("has neither picture nor sound: expected at least one")
        names = [track.name for track in self.tracks() if track.name]
        if len(set(names)) < len(names):
            raise ValueError("has two tracks of sound of one name: give each its own")

    def tracks(self) -> tuple[SoundTrack, ...]:
        """What there is of sound."""
        return tracks_of(self.sound)


class Ingest(ChildRole[IngestSettings]):
    """One capture, served until it is stopped."""

    report = True
    stall_seconds = 15.0
    stall_advice = "check whether this station has processor time left"
    start_seconds = 15.0
    """How long the first of picture and sound may take."""

    def __init__(self, host: Host, settings: IngestSettings) -> None:
        super().__init__(host, settings)

        def gauge(name: str, documentation: str) -> Gauge:
            return Gauge(name, documentation, registry=host.registry)

        self._metrics = Metrics(host, "ingest")
        self._readers = gauge("fleet_ingest_readers", "Connections that are being served.")
        self._width = gauge("fleet_ingest_input_width_pixels", "Of the picture that comes in.")
        self._height = gauge("fleet_ingest_input_height_pixels", "Of the picture that comes in.")
        self._rate = gauge("fleet_ingest_input_rate_hertz", "Frames a second that come in.")
        self._tracks = settings.tracks()
        self._inputs: dict[str, Input] = {
            **({} if isinstance(settings.picture, NoInput) else {"picture": settings.picture}),
            **{sink(number): track.input for number, track in enumerate(self._tracks)},
        }
        """What comes in, as the capture program calls it."""
        self._held = gauge(
            "fleet_ingest_held_seconds",
            "How long a picture from another machine is kept, to be even where that is not.",
        )
        self._present = {
            kind: gauge(f"fleet_ingest_{kind}_present", f"1 while there is {kind}, else 0.")
            for kind in ("picture", "sound")
            if kind in self._inputs
        }
        self._missing = Counter(
            "fleet_ingest_sound_missing_seconds_total",
            "Sound that came too late, or not at all while there was some.",
            registry=host.registry,
        )
        self._report: Report | None = None
        self._size = 0
        self._silent = 0.0
        """Seconds of sound known to be missing."""
        self._failure: Failed | None = None
        self._chosen = Chosen()
        self._copy = LocalCopy(host, settings.local_copy, LOOPBACK, settings.port)

    def argv(self) -> list[str]:
        """The capture program."""
        inputs = (self.settings.picture, *(track.input for track in self._tracks))
        urls = [one.url for one in inputs if isinstance(one, UrlInput)]
        return [*webward(*urls), *CAPTURE]

    def stdin(self) -> bytes:
        """The pipelines it is to run, in which logins may stand."""
        settings = self.settings
        shown, (over, under) = raw(settings.size), fraction(settings.rate)
        rate = f"{over}/{under}"
        pipelines = {
            "output": output(
                f"{shown},framerate={rate}" if "picture" in self._present else None,
                sound=[(track.width, track.language) for track in self._tracks],
                video=(settings.video_codec, settings.video_bitrate),
                audio=(settings.audio_codec, settings.audio_bitrate),
                listen=settings.listen,
                port=settings.port,
                chosen=self._chosen,
            ),
            "rate": [over, under],
            "sources": sources(settings.picture, self._tracks, shown, rate, self.host),
        }
        return json.dumps(pipelines).encode()

    async def start(self) -> None:
        """Returns once picture or sound leaves; a device that lacks is begun without."""
        if "picture" in self._inputs:
            settings = self.settings
            self._chosen = await choose(
                self.host, settings.encoder, "gstreamer", settings.video_codec
            )
        await super().start()
        self._report = Report(self.child.output)
        try:
            await self._first_output()
            await self._copy.start()
        except Failed:
            await self.stop()
            raise

    async def _first_output(self) -> None:
        begun = time.monotonic()
        while self._failure is None:
            self._see()
            there = [self._report.values.get(kind) for kind in self._inputs] if self._report else []
            waited = time.monotonic() - begun
            some = "present" in there and waited > _PATIENCE_SECONDS
            adopted = self.child.adopted and self._size
            if adopted or some or all(state == "present" for state in there):
                return
            if waited > self.start_seconds:
                lost = self._lost()
                raise Failed(*lost) if lost else Failed("NoSignal", "nothing can be captured")
            await asyncio.sleep(0.05)
        raise self._failure

    def tick(self) -> None:
        """See what comes in and what leaves."""
        self._see()
        self._copy.tick()
        if self._report is not None:
            lost = self._lost() or self._copy.trouble or self._choppy() or self._chosen.fallback
            self.host.note(*(lost or (None, None)))

    def _see(self) -> None:
        if self._report is None:
            return
        self._report.read()
        values = self._report.values
        size = int(values.get("total_size", "0"))
        self._metrics.show(values, size, time.time())
        if size > self._size:
            self._size = size
            self.host.progress()
        silent = int(values.get("sound_missing_us", "0")) / 1e6
        if silent > self._silent:
            self._missing.inc(silent - self._silent)
            self._silent = silent
        self._readers.set(int(values.get("readers", "0")))
        self._held.set(int(values.get("held_us", "0")) / 1e6)
        for kind, gauge in self._present.items():
            own = [one for one in self._inputs if one.partition("-")[0] == kind]
            gauge.set(all(values.get(one) == "present" for one in own))
        width, _, rest = values.get("input", "").partition("x")
        height, _, rate = rest.partition("@")
        over, _, under = rate.partition("/")
        self._width.set(int(width or 0))
        self._height.set(int(height or 0))
        self._rate.set(int(over or 0) / int(under or 1))

    def _lost(self) -> tuple[str, str] | None:
        """What does not come in: reason and message."""
        values = self._report.values if self._report else {}
        named = {sink(number): str(track) for number, track in enumerate(self._tracks)}
        named["picture"] = f"picture from {self.settings.picture}"
        lost = {
            kind: f"no {named[kind]}: {values.get(f'{kind}_error') or 'nothing came'}"
            for kind in self._inputs
            if values.get(kind) == "missing"
        }
        if not lost:
            return None
        if len(lost) < len(self._inputs):
            reason = "NoPicture" if "picture" in lost else "NoSound"
        else:
            kind, said = next(iter(lost.items()))
            reason = self._reason(self._inputs[kind], said)
        said = "; ".join(lost.values())
        advice = {_ADVICE.get(self._inputs[kind].type, "check cable and device") for kind in lost}
        return reason, f"{said}; {' and '.join(sorted(advice))}: it comes back by itself"

    def _reason(self, source: Input, said: str) -> str:
        """Why nothing at all can be had of an input."""
        if isinstance(source, UrlInput) and "nauthorized" in said:
            return "SourceRefused"
        if not isinstance(source, FileInput):
            return "NoSignal" if said.endswith("nothing came") else source.missing
        try:
            with self.host.readable(source.path).open("rb") as opened:
                opened.read(1)
        except PermissionError:
            return "NotPermitted"
        except (FileNotFoundError, NotADirectoryError):
            return source.missing
        except OSError:  # a directory, or a disk that cannot be read
            pass
        return "SourceUnreadable"

    def _choppy(self) -> tuple[str, str] | None:
        """What of all that comes in is not shown or heard as it came: reason and message."""
        values = self._report.values if self._report else {}
        shares = {
            "of the pictures that came are left out": values.get("pictures_dropped"),
            "of the pictures shown are repeated": values.get("pictures_repeated"),
            "of the sound is missing": values.get("sound_lost"),
        }
        said = [
            f"{float(share):.0%} {what}"
            for what, share in shares.items()
            if share and float(share) > _LOSS
        ]
        if not said:
            return None
        far = "url" in [source.type for source in self._inputs.values()]
        network = "the network to the source, and " if far else ""
        return (
            "Choppy",
            f"in the last half minute {' and '.join(said)}: check {network}whether this station "
            "has processor time left",
        )

    def exited(self, status: int | None) -> None:
        """Its last output says why."""
        self._failure = self.failure(status)
        self.host.fail(self._failure.reason, self._failure.message)

    def failure(self, status: int | None) -> Failed:
        """What its end means."""
        words, settings = self.child.last_words(20), self.settings
        refusal = refused(words, settings.port, settings.listen)
        return refusal or super().failure(status)

    async def stop(self) -> None:
        """The copy first, so that it is whole."""
        await self._copy.stop()
        await super().stop()


class IngestFactory(RoleFactory[IngestSettings]):
    """As many as there are devices, each on a port of its own."""

    role = Ingest
    settings = IngestSettings
    tools: Mapping[str, str] = {
        CAPTURE[0]: "python3-gi",
        "gst-launch-1.0": "gstreamer1.0-tools",
        "ffmpeg": "ffmpeg",
    }

    def offers(self, settings: IngestSettings) -> Mapping[str, Offer]:
        """Picture and sound in one."""
        tracks = settings.tracks()
        names = tuple(track.name for track in tracks if track.name)
        return {"main": Offer(settings.port, settings.listen, bool(tracks), names)}

    def tidy(self, facts: OwnStation) -> None:
        """Publish what local copies that are not wanted any more have left."""
        publish_left(facts, "ingest")


register_factory("ingest", IngestFactory())
