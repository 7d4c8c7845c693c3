"""Around a mixer: plain sources of one colour and tone each, and eyes on what leaves it."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests.processes import free_port, go_first
from tests.roles.media import loudness
from tests.roles.network import QUIET

WIDTH, HEIGHT = 160, 90
TONES = {"red": 440, "blue": 1500}
"""Colour -> the tone, in hertz, that is heard with it."""


def own_address() -> str:
    """A loopback address for this process alone: voctocore's ports are always the same."""
    number = os.getpid()
    return f"127.{100 + number % 100}.{number // 100 % 250}.{1 + number // 25_000 % 250}"


def two_ports() -> int:
    """A free port whose next one is free, too."""
    port = free_port()
    while (following := free_port()) != port + 1:
        port = following
    return port


def clip(colour: str, path: Path, seconds: int = 60) -> Path:
    """A picture of one colour and a tone at -20 dBFS."""
    picture = ("-f", "lavfi", "-i", f"color={colour}:size={WIDTH}x{HEIGHT}:rate=25")
    tone = ("-f", "lavfi", "-i", f"sine={TONES[colour]}:sample_rate=48000,volume=-2dB")
    codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
    argv = [
        *QUIET,
        *picture,
        *tone,
        "-t",
        str(seconds),
        *codecs,
        "-c:a",
        "pcm_s16le",
        "-ac",
        "2",
        str(path),
    ]
    subprocess.run(argv, check=True)
    return path


def tone(recording: Path, colour: str, scratch: Path, after: float = 0.0) -> float:
    """How loud the tone of a colour is in a recording, in LUFS, from so many seconds on."""
    band = f"bandpass=f={TONES[colour]}:width_type=h:w=50"
    argv = [*QUIET, "-ss", str(after), "-i", str(recording), "-vn", "-af", band, str(scratch)]
    subprocess.run(argv, check=True)
    return loudness(scratch)


class Eyes(threading.Thread):
    """Watches an output as it comes: the colours left and right of the middle of each picture."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        small = ("-vf", "scale=4:3:flags=neighbor", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
        quick = ("-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "300000")
        url = f"tcp://127.0.0.1:{port}"
        argv = [*QUIET, *quick, "-threads", "1", "-i", url, *("-an", "-fps_mode", "passthrough")]
        self.process = subprocess.Popen(
            [*argv, *small],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        go_first(self.process.pid)
        self.seen: list[tuple[float, tuple[str, str]]] = []
        """When each picture was seen, and what was in it."""

    def run(self) -> None:
        assert self.process.stdout is not None
        while len(picture := self.process.stdout.read(4 * 3 * 3)) == 4 * 3 * 3:
            row = picture[4 * 3 : 2 * 4 * 3]
            both = (_colour(row[at : at + 3]) for at in (3, 6))
            self.seen.append((time.monotonic(), (next(both), next(both))))

    @property
    def now(self) -> tuple[str, str] | None:
        """What is seen."""
        return self.seen[-1][1] if self.seen else None

    def when(self, what: tuple[str, str], after: float) -> float | None:
        """When something was first seen after a moment."""
        return next((at for at, both in self.seen if at > after and both == what), None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _colour(pixel: bytes) -> str:
    red, green, blue = (level > 100 for level in pixel)
    if green:
        return f"?{pixel.hex()}"
    return "red" if red else "blue" if blue else "black"


def scene(path: Path) -> Any:
    """What is kept of what was shown."""
    return json.loads(path.read_text())["shown"]
