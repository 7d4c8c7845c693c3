"""Records picture and sound to disk, in segments, without ever overwriting a file.

A recording runs all day; names carry when each segment was opened (UTC). The transport stream
is flushed packet by packet, so that what was seen is on disk even if the power goes.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from attrs import evolve, frozen

from fleet.roles import Failed, Host, Meta, RoleFactory, register_factory
from fleet.roles.ffmpeg import FfmpegRole
from fleet.roles.segments import Segments

_TIMEOUT = 3_000_000
"""Microseconds an input may be silent before it counts as gone."""
_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtsp", "rtsps", "srt", "tcp", "udp", "rtp")
_SUFFIXES = {"mpegts": ".ts", "matroska": ".mkv"}
_PIXELS = r"[1-9][0-9]{0,2}[02468]"


def _below(directory: str) -> None:
    path = PurePosixPath(directory)
    if path.is_absolute() or ".." in path.parts or "\0" in directory:
        raise ValueError(
            'expected a directory below the station\'s recordings, relative and without "..", '
            f"got {directory!r}"
        )


def _address(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"expected an address such as rtsp://camera/main: {error}") from None
    if "@" in parts.netloc:
        raise ValueError(
            "expected an address without user name and password: they would stand in the config, "
            "in the list of processes and in logs for all to read"
        )
    if parts.scheme not in _SCHEMES or not parts.netloc or re.search(r"[\s\0]", url):
        raise ValueError(
            f"expected an address such as rtsp://camera/main ({', '.join(_SCHEMES)}), got {url!r}"
        )


def _file(path: str) -> None:
    if not path or "\0" in path:
        raise ValueError(f"expected the path of a file, got {path!r}")


@frozen
class SyntheticSource:
    """A moving picture with a running clock and frame counter, and a tone."""

    type: Literal["test"]
    size: Annotated[
        str,
        Meta(
            pattern=f"^{_PIXELS}x{_PIXELS}$",
            title="a size in even numbers such as 1280x720",
            description="width x height",
            extra_json_schema={"unit": "px"},
        ),
    ] = "1280x720"
    rate: Annotated[
        int, Meta(ge=1, le=120, description="frames a second", extra_json_schema={"unit": "Hz"})
    ] = 25

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it."""
        picture = f"testsrc2=size={self.size}:rate={self.rate}"
        sound = "sine=frequency=440:sample_rate=48000:beep_factor=4"
        return [  # no long queues here: of raw pictures they would take 700 MB
            *("-re", "-f", "lavfi", "-i", picture),
            *("-re", "-f", "lavfi", "-i", sound),
            *("-map", "0:v", "-map", "1:a"),
        ]

    def __str__(self) -> str:
        return "the test picture"


@frozen
class UrlSource:
    """What another machine sends."""

    type: Literal["url"]
    url: Annotated[
        str, Meta(description=f"{', '.join(_SCHEMES)}; no user and password in it"), _address
    ]

    def inputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg reads it."""
        timeout = ["-rw_timeout", str(_TIMEOUT)]
        if self.url.startswith("rtsp"):
            timeout = ["-rtsp_transport", "tcp", "-timeout", str(_TIMEOUT)]
        return [*timeout, "-thread_queue_size", "512", "-i", self.url, *_EVERY_STREAM]

    def __str__(self) -> str:
        return self.url


@frozen
class FileSource:
    """A file on the station, read as fast as it would be played."""

    type: Literal["file"]
    path: Annotated[str, Meta(description="absolute, or below the station's recordings"), _file]
    loop: Annotated[bool, Meta(description="begin again at its end")] = True

    def inputs(self, host: Host) -> list[str]:
        """How ffmpeg reads it."""
        path = host.recordings.absolute() / self.path
        loop = ["-stream_loop", "-1"] if self.loop else []
        return [*loop, "-re", "-thread_queue_size", "512", "-i", f"file:{path}", *_EVERY_STREAM]

    def __str__(self) -> str:
        return self.path


_EVERY_STREAM = ("-map", "0:v:0?", "-map", "0:a?")
Source = SyntheticSource | UrlSource | FileSource


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
        Meta(description="auto copies what a url or file sends, and encodes the test picture"),
    ] = "auto"
    video_bitrate: Annotated[
        int,
        Meta(
            ge=50_000,
            le=200_000_000,
            description="of the picture, where it is encoded",
            extra_json_schema={"unit": "bit/s"},
        ),
    ] = 3_000_000
    audio_codec: Annotated[
        Literal["auto", "copy", "aac", "mp2"],
        Meta(description="auto copies what a url or file sends, and encodes the test tone"),
    ] = "auto"
    audio_bitrate: Annotated[
        int,
        Meta(
            ge=16_000,
            le=512_000,
            description="of the sound, where it is encoded",
            extra_json_schema={"unit": "bit/s"},
        ),
    ] = 128_000
    directory: Annotated[
        str, Meta(description="where to, below the station's recordings"), _below
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

    def __attrs_post_init__(self) -> None:
        if isinstance(self.source, SyntheticSource) and "copy" in (
            self.video_codec,
            self.audio_codec,
        ):
            raise ValueError(
                "has video_codec or audio_codec = copy, but the test source has nothing to copy: "
                "expected auto or a codec"
            )


class Record(FfmpegRole[RecordSettings]):
    """One recording, in segments."""

    output = "recording"
    _segments: Segments

    def __init__(self, host: Host, settings: RecordSettings) -> None:
        super().__init__(host, settings)
        self.stall_seconds = settings.stall_seconds

    def source(self) -> str:
        """As messages name it."""
        return str(self.settings.source)

    def target(self) -> str:
        """As messages name it."""
        return str(self._segments.directory)

    def arguments(self) -> list[str]:
        """From the source to numbered segments."""
        settings = self.settings
        options = "flush_packets=1"
        if settings.container == "matroska":
            options += ":cluster_time_limit=1000"
        return [
            *settings.source.inputs(self.host),
            *_video(settings),
            *_audio(settings),
            *("-f", "segment", "-segment_time", str(settings.segment_seconds)),
            *("-segment_format", settings.container, "-segment_format_options", options),
            *("-reset_timestamps", "1" if settings.container == "matroska" else "0"),
            self._segments.pattern,
        ]

    async def start(self) -> None:
        """Returns once the first segment has bytes and its name."""
        directory = self.host.recordings / self.settings.directory
        self._segments = Segments.begin(self.host, directory, _SUFFIXES[self.settings.container])
        try:
            await super().start()
        except Failed:
            self._segments.close()
            raise
        if "private data stream" in self.child.last_words(20):  # recorded, but for nobody to read
            await self.stop()
            raise Failed(
                "CodecUnsuitable",
                f"what {self.source()} sends does not fit {self.settings.container}: set "
                "video_codec to h264 and audio_codec to aac, or container to matroska",
            )

    def spawned(self) -> None:
        """Where the child writes is told by its arguments: an earlier agent may have begun it."""
        super().spawned()
        if self.child.adopted:
            self._segments.close()
            pattern = self.child.argv[-1].replace("%%", "%")
            self._segments = Segments.of(self.host, Path(pattern))
        self._segments.sweep()

    def written(self) -> tuple[int | None, float | None]:
        """What the files grew by."""
        self._segments.publish()
        last = self._segments.last_write
        return self._segments.written, last.timestamp() if last else None

    def finished(self, status: int | None) -> bool:
        """Only a file that is not looped has an end."""
        source = self.settings.source
        return isinstance(source, FileSource) and not source.loop and super().finished(status)

    def failure(self, status: int | None) -> Failed:
        """What its end means: the state of the disk tells more than ffmpeg's words."""
        try:
            self._segments.publish()
        except Failed as failure:
            return failure
        if super().finished(status):
            return Failed("SourceEnded", f"{self.source()} stopped sending: check it")
        return super().failure(status)

    def exited(self, status: int | None) -> None:
        """What it has written is kept."""
        super().exited(status)
        self._segments.close()

    async def update(self, settings: RecordSettings) -> bool:
        """How patient we are can change while recording."""
        if evolve(self.settings, stall_seconds=settings.stall_seconds) != settings:
            return False
        self.settings = settings
        self.stall_seconds = settings.stall_seconds
        return True

    async def stop(self) -> None:
        """ffmpeg closes its file, and the last segment gets its name."""
        await super().stop()
        if hasattr(self, "_segments"):  # else it was stopped before it began
            self._segments.close()


def _video(settings: RecordSettings) -> list[str]:
    codec = settings.video_codec
    if codec == "auto":
        codec = "h264" if isinstance(settings.source, SyntheticSource) else "copy"
    if codec == "copy":
        return ["-c:v", "copy"]
    # Without look-ahead what was seen is on disk at once; segments can only begin at key frames.
    encoder = (
        ["libx264", "-preset", "veryfast", "-tune", "zerolatency"]
        if codec == "h264"
        else ["mpeg2video"]
    )
    rate = settings.video_bitrate
    return [
        *("-c:v", *encoder, "-pix_fmt", "yuv420p"),
        *("-b:v", str(rate), "-maxrate", str(rate), "-bufsize", str(2 * rate)),
        *("-g", "50", "-force_key_frames", f"expr:gte(t,n_forced*{settings.segment_seconds})"),
    ]


def _audio(settings: RecordSettings) -> list[str]:
    codec = settings.audio_codec
    if codec == "auto":
        codec = "aac" if isinstance(settings.source, SyntheticSource) else "copy"
    if codec == "copy":
        return ["-c:a", "copy"]
    return ["-c:a", codec, "-b:a", str(settings.audio_bitrate), "-ar", "48000", "-ac", "2"]


class RecordFactory(RoleFactory[RecordSettings]):
    """As many recordings as there are sources."""

    role = Record
    settings = RecordSettings
    tools: Mapping[str, str] = {"ffmpeg": "ffmpeg"}


register_factory("record", RecordFactory())
