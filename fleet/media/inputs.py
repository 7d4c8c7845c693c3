"""What an ingest captures, and how GStreamer reads it.

What a person wrote never becomes part of a pipeline's text: it is set as a property.
"""

from pathlib import PurePath
from typing import Annotated, Literal
from urllib.parse import urlsplit

from attrs import frozen
from msgspec import Meta

from fleet.bound import SendsSecrets
from fleet.host import Host
from fleet.media import login
from fleet.media.devices import (
    ANY_WORDS,
    AlsaInput,
    Properties,
    ScreenInput,
    V4l2Input,
    named,
)
from fleet.media.sources import address, file

_HELD = 1_000_000_000
"""Nanoseconds for which what comes by a connection is kept, to be even where that is not: one that
stands for most of a second loses nothing."""
_EVEN = ("udp", "rtp", "rtsp", "rtsps")
"""Ways for which GStreamer does so by itself."""
_STILL = "filesrc name=still ! gdkpixbufdec"
_STILLS = (".gif", ".bmp", ".tif", ".tiff")
"""What is not decoded by itself, or has no end so."""
_SCHEMES = ("rtsp", "rtsps", "srt", "rtmp", "rtmps", "http", "https", "udp", "rtp")


@frozen
class TestInput:
    """Colour bars with noise and a running clock; a tone of 440 Hz at -18 dBFS."""

    type: Literal["test"]
    picture = "videotestsrc name=device is-live=true ! timeoverlay"
    sound = "audiotestsrc is-live=true freq=440 volume=0.125"
    missing = "NoSignal"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """None."""
        return {}

    def __str__(self) -> str:
        return "the test input"


@frozen
class DecklinkInput:
    """A Blackmagic card; with the sound embedded in the signal where both come from one."""

    type: Literal["decklink"]
    device: (
        Annotated[int, Meta(ge=0, le=15, description=f"number of the input, {ANY_WORDS}")]
        | Literal["any"]
    ) = 0
    picture = "decklinkvideosrc name=device drop-no-signal-frames=true"
    sound = "decklinkaudiosrc name=sound-device"
    missing = "DeviceMissing"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Which one it is."""
        number = {"device-number": self.device}
        return {"device": number, "sound-device": number}

    def __str__(self) -> str:
        return named("decklink", self.device)


def _url(url: str) -> None:
    address(url, _SCHEMES)


@frozen
class UrlInput(SendsSecrets):
    """What another machine sends, read once where picture and sound name the same."""

    type: Literal["url"]
    url: Annotated[
        str, Meta(description=f"{', '.join(_SCHEMES)}; no user and password in it"), _url
    ]
    user: login.User | None = None
    password: login.Password | None = None
    passphrase: login.Passphrase | None = None
    picture = sound = "uridecodebin name=decoder"
    missing = "SourceUnreachable"

    def __attrs_post_init__(self) -> None:
        login.check(self)

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return urlsplit(self.url).hostname

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Where it is, and for how long it is kept."""
        held = {} if urlsplit(self.url).scheme in _EVEN else {"ts-offset": _HELD}
        return {"decoder": {"uri": self.url}, "picture": held, "sound": held}

    def __str__(self) -> str:
        return self.url


@frozen
class FileInput:
    """A file on the station, played over and over."""

    type: Literal["file"]
    path: Annotated[str, Meta(description="below the station's recordings or its media_dirs"), file]
    sound = "uridecodebin name=decoder"
    missing = "FileMissing"

    @property
    def picture(self) -> str:
        """What reads its picture."""
        return _STILL if PurePath(self.path).suffix.lower() in _STILLS else self.sound

    def properties(self, host: Host) -> Properties:
        """Where it is."""
        path = host.readable(self.path)
        return {"decoder": {"uri": path.as_uri()}, "still": {"location": str(path)}}

    def __str__(self) -> str:
        return self.path


@frozen
class NoInput:
    """Left out of what is offered."""

    type: Literal["none"]
    missing = "NoSignal"


NOTHING = NoInput("none")


Picture = TestInput | V4l2Input | DecklinkInput | ScreenInput | UrlInput | FileInput | NoInput
Sound = TestInput | AlsaInput | DecklinkInput | UrlInput | FileInput | NoInput
Input = TestInput | V4l2Input | DecklinkInput | ScreenInput | AlsaInput | UrlInput | FileInput
"""One that gives something."""
