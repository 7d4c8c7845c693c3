"""Where a stream goes, and how ffmpeg gets it there.

A key never stands on a command line, which everybody on the station can read: it is an option
in a file that only ffmpeg reads.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

from attrs import frozen
from msgspec import Meta

from fleet.bound import SendsSecrets
from fleet.host import Host, Secret
from fleet.media.sources import address, below
from fleet.model import in_address

_PATIENCE = ("-rw_timeout", "10000000")
"""Microseconds a target may take nothing before it counts as gone."""


def _rtmp(url: str) -> None:
    # What follows the application, and so the query, too, is what the key is.
    instead = (
        'end it with the application, and set key = {secret = "…"} beside it, a secret that is all '
        "that followed: STREAM?NAME=VALUE"
    )
    address(url, ("rtmp", "rtmps"), instead)


def _srt(url: str) -> None:
    address(url, ("srt",))
    for setting in ("passphrase", "streamid"):
        if setting in parse_qs(urlsplit(url).query):
            raise ValueError(
                f"expected an address without {setting}, which all could read: set "
                f'{"key" if setting == "streamid" else setting} = {{secret = "…"}} beside it'
            )


@frozen
class IcecastTarget(SendsSecrets):
    """A mount of an icecast server: `webm` with a picture, `ogg` with sound alone."""

    type: Literal["icecast"]
    host: Annotated[str, Meta(pattern=r"^[\w.:-]+$", description="name or address of the server")]
    mount: Annotated[str, Meta(pattern=r"^/[\w./-]+$", description="such as /hall1.webm")]
    password: Annotated[Secret, Meta(description="of the server's sources")]
    port: Annotated[int, Meta(ge=1, le=65535)] = 8000
    user: Annotated[str, Meta(pattern=r"^\w+$")] = "source"
    format: Literal["webm", "ogg"] = "webm"

    @property
    def url(self) -> str:
        """As ffmpeg and its messages name it."""
        user = "" if self.user == "source" else f"{self.user}@"
        return f"icecast://{user}{in_address(self.host)}:{self.port}{self.mount}"

    def outputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg gets there."""
        kind = "video/webm" if self.format == "webm" else "application/ogg"
        return [*_PATIENCE, "-content_type", kind, "-f", self.format, self.url]

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return self.host

    def secrets(self) -> dict[str, Secret]:
        """ffmpeg's option -> what it is set to."""
        return {"password": self.password}


@frozen
class RtmpTarget(SendsSecrets):
    """An RTMP server; with a key, `url` ends with the application."""

    type: Literal["rtmp"]
    url: Annotated[str, Meta(description="such as rtmp://live.example.org/app"), _rtmp]
    key: Annotated[Secret | None, Meta(description="of the stream")] = None

    def outputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg gets there."""
        application = ["-rtmp_app", urlsplit(self.url).path.strip("/")] if self.key else []
        return [*_PATIENCE, *application, "-f", "flv", self.url]

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return urlsplit(self.url).hostname

    def secrets(self) -> dict[str, Secret]:
        """ffmpeg's option -> what it is set to."""
        return {"rtmp_playpath": self.key} if self.key else {}


@frozen
class SrtTarget(SendsSecrets):
    """An SRT listener."""

    type: Literal["srt"]
    url: Annotated[str, Meta(description="such as srt://live.example.org:9000"), _srt]
    key: Annotated[Secret | None, Meta(description="the stream id")] = None
    passphrase: Annotated[Secret | None, Meta(description="10 to 64 characters")] = None

    def outputs(self, host: Host) -> list[str]:  # noqa: ARG002 (as its siblings)
        """How ffmpeg gets there."""
        return [*_PATIENCE, "-pkt_size", "1316", "-f", "mpegts", self.url]

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return urlsplit(self.url).hostname

    def secrets(self) -> dict[str, Secret]:
        """ffmpeg's option -> what it is set to."""
        named = {"streamid": self.key, "passphrase": self.passphrase}
        return {option: secret for option, secret in named.items() if secret}


def _goes_on(playlist: Path) -> bool:
    """Whether there is a list of an earlier running with segments in it."""
    try:
        lines = playlist.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    numbered = any(line.startswith("#EXT-X-MEDIA-SEQUENCE:") for line in lines)
    return numbered and any(line.endswith(".ts") for line in lines)


@frozen
class HlsTarget:
    """A playlist and its segments in a directory, for a web server to show."""

    type: Literal["hls"]
    directory: Annotated[
        str, Meta(description="where to, below the station's recordings"), below
    ] = "hls"
    segment_seconds: Annotated[int, Meta(ge=1, le=60, extra_json_schema={"unit": "s"})] = 2
    segments: Annotated[int, Meta(ge=3, le=1000, description="kept, the older are deleted")] = 10

    @property
    def url(self) -> str:
        """As messages name it."""
        return self.directory

    def outputs(self, host: Host) -> list[str]:
        """How ffmpeg gets there."""
        directory = (host.recordings / self.directory).absolute()
        playlist = directory / f"{host.instance}.m3u8"
        stem = f"{directory}/{host.instance}".replace("%", "%%")
        # A player knows a segment by its number: where a list goes on, so do its numbers.
        first = [] if _goes_on(playlist) else ["-hls_start_number_source", "epoch"]
        return [
            *("-f", "hls", "-hls_time", str(self.segment_seconds)),
            *("-hls_list_size", str(self.segments), *first),
            *("-hls_flags", "delete_segments+append_list+omit_endlist+temp_file"),
            *("-hls_segment_filename", f"{stem}-%09d.ts", str(playlist)),
        ]

    secrets_to: ClassVar[None] = None

    def secrets(self) -> dict[str, Secret]:
        """None."""
        return {}


Target = IcecastTarget | RtmpTarget | SrtTarget | HlsTarget
