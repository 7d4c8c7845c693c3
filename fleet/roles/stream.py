"""Sends picture and sound out of the building, and says whether they arrive.

ffmpeg ends when its target does; it is then started again like any instance that failed.
"""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from attrs import frozen
from prometheus_client import Gauge

from fleet import kept
from fleet.media.disk import DiskWork
from fleet.media.encoders import Encoder
from fleet.media.ffmpeg import FILTERS, PICTURE
from fleet.media.formats import AudioBitrate, VideoBitrate
from fleet.media.passing import EVERY_PICTURE
from fleet.media.reading import SourceRole
from fleet.media.segments import refused
from fleet.media.sources import FileSource, Source, one_track
from fleet.media.targets import HlsTarget, IcecastTarget, RtmpTarget, SrtTarget, Target
from fleet.roles import Failed, Host, Meta, RoleFactory, register_factory

_VIDEO_BITRATE, _AUDIO_BITRATE = 2_000_000, 128_000
_WRITING = re.compile(
    r"av_interleaved_write_frame|Error writing trailer|Error closing file|Failed to open segment"
)
_REFUSAL = re.compile(
    r"Server returned 40\d|HTTP error 40\d|Server error|REJECT|rejected|Operation not permitted"
)
_CLOSED = re.compile(r"Broken pipe|Connection reset by peer|End of file")
_TAKEN_SECONDS = 5.0
"""Who closes the connection sooner has refused the stream."""
_SILENT_SECONDS = 5.0
"""Without a byte for so long it is not connected, whatever the connection looks like."""


@frozen
class StreamSettings:
    """What is sent, where to, and how it is encoded."""

    source: Annotated[Source, Meta(description="what is sent")]
    target: Annotated[Target, Meta(description="where to")]
    video_codec: Annotated[
        Literal["auto", "copy", "h264"],
        Meta(description="auto copies what can be sent so, where no bitrate is asked for"),
    ] = "auto"
    video_bitrate: Annotated[VideoBitrate | None, Meta(description="2 Mbit/s where encoded")] = None
    encoder: Encoder = "auto"
    audio_codec: Annotated[
        Literal["auto", "copy", "aac"],
        Meta(description="auto copies what can be sent so, where no bitrate is asked for"),
    ] = "auto"
    audio_bitrate: Annotated[AudioBitrate | None, Meta(description="128 kbit/s where encoded")] = (
        None
    )
    track: Annotated[
        str | None,
        Meta(
            min_length=1,
            max_length=32,
            description="the track of sound that is sent, by its name or number; else the first",
        ),
    ] = None

    def __attrs_post_init__(self) -> None:
        one_track(self.source, self.track)
        codecs = {self.video_codec, self.audio_codec}
        if isinstance(self.target, IcecastTarget) and codecs != {"auto"}:
            raise ValueError(
                "has video_codec or audio_codec, but icecast takes VP8 and Opus alone: "
                "expected auto"
            )
        if self.source.raw and "copy" in codecs:
            raise ValueError(
                "has video_codec or audio_codec = copy, but a source of type test or device has "
                "nothing to copy: expected auto or a codec"
            )


class Stream(SourceRole[StreamSettings]):
    """One stream to one target."""

    output = "stream"
    stall_seconds = 15.0

    def __init__(self, host: Host, settings: StreamSettings) -> None:
        super().__init__(host, settings)
        self._connected = Gauge(
            "fleet_stream_connected", "1 while the target takes the stream.", registry=host.registry
        )
        self._secrets: dict[str, str] = {}
        self._begun = 0.0
        self._sent = ((0, 0), 0.0)
        """How much was sent, and when it was last more than before."""
        self._list: dict[Path, bytes | None] = {}
        """An HLS target's files before this attempt: the list's text, None for a segment."""

    def reached(self) -> list[str]:
        """Source and target."""
        target = self.settings.target
        return [*super().reached(), *([] if isinstance(target, HlsTarget) else [target.url])]

    def target(self) -> str:
        """As messages name it."""
        return self.settings.target.url

    @property
    def _options(self) -> Path:
        """The file in which ffmpeg is told what nobody else may read."""
        return self.host.state / "private.ffpreset"

    def arguments(self) -> list[str]:
        """From the source to the target."""
        settings = self.settings
        private = ["-fpre", str(self._options)] if self._secrets else []
        return [
            *private,
            *(_for_icecast(settings) or [*self._video(), *self._audio()]),
            *settings.target.outputs(self.host),
        ]

    def copied(self) -> frozenset[str]:
        """What is to be copied if it can be."""
        settings = self.settings
        auto = {
            "video": (settings.video_codec, settings.video_bitrate),
            "audio": (settings.audio_codec, settings.audio_bitrate),
        }
        if settings.source.raw or isinstance(settings.target, IcecastTarget):
            return frozenset()
        kinds = {kind for kind, wanted in auto.items() if wanted == ("auto", None)}
        return frozenset(kinds - self.encoded)

    def streams(self) -> list[str]:
        """One picture and one track of sound."""
        return one_track(self.settings.source, self.settings.track)

    def _video(self) -> list[str]:
        if self.settings.video_codec == "copy" or "video" in self.copied():
            transport = isinstance(self.settings.target, HlsTarget | SrtTarget)
            return ["-c:v", "copy", *(self.heads() if transport else [])]
        rate = self.settings.video_bitrate or _VIDEO_BITRATE
        graphics = self.chosen.ffmpeg(FILTERS) if self.chosen else None
        software = ("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency")
        return [
            *([] if self.settings.source.raw else EVERY_PICTURE),
            *(graphics or (*software, *PICTURE)),
            *("-g", "50"),
            *("-b:v", str(rate), "-maxrate", str(rate), "-bufsize", str(2 * rate)),
        ]

    def _audio(self) -> list[str]:
        if self.settings.audio_codec == "copy" or "audio" in self.copied():
            return ["-c:a", "copy"]
        rate = self.settings.audio_bitrate or _AUDIO_BITRATE
        return ["-c:a", "aac", "-b:a", str(rate), "-ar", "48000", "-ac", "2"]

    async def start(self) -> None:
        """Returns once the target takes the stream."""
        target = self.settings.target
        if isinstance(target, HlsTarget):
            directory = self._directory
            try:
                await self._disk().do(lambda: self._make_way(directory))
            except OSError as error:
                raise refused(error, directory) from None
        self._secrets = {
            option: self.host.secret(secret, target.secrets_to)
            for option, secret in target.secrets().items()
        }
        passphrase = self._secrets.get("passphrase")
        if passphrase is not None and not 10 <= len(passphrase) <= 64:
            raise Failed(
                "SecretUnsuitable",
                f"the passphrase has {len(passphrase)} characters: SRT takes 10 to 64; set another "
                "on both sides",
            )
        self._begun = time.monotonic()
        try:
            self._write_options()
            await super().start()
        finally:
            self._options.unlink(missing_ok=True)

    async def begin(self) -> None:
        """One attempt; what an HLS list held before is kept in mind."""
        if isinstance(self.settings.target, HlsTarget):
            self._list = await self._disk().do(self._listed)
        icecast = isinstance(self.settings.target, IcecastTarget)
        if not icecast and self.settings.video_codec != "copy" and "video" not in self.copied():
            await self.choose_encoder(self.settings.encoder, "h264")
        await super().begin()

    async def unfit(self) -> frozenset[str]:
        """What nobody can read of what was sent; that ends, and an HLS list is as it was before."""
        unfit = await super().unfit()
        if unfit:
            await super().stop()
            if isinstance(self.settings.target, HlsTarget):
                await self._disk().do(self._put_back)
        return unfit

    async def _encode_unfit(self) -> None:
        try:
            unfit = await self.unfit()
            if unfit:
                self.encoded |= unfit
                self._started = False
                await self._begin_anew()
        finally:
            self._anew = None

    @property
    def _directory(self) -> Path:
        """Where an HLS target's files go."""
        return self.host.recordings / self.settings.target.url

    def _disk(self) -> DiskWork:
        return DiskWork(self._directory)

    def _make_way(self, directory: Path) -> None:
        """Have a directory whose list ffmpeg can write, whatever a power cut left in its place."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in (f"{self.host.instance}.m3u8", f"{self.host.instance}.m3u8.tmp"):
            kept.make_way(directory / name)

    def _listed(self) -> dict[Path, bytes | None]:
        own = re.compile(rf"{re.escape(self.host.instance)}(-\d+\.ts|\.m3u8)")
        there = (file for file in self._directory.iterdir() if own.fullmatch(file.name))
        files = [file for file in there if file.is_file()]
        return {file: file.read_bytes() if file.suffix == ".m3u8" else None for file in files}

    def _put_back(self) -> None:
        for file in self._listed().keys() - self._list.keys():
            file.unlink(missing_ok=True)
        for file, text in self._list.items():
            if text is not None:
                file.write_bytes(text)

    def _write_options(self) -> None:
        if any("\n" in value or not value for value in self._secrets.values()):
            raise Failed("SecretMissing", "a secret of this stream is empty or has several lines")
        lines = "".join(f"{option}={value}\n" for option, value in self._secrets.items())
        try:
            kept.make_directory(self._options.parent)
            kept.make_way(self._options)
            self._options.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self._options, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            raise refused(error, self._options.parent) from None

    def tick(self) -> None:
        """See what was sent."""
        super().tick()
        now = time.monotonic()
        if self._work != self._sent[0]:
            self._sent = (self._work, now)
        self._connected.set(any(self._work) and now - self._sent[1] < _SILENT_SECONDS)
        # What a container does not know is said with the first packet in it, after it was counted.
        young = now - self._begun < _TAKEN_SECONDS
        if young and self._started and self._anew is None and self.copied():
            self._anew = self.host.task(self._encode_unfit(), "look")

    def finished(self, status: int | None) -> bool:
        """Only a file that is not looped has an end."""
        source = self.settings.source
        return isinstance(source, FileSource) and not source.loop and super().finished(status)

    def exited(self, status: int | None) -> None:
        """Nothing is sent any more."""
        self._connected.set(0)
        super().exited(status)

    def failure(self, status: int | None) -> Failed:
        """What its end means: trouble with the target, the source or ffmpeg itself."""
        if super().finished(status):
            return Failed("SourceEnded", f"{self.source()} stopped sending: check it")
        words = self.child.last_words(20)
        for secret in self._secrets.values():
            words = words.replace(secret, "…")
        about_target = [
            line
            for line in words.splitlines()
            if f"{self.target()}:" in line or _WRITING.search(line)
        ]
        if about_target and not (status is not None and status < 0):
            refusal = _REFUSAL.search(words)
            soon = time.monotonic() - self._begun < _TAKEN_SECONDS
            if refusal is None and soon and isinstance(self.settings.target, RtmpTarget):
                refusal = _CLOSED.search(words)  # many an RTMP server says no more than that
            if refusal:
                return Failed(
                    "TargetRefused",
                    f"{self.target()} refuses this stream ({refusal[0]}): check its key or "
                    "password, and that nobody else sends there",
                )
            return Failed(
                "TargetUnreachable",
                f"{self.target()} takes nothing: check its address, the network, and that it "
                f"listens ({about_target[-1].rsplit(': ', 1)[-1].strip()})",
            )
        failure = super().failure(status)
        message = failure.message
        for secret in self._secrets.values():
            message = message.replace(secret, "…")
        return Failed(failure.reason, message)


def _for_icecast(settings: StreamSettings) -> list[str]:
    if not isinstance(settings.target, IcecastTarget):
        return []
    rate = str(settings.video_bitrate or _VIDEO_BITRATE)
    picture = [  # by one thread: several wait for each other at work, and take ten times as much
        *("-c:v", "libvpx", "-threads:v", "1", "-deadline", "realtime", "-cpu-used", "8"),
        *PICTURE,
        *("-g", "50", "-b:v", rate, "-maxrate", rate),
    ]
    sound = ["-c:a", "libopus", "-ar", "48000", "-ac", "2"]
    sound += ["-b:a", str(settings.audio_bitrate or _AUDIO_BITRATE)]
    return [*(picture if settings.target.format == "webm" else ["-vn"]), *sound]


class StreamFactory(RoleFactory[StreamSettings]):
    """As many as there are targets."""

    role = Stream
    settings = StreamSettings
    tools: Mapping[str, str] = {"ffmpeg": "ffmpeg"}


register_factory("stream", StreamFactory())
