"""Records picture and sound to disk, in segments, without ever overwriting a file.

A recording runs all day; names carry when each segment was opened (UTC). The transport stream
is flushed packet by packet, so that what was seen is on disk even if the power goes.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from attrs import frozen

from fleet.media.began import creation_time
from fleet.media.disk import DiskWork
from fleet.media.encoders import Encoder
from fleet.media.ffmpeg import FILTERS, PICTURE
from fleet.media.formats import AudioBitrate, VideoBitrate
from fleet.media.passing import EVERY_PICTURE
from fleet.media.reading import SourceRole
from fleet.media.segments import FLUSHED, Segments, publish_left, short_of
from fleet.media.sources import FileSource, Reference, Source, below
from fleet.roles import Failed, Host, Meta, OwnStation, RoleFactory, register_factory

_YOUNG_SECONDS = 10.0
"""So long is thrown away what turns out to be unreadable; later only the rest is written better."""
_LOOKED_AT = 3.0
"""So many seconds at the end of a file are decoded where it is in doubt."""
_SERVICE_NAME = 200
"""Characters of what a transport stream is called."""
_SUFFIXES = {"mpegts": ".ts", "matroska": ".mkv"}


@frozen
class RecordSettings:
    """What is recorded, how, and where to."""

    source: Annotated[Source, Meta(description="what is recorded")]
    segment_seconds: Annotated[
        int,
        Meta(ge=1, le=86400, description="length of a file", extra_json_schema={"unit": "s"}),
    ] = 180
    container: Annotated[
        Literal["mpegts", "matroska"],
        Meta(description="mpegts loses least when the power goes"),
    ] = "mpegts"
    video_codec: Annotated[
        Literal["auto", "copy", "h264", "mpeg2"],
        Meta(description="auto copies what fits the container, and encodes what does not"),
    ] = "auto"
    video_bitrate: VideoBitrate = 3_000_000
    encoder: Encoder = "auto"
    audio_codec: Annotated[
        Literal["auto", "copy", "aac", "mp2"],
        Meta(description="auto copies what fits the container, and encodes what does not"),
    ] = "auto"
    audio_bitrate: AudioBitrate = 128_000
    directory: Annotated[
        str, Meta(description="where to, below the station's recordings"), below
    ] = ""
    stall_seconds: Annotated[
        int,
        Meta(
            ge=2,
            le=3600,
            description="restart it when no byte was written for so long",
            extra_json_schema={"unit": "s"},
        ),
    ] = 15

    minimum_free_gib: Annotated[
        float | None,
        Meta(
            ge=0,
            le=1_000_000,
            description="with less free it stops; null: at 1, and of a mix at 0.5, so that it goes "
            "on longest; local copies stop before, at 10",
            extra_json_schema={"unit": "GiB"},
        ),
    ] = None

    def __attrs_post_init__(self) -> None:
        if self.source.raw and "copy" in (self.video_codec, self.audio_codec):
            raise ValueError(
                "has video_codec or audio_codec = copy, but a source of type test or device has "
                "nothing to copy: expected auto or a codec"
            )

    @property
    def least_free(self) -> float:
        """GiB with less than which it stops."""
        if self.minimum_free_gib is not None:
            return self.minimum_free_gib
        mix = isinstance(self.source, Reference) and self.source.role == "mix"
        return 0.5 if mix else 1.0


class Record(SourceRole[RecordSettings]):
    """One recording, in segments."""

    output = "recording"
    taken_live = frozenset(("stall_seconds", "minimum_free_gib"))
    _segments: Segments

    def __init__(self, host: Host, settings: RecordSettings) -> None:
        super().__init__(host, settings)
        self.stall_seconds = settings.stall_seconds
        self._begun = 0.0
        directory = host.recordings / settings.directory
        self._disk, self._search = DiskWork(directory), DiskWork(host.recordings)
        self._wrong: Failed | None = None
        """What was wrong with the disk when the child had ended."""

    def target(self) -> str:
        """As messages name it."""
        return str(self._segments.directory)

    def arguments(self) -> list[str]:
        """From the source to numbered segments."""
        settings = self.settings
        options, made = FLUSHED, []
        if settings.container == "matroska":
            options = "flush_packets=1:cluster_time_limit=1000:write_crc32=0"
            made = creation_time(datetime.now(UTC))
        return [
            *self._video(),
            *self._audio(),
            *made,
            *self._titles(),
            *("-f", "segment", "-segment_time", str(settings.segment_seconds)),
            *("-segment_format", settings.container, "-segment_format_options", options),
            *("-reset_timestamps", "1" if settings.container == "matroska" else "0"),
            *(["-segment_start_number", "{first}"] if self.retimed else []),
            self._segments.pattern,
        ]

    def _titles(self) -> Iterator[str]:
        """The names of tracks: of each, or where the container has no place for those, of all."""
        source = self.settings.source
        names = source.tracks if isinstance(source, Reference) else ()
        if names and self.settings.container == "mpegts":
            yield from ("-metadata", f"service_name={', '.join(names)[:_SERVICE_NAME]}")
            return
        for number, name in enumerate(names):
            yield from (f"-metadata:s:a:{number}", f"title={name}")

    async def begin(self) -> None:
        """Returns once the first segment has bytes and its name."""
        self.host.records()
        self._disk.forget()
        await self._disk.do(self._open)
        self._begun = time.monotonic()
        codec = self._codec("video", self.settings.video_codec, "h264")
        if codec != "copy":
            await self.choose_encoder(self.settings.encoder, codec)
        try:
            await super().begin()
        except Failed:
            await self._disk.do(self._segments.close)
            raise

    def _open(self) -> None:
        self._check_space(self._disk.directory)
        suffix = _SUFFIXES[self.settings.container]
        # Here, so that it is closed also where nobody waits for it any more.
        self._segments = Segments.begin(self.host, self._disk.directory, suffix)

    def _close(self) -> None:
        if hasattr(self, "_segments"):  # else it was stopped before it began
            self._segments.close()

    def copied(self) -> frozenset[str]:
        """What is to be copied if it can be."""
        settings = self.settings
        auto = {"video": settings.video_codec, "audio": settings.audio_codec}
        kinds = {kind for kind, codec in auto.items() if codec == "auto"}
        return frozenset() if settings.source.raw else frozenset(kinds - self.encoded)

    async def unfit(self) -> frozenset[str]:
        """What cannot be read of the first segment, and raw pictures, which fill any disk.

        Raises:
            Failed: it is told to copy what cannot be read.
        """
        if self.settings.source.raw:
            return frozenset()
        streams = await self._seen()
        raw = {"codec_type": "video", "codec_name": "rawvideo"}
        unreadable = any(one["codec_type"] == "data" or "codec_name" not in one for one in streams)
        named = [one for one in streams if "codec_name" in one]
        well = {one["codec_type"] for one in named if not raw.items() <= one.items()}
        encode = self.copied() - well if unreadable or raw in streams else frozenset()
        if not encode and not unreadable:
            return encode
        await super().stop()
        segments = self._segments
        await self._disk.do(segments.close if self.child.adopted else segments.discard)
        if not encode:
            raise Failed(
                "CodecUnsuitable",
                f"what {self.source()} sends does not fit {self.settings.container}: set "
                "video_codec and audio_codec to auto, or container to matroska",
            )
        return encode

    def otherwise(self, failure: Failed) -> frozenset[str] | None:
        """Throw away what was written before it was known that it must be written otherwise."""
        unfit = super().otherwise(failure)
        young = time.monotonic() - self._begun < _YOUNG_SECONDS
        if failure.reason == "CodecUnsuitable" and unfit is not None and young:
            self._disk.begin(self._segments.discard)
        return unfit

    async def readable(self) -> bool:
        """Whether a picture can be decoded of the last that was written."""
        file = self._segments.current
        if file is None or self.settings.container != "mpegts":
            return False
        rate = self._segments.written / max(1.0, time.monotonic() - self._begun)
        size = await self._disk.do(lambda: file.stat().st_size)
        skipped = max(0, size - round(rate * _LOOKED_AT)) // 188 * 188
        show = ("-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames")
        tail = ("-skip_initial_bytes", str(skipped), f"file:{file}")
        argv = ["ffprobe", "-v", "quiet", *show, "-of", "csv=p=0", *tail]
        looking = await self.host.spawn(argv, name="look", report=True)
        await looking.wait()
        return bool(re.search(rb"\d", looking.output.read_bytes()))

    async def _seen(self) -> list[dict[str, str]]:
        """The streams of the first segment, as soon as it shows any."""
        deadline = time.monotonic() + self.start_seconds
        while True:
            size, ended = self._work, self._ended
            streams = await self._streams()
            if streams or streams is None or ended or time.monotonic() > deadline:
                return streams or []
            while self._work == size and not self._ended and time.monotonic() < deadline:
                self.host.progress()  # the deadline here is the one that counts
                await asyncio.sleep(0.05)
                self.tick()

    async def _streams(self) -> list[dict[str, str]] | None:
        """What ffprobe finds in what was recorded: `codec_type` and `codec_name` of each stream.

        None where it could not be looked at, which is recorded all the same.
        """
        show = ("-show_entries", "stream=codec_type,codec_name", "-of", "json")
        argv = ["ffprobe", "-v", "quiet", *show, f"file:{self._segments.current}"]
        try:
            looking = await self.host.spawn(argv, name="look", report=True)
            await looking.wait()
            said: dict[str, list[dict[str, str]]] = json.loads(looking.output.read_bytes())
        except (Failed, OSError, ValueError):
            return None
        return said.get("streams", [])

    async def spawned(self) -> None:
        """Where the child writes is told by its arguments: an earlier agent may have begun it."""
        await super().spawned()
        if self.child.adopted:
            await self._disk.do(self._segments.close)
            file = Path(self.child.argv[-1].replace("%%", "%"))
            self._segments = await self._disk.do(lambda: Segments.of(self.host, file))
        self._search.begin(self._segments.sweep)

    def _see(self) -> None:
        """Publish, and stop before the disk is full: the station needs some of it."""
        self._segments.publish()
        self._check_space(self._segments.directory)

    def _check_space(self, directory: Path) -> None:
        short = short_of(self.settings.least_free, directory)
        if short:
            raise Failed("DiskLow", f"{short} for {directory}: delete or move recordings")

    def written(self) -> tuple[int | None, float | None]:
        """What the files grew by."""
        self.host.records()
        self._disk.look(self._see)
        last = self._segments.last_write
        return self._segments.written, last.timestamp() if last else None

    def finished(self, status: int | None) -> bool:
        """Only a file that is not looped has an end."""
        source = self.settings.source
        return isinstance(source, FileSource) and not source.loop and super().finished(status)

    def failure(self, status: int | None) -> Failed:
        """What its end means: the state of the disk tells more than ffmpeg's words."""
        if self._wrong is not None:
            return self._wrong
        if super().finished(status):
            return Failed("SourceEnded", f"{self.source()} stopped sending: check it")
        return super().failure(status)

    async def gone(self) -> None:
        """What it has written is kept."""
        self._wrong = None
        try:
            await self._disk.do(self._segments.publish)
            await self._disk.do(self._segments.close)
        except Failed as failure:
            self._wrong = failure
            self._disk.begin(self._segments.close)

    async def update(self, settings: RecordSettings) -> bool:
        """How patient we are and what must stay free can change while recording."""
        if not self.takes_live(settings):
            return False
        self.settings = settings
        self.stall_seconds = settings.stall_seconds
        self._begun = 0.0
        return True

    async def stop(self) -> None:
        """ffmpeg closes its file, and the last segment gets its name."""
        await super().stop()
        await self._disk.do(self._close)

    def _video(self) -> list[str]:
        settings = self.settings
        codec = self._codec("video", settings.video_codec, "h264")
        if codec == "copy":
            return ["-c:v", "copy", *(self.heads() if settings.container == "mpegts" else [])]
        graphics = self.chosen.ffmpeg(FILTERS) if self.chosen and codec == "h264" else None
        # Without look-ahead what was seen is on disk at once; segments begin at key frames alone.
        encoder = (
            ["libx264", "-preset", "veryfast", "-tune", "zerolatency", "-udu_sei", "1"]
            if codec == "h264"
            else ["mpeg2video"]
        )
        rate = settings.video_bitrate
        every = [] if settings.source.raw or codec != "h264" else EVERY_PICTURE
        return [
            *(graphics or ("-c:v", *encoder, *PICTURE)),
            *every,
            *("-b:v", str(rate), "-maxrate", str(rate), "-bufsize", str(2 * rate)),
            *("-g", "50", "-force_key_frames", f"expr:gte(t,n_forced*{settings.segment_seconds})"),
        ]

    def _audio(self) -> list[str]:
        settings = self.settings
        codec = self._codec("audio", settings.audio_codec, "aac")
        if codec == "copy":
            return ["-c:a", "copy"]
        return ["-c:a", codec, "-b:a", str(settings.audio_bitrate), "-ar", "48000", "-ac", "2"]

    def _codec(self, kind: str, wanted: str, encoder: str) -> str:
        if wanted != "auto":
            return wanted
        return "copy" if kind in self.copied() else encoder


class RecordFactory(RoleFactory[RecordSettings]):
    """As many recordings as there are sources."""

    role = Record
    settings = RecordSettings
    tools: Mapping[str, str] = {"ffmpeg": "ffmpeg"}

    def tidy(self, facts: OwnStation) -> None:
        """Publish what recordings that are not wanted any more have left."""
        publish_left(facts, "record")


register_factory("record", RecordFactory())
