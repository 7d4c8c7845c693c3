"""What ffmpeg makes of a file, at idle priority and only until a moment in monotonic seconds."""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
from attrs import frozen

from fleet.host import Failed

_KEPT: Final = 8192
"""Bytes of what a program says."""
_QUIET: Final = ("-nostdin", "-nostats", "-hide_banner")
_ALL: Final = ("-map", "0:v?", "-map", "0:a?", "-f", "null", "-")
_MAX_VOLUME: Final = re.compile(r"volumedetect.*\] (?:max_volume: (-?[\d.]+) dB|n_samples: 0$)")
_LOWEST: Final = -91.0
"""dB of one step of 16 bits: what ffmpeg says of zeros."""


@frozen
class Decoded:
    """What came out of a file. `whole`: its end was reached; `complaint`: None for none."""

    complaint: str | None
    seconds: float
    pictures: int
    whole: bool


async def streams(path: Path, end: float) -> list[dict[str, Any]]:
    """Of each stream `codec_type`, and of a picture `width`, `height`, `r_frame_rate`."""
    entries = "stream=codec_type,width,height,r_frame_rate"
    argv = ("ffprobe", "-v", "quiet", "-show_entries", entries, "-of", "json", f"file:{path}")
    _, out, _ = await run(argv, end)
    try:
        found: list[dict[str, Any]] = json.loads(out)["streams"]
    except (ValueError, KeyError, TypeError):
        return []
    return found


async def decode(path: Path, end: float) -> Decoded:
    """Decode all of it."""
    argv = ("ffmpeg", "-v", "error", *_QUIET, "-progress", "pipe:1", "-threads", "1")
    status, out, err = await run((*argv, "-i", f"file:{path}", *_ALL), end)
    said = dict(line.partition("=")[::2] for line in out.splitlines())
    lines = [
        re.sub(r"\s+", " ", re.sub(r" @ 0x[0-9a-f]+", "", line)).strip()
        for line in err.splitlines()
        if line.strip() and not line.startswith("[null @")
    ]
    complaint = f"{path.name}: {lines[0][:200]}" if lines else None
    if complaint is None and status not in (0, None):
        complaint = f"{path.name}: ffmpeg ended with {status}"
    micro, pictures = (_count(said.get(key, "")) for key in ("out_time_us", "frame"))
    return Decoded(complaint, micro / 1e6, pictures, status is not None)


def _count(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


async def peaks(path: Path, tracks: int, seconds: float, end: float) -> list[float | None] | None:
    """The highest peak of each track in its last seconds, in dB; None where it has no sound.

    None for all of them where there was no time to listen.
    """
    # Of a Matroska file that is still written nobody knows how long it is.
    tail = ("-sseof", str(-seconds)) if path.suffix == ".ts" else ()
    argv = ["ffmpeg", "-v", "info", *_QUIET, "-vn", *tail, "-i", f"file:{path}"]
    for track in range(tracks):
        argv += ["-map", f"0:a:{track}", f"-filter:a:{track}", "volumedetect"]
    status, _, err = await run((*argv, "-f", "null", "-"), end)
    if status is None:
        return None
    if status != 0:
        return [None] * tracks
    found = [one[1] for line in err.splitlines() if (one := _MAX_VOLUME.search(line))]
    heard = [None if it is None or float(it) <= _LOWEST else float(it) for it in found[:tracks]]
    return heard + [None] * (tracks - len(heard))


def idle(process: int) -> None:
    """Give a process what nobody else wants of processor and disk."""
    with contextlib.suppress(OSError, psutil.Error):
        os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))
        psutil.Process(process).nice(19)
        psutil.Process(process).ionice(psutil.IOPRIO_CLASS_IDLE)


async def run(
    argv: Sequence[str], end: float, line: Callable[[str], None] | None = None
) -> tuple[int | None, str, str]:
    """Status (None: its time was over), the end of its output and the begin of its complaints.

    `line` is called with each line of the latter, and then none is returned.
    """
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=nothing, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise Failed("ToolMissing", f"{argv[0]} cannot be started: {error.strerror}") from None
    idle(process.pid)
    out, err = bytearray(), bytearray()

    async def read(stream: asyncio.StreamReader | None, into: bytearray, newest: bool) -> None:
        while stream is not None and (some := await stream.read(1 << 16)):
            into += some if newest else some[: max(0, _KEPT - len(into))]
            if newest:
                del into[:-_KEPT]

    async def lines(stream: asyncio.StreamReader | None, told: Callable[[str], None]) -> None:
        rest = b""
        while stream is not None and (some := await stream.read(1 << 16)):
            *whole, rest = re.split(rb"[\r\n]", rest + some)
            for one in whole:
                told(one.decode(errors="replace"))
            rest = rest[-_KEPT:]

    try:
        async with asyncio.timeout(max(0.05, end - time.monotonic())):
            await asyncio.gather(
                read(process.stdout, out, True),
                lines(process.stderr, line)
                if line is not None
                else read(process.stderr, err, argv[0] == "ffmpeg" and "info" in argv),
            )
            status: int | None = await process.wait()
    except TimeoutError:
        status = None
    finally:
        if process.returncode is None:
            process.kill()
            with contextlib.suppress(asyncio.CancelledError):
                await process.wait()
    return status, out.decode(errors="replace"), err.decode(errors="replace")
