"""A film that knows itself: each picture shows its number, and a beep tells which it belongs to."""

import bisect
import itertools
import re
import subprocess
from pathlib import Path

from attrs import frozen

RATE = 25
BITS, WIDTH = 20, 16
"""Boxes that make up a picture's number, lowest first, and how many pixels wide each is."""
BEEP = 2.0
"""Seconds between two beeps, the first at the begin."""


@frozen
class Shown:
    """What a recording of a film shows, against the film."""

    pictures: int
    lost: int
    """Pictures of the film that are missing between the first and the last."""
    repeated: int
    """Pictures that are there again, each time counted."""
    apart: list[tuple[float, float]]
    """Of each beep when it is heard, and how long its picture is seen before; in seconds."""


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", *argv], capture_output=True, check=True
    )


def film(file: Path, seconds: float, *, noise: float = 0.0) -> None:
    """Black with the number as a row of boxes; a tone of 0.2 s at each beep, and else noise."""
    boxes = [
        f"drawbox=x={WIDTH * bit}:w={WIDTH}:color=white:thickness=fill"
        rf":enable='mod(floor(n/{2**bit})\,2)'"
        for bit in range(BITS)
    ]
    picture = ",".join([f"color=black:size={WIDTH * BITS}x180:rate={RATE}", *boxes])
    beep = rf"lt(mod(t\,{BEEP})\,0.2)*0.3*sin(2*PI*1000*t)"
    channels = "|".join(f"{beep}+{noise}*(random({channel})-0.5)" for channel in (0, 1))
    sound = f"aevalsrc='{channels}':sample_rate=48000"
    codec = ("aac", "-b:a", "192k") if file.suffix == ".ts" else ("flac",)
    _run(
        *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-t", str(seconds)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-g", str(RATE), "-pix_fmt", "yuv420p"),
        *("-c:a", *codec, str(file)),
    )


def _seen(file: Path, *beside: str) -> tuple[list[tuple[float, int]], str]:
    """When each picture is seen, and which it is; a picture in between two is not one.

    And what ffmpeg says; `beside` it decodes something else of the file meanwhile.
    """
    columns = f"scale={BITS}:1:flags=area,format=gray,showinfo"
    argv = ("-copyts", "-i", str(file), "-an", "-fps_mode", "passthrough", "-vf", columns)
    done = _run(*argv, "-f", "rawvideo", "-", *beside)
    times = map(float, re.findall(rb"pts_time:\s*(-?[\d.]+)", done.stderr))
    rows = zip(*[iter(done.stdout)] * BITS, strict=True)
    seen = [
        (at, sum(2**bit for bit, light in enumerate(row) if light > 120))
        for at, row in zip(times, rows, strict=True)
    ]
    return seen, done.stderr.decode(errors="replace")


# The end of the file would end a silence, too: it is put beyond the last picture.
_DETECT = "apad=pad_dur=10,silencedetect=noise=-20dB:duration=0.5"
_BEEPS = ("-vn", "-af", _DETECT, "-f", "null", "-")


def which(file: Path) -> list[int]:
    """The number of every picture, in the order in which they are seen."""
    return [number for _, number in _seen(file)[0]]


def shown(file: Path, settled: float = 0.0) -> Shown:
    """Look at every picture of `file`, but for the first `settled` seconds."""
    seen, said = _seen(file, *_BEEPS)
    times, numbers = zip(*[(at, n) for at, n in seen if at - seen[0][0] >= settled], strict=True)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    apart = []
    for beep in map(float, re.findall(r"silence_end: ([\d.]+)", said)):
        index = bisect.bisect(times, beep) - 1
        if 0 <= index < len(times) - 1:
            film_time = numbers[index] / RATE + beep - times[index]
            apart.append((beep, film_time - round(film_time / BEEP) * BEEP))
    return Shown(
        len(seen),
        sum(step - 1 for step in steps if step > 1),
        sum(step == 0 for step in steps),
        apart,
    )
