"""What is in a recording."""

import json
import re
import struct
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


def _out(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stderr == "", f"{argv[-1]} does not decode cleanly"
    return done.stdout


@cache
def _probed(file: Path, changed: int, size: int) -> str:
    show = ("-count_frames", "-show_streams", "-show_format", "-of", "json")
    return _out("ffprobe", "-v", "error", *show, str(file))


def probe(file: Path) -> dict[str, Any]:
    """What ffprobe makes of a recording, every frame decoded; an error fails the test."""
    there = file.stat()
    answer: dict[str, Any] = json.loads(_probed(file, there.st_mtime_ns, there.st_size))
    return answer


def frames(file: Path) -> int:
    """How many pictures decode."""
    streams = probe(file)["streams"]
    return sum(int(s["nb_read_frames"]) for s in streams if s["codec_type"] == "video")


def each(files: list[Path]) -> list[int]:
    """How many pictures of each decode; one ffmpeg looks at all, and an error fails the test."""
    inputs = [part for file in files for part in ("-i", str(file))]
    maps = [part for number in range(len(files)) for part in ("-map", f"{number}:v")]
    argv = ["ffmpeg", "-v", "error", "-nostdin", *inputs, *maps, "-fps_mode", "passthrough"]
    rows = _out(*argv, "-f", "framecrc", "-").splitlines()
    shown = [int(row.partition(",")[0]) for row in rows if not row.startswith("#")]
    return [shown.count(number) for number in range(len(files))]


def _times(stream: bytes) -> Iterator[float]:
    """When each picture of a transport stream is shown, in seconds, in the order of their coming.

    Read here: a program that does so takes longer to start than to do it.
    """
    for at in range(0, len(stream) - 187, 188):
        packet = stream[at : at + 188]
        assert packet[0] == 0x47, f"no packet of a transport stream at {at}"
        begins, has_body = packet[1] & 0x40, packet[3] & 0x10
        body = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
        is_picture = body[:3] == b"\0\0\1" and body[3] & 0xF0 == 0xE0
        if begins and has_body and is_picture and body[7] & 0x80:
            high, middle, low = body[9], *struct.unpack_from(">HH", body, 10)
            yield ((high >> 1 & 7) << 30 | middle >> 1 << 15 | low >> 1) / 90_000


def numbers(file: Path) -> list[int]:
    """The time of each picture of a transport stream, in frames at 25 a second, counted from the
    one in the middle.

    Counted from zero, times half a frame off would be rounded now up and now down.
    """
    times = list(_times(file.read_bytes()))
    middle = sorted(times)[len(times) // 2]
    return [round((time - middle) * 25) for time in times]


def unbroken(file: Path) -> bool:
    """Whether the picture's times are one frame apart throughout."""
    times = sorted(numbers(file))
    return times == list(range(times[0], times[0] + len(times)))


def joined(files: list[Path], target: Path) -> Path:
    target.write_bytes(b"".join(file.read_bytes() for file in files))
    return target


def public(directory: Path) -> list[Path]:
    """The recordings in a directory, the oldest first by name."""
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def hidden(directory: Path) -> list[Path]:
    """What is hidden there, but for the mark of a disk of its own and the index."""
    own = (".fleet-disk", ".fleet-index-")
    return [
        path
        for path in directory.iterdir()
        if path.name.startswith(".") and not path.name.startswith(own)
    ]


def clip(path: Path) -> None:
    """Two seconds of picture, with B-frames, and sound."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25")
    encoded = ("-pix_fmt", "yuv420p", *x264, "-c:a", "aac")
    sound = ("-f", "lavfi", "-i", "sine")
    _out("ffmpeg", "-v", "error", "-nostdin", *picture, *sound, "-t", "2", *encoded, str(path))


BARS = ["RGB", "RG", "GB", "G", "RB", "R", "B"]
"""The primaries in each colour bar of GStreamer's test picture, from the left."""


def pictures(file: Path, width: int, height: int) -> list[bytes]:
    """Every frame, as rows of RGB."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    argv = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(file), *raw]
    out = subprocess.run(argv, capture_output=True, check=True).stdout
    size = width * height * 3
    return [out[at : at + size] for at in range(0, len(out), size)]


def bars(picture: bytes, width: int, height: int) -> list[str]:
    """The primaries in a third of the height: above a pointer, below a clock."""
    found = []
    for bar in range(7):
        x = int((bar + 0.5) * width / 7)
        at = (height // 3 * width + x) * 3
        found.append(
            "".join(c for c, level in zip("RGB", picture[at:], strict=False) if level > 95)
        )
    return found


def loudness(file: Path) -> float:
    """Integrated, in LUFS."""
    argv = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(file), "-af", "ebur128", "-f", "null"]
    said = subprocess.run([*argv, "-"], capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", said)[-1])
