"""Capture devices of the station: how GStreamer reads each for an ingest, ffmpeg for the others."""

from typing import Annotated, Any, Literal

from attrs import frozen
from msgspec import Meta

from fleet.role import Host

Properties = dict[str, dict[str, Any]]
"""Element of GStreamer -> property -> value."""
QUEUE = ("-thread_queue_size", "512")


@frozen
class V4l2Input:
    """A camera or grabber that Linux knows as a video device."""

    type: Literal["v4l2"]
    device: Annotated[
        str,
        Meta(description="its id as the station tells it, or a path below /dev", pattern=r"^\S+$"),
    ]
    picture = "v4l2src name=device ! decodebin"
    missing = "DeviceMissing"

    @property
    def path(self) -> str:
        """The file of the device."""
        by_id = f"/dev/v4l/by-id/{self.device}"
        return self.device if self.device.startswith("/") else by_id

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Where it is."""
        return {"device": {"device": self.path}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it, with times that fit those of sound."""
        return ["-f", "v4l2", "-ts", "abs", *QUEUE, "-i", self.path]

    def __str__(self) -> str:
        return f"the video device {self.device}"


@frozen
class ScreenInput:
    """An X screen of the station itself."""

    type: Literal["screen"]
    display: Annotated[str, Meta(pattern=r"^\S+$", description="such as :0")] = ":0"
    picture = "ximagesrc name=device use-damage=false"
    missing = "DeviceMissing"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Which one it is."""
        return {"device": {"display-name": self.display}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it."""
        return ["-f", "x11grab", "-framerate", "25", *QUEUE, "-i", self.display]

    def __str__(self) -> str:
        return f"the screen {self.display}"


@frozen
class AlsaInput:
    """A sound card."""

    type: Literal["alsa"]
    device: Annotated[str, Meta(pattern=r"^\S+$", description="such as hw:CARD=Device")] = "default"
    sound = "alsasrc name=sound-device provide-clock=false"
    missing = "DeviceMissing"

    def properties(self, host: Host) -> Properties:  # noqa: ARG002 (as its siblings)
        """Which one it is."""
        return {"sound-device": {"device": self.device}}

    def inputs(self) -> list[str]:
        """How ffmpeg reads it."""
        return ["-f", "alsa", *QUEUE, "-i", self.device]

    def __str__(self) -> str:
        return f"the sound device {self.device}"
