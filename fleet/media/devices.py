"""Capture devices of the station: how GStreamer reads each for an ingest, ffmpeg for the others."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from attrs import frozen
from msgspec import Meta

from fleet.host import Failed, Host
from fleet.programs.plugged import ANY, WORDS, the_only

_CARD = r"(?:CARD=)?[A-Za-z0-9_-]{1,32}"
_NUMBER = "[0-9]{1,2}"
ALSA = (
    rf"^(?:{ANY}|default|sysdefault|(?:hw|plughw|dsnoop|sysdefault):{_CARD}"
    rf"(?:,(?:DEV=)?{_NUMBER}(?:,(?:SUBDEV=)?{_NUMBER})?)?)$"
)
"""A name of ALSA's is a language: in it, a plugin may start programs and write files."""
Properties = dict[str, dict[str, Any]]
"""Element of GStreamer -> property -> value."""
ANY_WORDS = f'"{ANY}" for the only one'
QUEUE = ("-thread_queue_size", "512")


def only(kind: str) -> str:
    """What ffmpeg opens of the only device of a kind.

    Raises:
        Failed: there is none, or there are several; the message names them.
    """
    try:
        return the_only(kind).device
    except LookupError as error:
        raise Failed("DeviceMissing", f"{error}: plug in or name the one that is meant") from None


def named(kind: str, device: object) -> str:
    """As messages name it: `the video device /dev/video0`, `the only sound card`."""
    return f"the only {WORDS[kind]}" if device == ANY else f"the {WORDS[kind]} {device}"


def _video(device: str) -> None:
    path = PurePosixPath(device)
    if ".." in path.parts or (path.is_absolute() and path.parts[1:2] != ("dev",)):
        raise ValueError(
            f'expected an id as the station tells it, a path below /dev or "{ANY}", got {device!r}'
        )


@frozen
class V4l2Input:
    """A camera or grabber that Linux knows as a video device."""

    type: Literal["v4l2"]
    device: Annotated[
        str,
        Meta(
            description=f"its id as the station tells it, a path below /dev, {ANY_WORDS}",
            pattern=r"^(?:[^\s/\x00]+|/dev/[^\s\x00]+)$",
            max_length=256,
            title='an id as the station tells it, a path below /dev or "any"',
        ),
        _video,
    ]
    picture = "v4l2src name=device ! decodebin"
    missing = "DeviceMissing"

    @property
    def path(self) -> str:
        """The file of the device.

        Raises:
            Failed: the only one is wanted, and there is none, or there are several.
        """
        if self.device == ANY:
            return only("v4l2")
        by_id = f"/dev/v4l/by-id/{self.device}"
        return self.device if self.device.startswith("/") else by_id

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Where it is; the capture program looks for the only one by itself, each time."""
        return {"device": {"device": ANY if self.device == ANY else self.path}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it, with times that fit those of sound."""
        return ["-f", "v4l2", "-ts", "abs", *QUEUE, "-i", self.path]

    def __str__(self) -> str:
        return named("v4l2", self.device)


@frozen
class ScreenInput:
    """An X screen of the station itself."""

    type: Literal["screen"]
    display: Annotated[
        str,
        Meta(
            pattern=r"^:[0-9]{1,5}(?:\.[0-9]{1,2})?$",
            title="a screen of the station such as :0",
            description="such as :0",
        ),
    ] = ":0"
    picture = "ximagesrc name=device use-damage=false"
    missing = "DeviceMissing"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Which one it is."""
        return {"device": {"display-name": self.display}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it."""
        # Guessed from times, the rate of a busy machine's first pictures is another.
        rate = ("-framerate", "25", "-fpsprobesize", "0")
        return ["-f", "x11grab", *rate, *QUEUE, "-i", self.display]

    def __str__(self) -> str:
        return f"the screen {self.display}"


@frozen
class AlsaInput:
    """A sound card."""

    type: Literal["alsa"]
    device: Annotated[
        str,
        Meta(
            pattern=ALSA,
            title="hw:, plughw:, dsnoop: or sysdefault: with a card such as hw:CARD=Device or "
            'hw:CARD=Device,DEV=0, or "default", or "any"',
            description=f"such as hw:CARD=Device, {ANY_WORDS}",
        ),
    ] = "default"
    sound = "alsasrc name=sound-device provide-clock=false"
    missing = "DeviceMissing"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Which one it is."""
        return {"sound-device": {"device": self.device}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it; raises as `V4l2Input.path`."""
        return ["-f", "alsa", *QUEUE, "-i", only("alsa") if self.device == ANY else self.device]

    def __str__(self) -> str:
        return named("alsa", self.device)
