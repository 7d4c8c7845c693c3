"""Around a mixer: plain sources of one colour and tone each, and eyes on what leaves it."""

import cmath
import json
import math
import os
import subprocess
import threading
import time
from array import array
from collections import deque
from pathlib import Path
from typing import Any, Self

from tests.processes import free_port, go_first
from tests.roles.network import QUIET

WIDTH, HEIGHT = 160, 90
TONES = {"red": 440, "blue": 1500}
"""Colour -> the tone, in hertz, that is heard with it."""
_SAMPLES = 4000
_TENTH = 2 * _SAMPLES // 10
"""Bytes of a tenth of a second."""
_PLAIN = ("-ac", "1", "-ar", str(_SAMPLES), "-f", "s16le")
_HEARD_SECONDS = 1.5


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
    argv = [*QUIET, *picture, *tone, "-t", str(seconds), *codecs, "-ac", "2", str(path)]
    subprocess.run(argv, check=True)
    return path


class _Watcher(threading.Thread):
    """Takes what an output has as it comes, in pieces of one length."""

    def __init__(self, port: int, length: int, *taken: str) -> None:
        super().__init__(daemon=True)
        quick = ("-fflags", "nobuffer", "-flags", "low_delay", "-analyzeduration", "300000")
        url = f"tcp://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [*QUIET, *quick, "-threads", "1", "-i", url, *taken, "-"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        go_first(self.process.pid)
        self._length = length

    def run(self) -> None:
        assert self.process.stdout is not None
        while len(piece := self.process.stdout.read(self._length)) == self._length:
            self.take(piece)

    def take(self, piece: bytes) -> None:
        """Look at one."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Eyes(_Watcher):
    """Watches an output: the colours left and right of the middle of each picture."""

    def __init__(self, port: int) -> None:
        small = ("-vf", "scale=4:3:flags=neighbor", "-pix_fmt", "rgb24", "-f", "rawvideo")
        super().__init__(port, 4 * 3 * 3, "-an", "-fps_mode", "passthrough", *small)
        self.seen: list[tuple[float, tuple[str, str]]] = []
        """When each picture was seen, and what was in it."""

    def take(self, piece: bytes) -> None:
        row = piece[4 * 3 : 2 * 4 * 3]
        self.seen.append((time.monotonic(), (_colour(row[3:6]), _colour(row[6:9]))))

    @property
    def now(self) -> tuple[str, str] | None:
        """What is seen."""
        return self.seen[-1][1] if self.seen else None

    def when(self, what: tuple[str, str], after: float) -> float | None:
        """When something was first seen after a moment."""
        return next((at for at, both in self.seen if at > after and both == what), None)


class Ears(_Watcher):
    """Listens to an output: how loud each tone is in what was heard last."""

    def __init__(self, port: int) -> None:
        super().__init__(port, _TENTH, "-vn", *_PLAIN)
        self._tenths: deque[bytes] = deque(maxlen=round(_HEARD_SECONDS * 10))

    def take(self, piece: bytes) -> None:
        self._tenths.append(piece)

    def levels(self) -> dict[str, float] | None:
        """Of each colour's tone in dB, over the last second and a half; None before that."""
        tenths = [*self._tenths]
        return _levels(b"".join(tenths)) if len(tenths) == self._tenths.maxlen else None


def loud(file: Path, colour: str) -> float:
    """How loud the tone of a colour is in a file, in dB as `Ears.levels`."""
    argv = [*QUIET, "-t", str(_HEARD_SECONDS), "-i", str(file), "-vn", *_PLAIN, "-"]
    return _levels(subprocess.run(argv, capture_output=True, check=True).stdout)[colour]


def _levels(sound: bytes) -> dict[str, float]:
    samples = array("h", sound)
    turn = {colour: 2j * cmath.pi * hertz / _SAMPLES for colour, hertz in TONES.items()}
    sums = {
        colour: sum(one * cmath.exp(step * at) for at, one in enumerate(samples))
        for colour, step in turn.items()
    }
    full = 2**14 * len(samples)
    return {colour: 20 * math.log10(abs(it) / full + 1e-6) for colour, it in sums.items()}


def _colour(pixel: bytes) -> str:
    red, green, blue = (level > 100 for level in pixel)
    if green:
        return f"?{pixel.hex()}"
    return "red" if red else "blue" if blue else "black"


def scene(path: Path) -> Any:
    """What is kept of what was shown."""
    return json.loads(path.read_text())["shown"]
