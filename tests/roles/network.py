"""Peers of the media roles: senders, readers and listeners, each a real ffmpeg."""

import subprocess
from pathlib import Path
from typing import Self

QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y")


class Peer:
    """A process that ends with its block."""

    def __init__(self, *argv: str) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> str:
        """Interrupt it; what it said."""
        if self.running:
            self._process.terminate()
        said, _ = self._process.communicate(timeout=10)
        return said.decode(errors="replace")


def reader(url: str, file: Path, seconds: float) -> Peer:
    """Copies `seconds` of what a port offers."""
    copy = ("-map", "0", "-c", "copy", "-t", str(seconds))
    return Peer(*QUIET, "-analyzeduration", "1000000", "-i", url, *copy, str(file))


def sender(url: str, size: str, rate: int, volume: float = 1.0) -> Peer:
    """Sends a moving test picture and a tone as MPEG-TS."""
    picture = ("-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}")
    sound = ("-re", "-f", "lavfi", "-i", f"sine=sample_rate=48000,volume={volume}")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(rate))
    return Peer(
        *(*QUIET, *picture, *sound, *h264, "-pix_fmt", "yuv420p", "-c:a", "aac"),
        *("-f", "mpegts", url),
    )
