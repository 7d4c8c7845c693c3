"""When the first picture of a recording was taken, from the file alone.

Key frames of H.264 and H.265 carry their time of day (`programs.stamp`): that at which an ingest's
device took them, or at which they came from another machine. What carries none (other codecs,
sound alone, what ffmpeg itself takes from a device) is counted back from the last write, which is
when its last packet came; a copy of the file must have kept that time.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from fleet.model import plain
from fleet.programs.stamp import MARK, written

_SECONDS = 20
"""Of so many the time is taken that is earliest: what came first came in a heap, and late."""
_PATIENCE = 60.0
_PICTURE = re.compile(r"n: *\d+ pts: *\S+ pts_time:(-?[\d.]+)")
_MARK = re.compile(f"UUID={UUID(bytes=MARK)}")
_HALVES = (MARK[: len(MARK) // 2], MARK[len(MARK) // 2 :])
_CHUNK = 1 << 20
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)
_DATE = b"\x44\x61\x88"
"""In Matroska: when it was made, in eight bytes: nanoseconds since then."""
_HEAD = 4096
"""Bytes at the begin of a file among which that is."""
_DATA = re.compile(r"User Data=([0-9a-f]{24})\b")


class NoTime(Exception):
    """Nothing tells when a file began; the text says why."""


def began(file: Path) -> datetime:
    """When the first picture of a segment was taken or came, else its first sound; in UTC.

    Exact to less than a picture where key frames tell it, else to about a tenth of a second.

    Raises:
        NoTime: it cannot be read, or has no packet.
    """
    if not has_marks(file):
        return _counted_back(file)
    for only in (["-skip_frame", "nokey"], []):  # encoded anew, any picture may be one of before
        looking = [
            *("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "info", *only),
            *("-t", str(_SECONDS), "-i", f"file:{file}", "-map", "0:v:0"),
            *("-vf", "showinfo=checksum=0", "-fps_mode", "passthrough", "-f", "null", "-"),
        ]
        said = _said(looking, file, error=True)
        first, told = _PICTURE.search(said), list(_told(said))
        if first is not None and told:
            soonest = min(at - shown for shown, at in told)
            return datetime.fromtimestamp(soonest + float(first[1]), UTC)
    return _counted_back(file)


def creation_time(at: datetime) -> list[str]:
    """How ffmpeg is told when a file is made, so that it has a place for it."""
    return ["-metadata", f"creation_time={at.isoformat()}"]


def set_creation_time(file: Path, at: datetime) -> None:
    """Correct what a finished Matroska file says of when it was made; ffmpeg has one for all.

    Raises:
        OSError: it cannot be written.
    """
    with file.open("r+b") as opened:
        place = opened.read(_HEAD).find(_DATE)
        if place >= 0:
            opened.seek(place + len(_DATE))
            since = (at - _EPOCH) // timedelta(microseconds=1) * 1000
            opened.write(since.to_bytes(8, "big", signed=True))


def has_marks(file: Path) -> bool:
    """Whether any picture may say its time: nothing is decoded for it.

    Packets of a transport stream divide a mark at one place at most, so one half is whole.
    """
    before = b""
    try:
        with file.open("rb") as opened:
            while some := opened.read(_CHUNK):
                some = before + some
                if any(half in some for half in _HALVES):
                    return True
                before = some[-len(_HALVES[0]) :]
    except OSError as error:
        raise NoTime(f"{file} cannot be read: {plain(error)}") from None
    return False


def _told(said: str) -> Iterator[tuple[float, float]]:
    """Of each picture that says it: when it is shown in the file, and when it was taken."""
    shown, marked = 0.0, False
    for line in said.splitlines():
        picture, data = _PICTURE.search(line), _DATA.search(line)
        if picture:
            shown = float(picture[1])
        at = written(bytes.fromhex(data[1])) if marked and data else None
        if at is not None:
            yield shown, at
        marked = bool(_MARK.search(line))


def _counted_back(file: Path) -> datetime:
    show = ("-show_entries", "format=start_time,duration", "-of", "json")
    answer = _said(["ffprobe", "-v", "quiet", *show, f"file:{file}"], file, error=False)
    try:
        seconds = float(json.loads(answer)["format"]["duration"])
        last = file.stat().st_mtime
    except (OSError, ValueError, KeyError) as error:
        raise NoTime(f"{file} has nothing that tells when it began: {error}") from None
    return datetime.fromtimestamp(last, UTC) - timedelta(seconds=seconds)


def _said(argv: list[str], file: Path, *, error: bool) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise NoTime(f"{file} cannot be looked at: {failure}") from None
    return (done.stderr if error else done.stdout).decode(errors="replace")
