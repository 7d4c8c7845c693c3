"""What ffmpeg may open while it reads a source: what the source says must not lead it elsewhere.

Some formats are lists of what to read in turn. Whoever sends one would else say which files of the
station are recorded, and whom it calls.
"""

import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fleet import programs

_FORMATS: Final = (
    *("mpegts", "mpegtsraw", "matroska", "flv", "live_flv", "mov", "ogg", "nut", "avi", "asf"),
    *("mpeg", "mpegvideo", "h261", "h263", "h264", "hevc", "mjpeg", "mpjpeg", "yuv4mpegpipe"),
    *("aac", "ac3", "eac3", "mp3", "flac", "wav", "loas", "aiff", "au", "caf", "w64", "amr", "dts"),
    *("truehd", "wv", "tta", "ape", "mxf", "gxf", "dv", "rm", "ivf", "av1", "obu", "m4v"),
)
"""None of them names anything else to be read."""
_STILL: Final = (
    "image2",
    "png_pipe",
    "jpeg_pipe",
    "webp_pipe",
    "bmp_pipe",
    "tiff_pipe",
    "gif",
    "gif_pipe",
    "apng",
)
_WEB: Final = (("hls", "dash", "webvtt"), ("http", "https", "httpproxy", "tcp", "tls", "crypto"))
_RTSP: Final = (("rtsp",), ("rtsp", "rtsps", "rtp", "udp", "tcp", "tls"))
_BY_SCHEME: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "http": _WEB,
    "https": _WEB,
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "rtmp": ((), ("rtmp", "tcp")),
    "rtmps": ((), ("rtmps", "tls", "tcp")),
    "rtp": (("rtp", "sdp"), ("rtp", "udp")),
    "srt": ((), ("srt",)),
    "tcp": ((), ("tcp",)),
    "udp": ((), ("udp",)),
    "file": (_STILL, ("file",)),
}
"""Scheme -> formats that it has besides, and the protocols that it takes."""


def within(url: str, *, listed: bool = False) -> list[str]:
    """ffmpeg's options that keep it to what `url` is meant to give.

    `listed`: it is read from a list of our own on standard input.
    """
    formats, protocols = _BY_SCHEME[urlsplit(url).scheme]
    if listed:
        formats, protocols = ("concat", *formats), ("pipe", *protocols)
    return [
        *("-protocol_whitelist", ",".join(protocols)),
        *("-format_whitelist", ",".join((*_FORMATS, *formats))),
    ]


_WEB_PROGRAM: Final = (sys.executable, "-IS", str(Path(programs.__file__).with_name("web.py")))


def webward(*urls: str) -> list[str]:
    """What runs a program that reads the web, and besides what is outside reaches these alone.

    Nothing where none of them is of the web.
    """
    if not any(urlsplit(url).scheme in ("http", "https") for url in urls):
        return []
    return [*_WEB_PROGRAM, ",".join(map(_place, urls)), "--"]


_CAMERA_PROGRAM: Final = (
    sys.executable,
    "-IS",
    str(Path(programs.__file__).with_name("camera.py")),
)


def undiverted(url: str) -> list[str]:
    """What runs an ffmpeg that reads an address with a login, if it would take that elsewhere."""
    if urlsplit(url).scheme not in ("rtsp", "rtsps"):
        return []
    return [*_CAMERA_PROGRAM, _place(url), "--"]


def _place(url: str) -> str:
    """Where an address leads, with nothing else of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


OFFERED: Final = ("-protocol_whitelist", "tcp", "-f", "mpegts", "-scan_all_pmts", "0")
"""The same for what another box offers, which is nothing but MPEG-TS, and of one program."""
