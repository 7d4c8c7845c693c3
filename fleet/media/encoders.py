"""What encodes H.264 and H.265: this station's processor, or its graphics.

Whether graphics can is only known by having them do it, so that is tried when a role starts.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from attrs import frozen
from msgspec import Meta

from fleet.host import Failed, Host

Encoder = Annotated[
    Literal["auto", "software", "vaapi"],
    Meta(description="auto takes VAAPI where the station's graphics can, else software"),
]
GRAPHICS = Path("/dev/dri")
"""Where Linux shows what can encode."""
PATIENCE = 10.0
"""Seconds that a trial may take."""
_GSTREAMER = {
    "h264": "videoconvert ! vah264enc bitrate={kbit} key-int-max=30 b-frames=0 rate-control=cbr"
    " ! video/x-h264,stream-format=byte-stream,alignment=au",
    "h265": "videoconvert ! vah265enc bitrate={kbit} key-int-max=30 b-frames=0 rate-control=cbr"
    " ! video/x-h265,stream-format=byte-stream,alignment=au",
}


@frozen
class Chosen:
    """What encodes; `fallback` says why it is not what was asked for: reason and message."""

    encoder: Literal["software", "vaapi"] = "software"
    device: Path | None = None
    fallback: tuple[str, str] | None = None

    def gstreamer(self, codec: str, bit: int) -> str | None:
        """The elements that encode with graphics, at so many bit/s; None where software does."""
        if self.encoder == "software":
            return None
        return _GSTREAMER[codec].format(kbit=bit // 1000)

    def ffmpeg(self, filters: str) -> list[str] | None:
        """The same for H.264 after these filters; None where software does."""
        if self.device is None:
            return None
        uploaded = f"{filters},format=nv12,hwupload"
        return [
            "-vaapi_device",
            str(self.device),
            "-vf",
            uploaded,
            "-c:v",
            "h264_vaapi",
            "-bf",
            "0",
        ]


async def choose(host: Host, wanted: str, program: str, codec: str) -> Chosen:
    """What a role that encodes with `program`, `gstreamer` or `ffmpeg`, is to use.

    `codec`: what it makes; graphics are tried for `h264` and `h265` alone.
    """
    if wanted == "software" or codec not in _GSTREAMER:
        return Chosen()
    devices = _devices()
    why = f"there is nothing in {GRAPHICS}"
    for device in devices:
        found = Chosen("vaapi", device)
        why = await _tried(host, found, program, codec)
        if not why:
            return found
    if wanted == "auto" and not devices:
        return Chosen()  # nothing was to be expected
    said = f"VAAPI does not encode here ({why}): it is done in software, which takes processor time"
    return Chosen(fallback=("EncoderFallback", said))


def _devices() -> list[Path]:
    return sorted(GRAPHICS.glob("renderD*"))


async def _tried(host: Host, found: Chosen, program: str, codec: str) -> str:
    """Why it does not encode; empty where it does."""
    argv: Sequence[str]
    if program == "gstreamer":
        elements = (found.gstreamer(codec, 1_000_000) or "").split(" ")
        picture = "video/x-raw,format=I420,width=640,height=360,framerate=25/1"
        source = ("videotestsrc", "num-buffers=10", "!", picture, "!")
        argv = ["gst-launch-1.0", "-q", *source, *elements, "!", "fakesink"]
    else:
        picture = "testsrc2=size=640x360:rate=25:duration=0.4"
        encoded = found.ffmpeg("null") or []
        argv = [
            *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error"),
            *("-f", "lavfi", "-i", picture, *encoded, "-f", "null", "-"),
        ]
    try:
        trying = await host.spawn(argv, name="try", report=True)
    except Failed as failed:
        return failed.message
    try:
        status = await asyncio.wait_for(trying.wait(), PATIENCE)
    except TimeoutError:
        await trying.stop()
        return "it hangs"
    if status == 0:
        return ""
    return trying.last_words(1).strip() or f"status {status}"
