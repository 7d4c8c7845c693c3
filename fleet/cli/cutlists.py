"""Cut lists as other programs read them: ffmpeg's concat script, and CMX 3600. Pure."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Final

from attrs import evolve

from fleet.cli.view import clean, zoned
from fleet.operations.recordings import CutFile, CutList, CutPiece

_BEFORE: Final = 10.0
"""Seconds before the in point where reading begins, where no key frame is known."""
_SOONER: Final = 0.2
"""Seconds by which a transport stream has a picture before it is shown, at most."""
_LATER: Final = 0.5
"""Seconds by which it has a sound after the picture that belongs to it, at most."""
_BESIDE: Final = 0.1
"""And by which Matroska has, where they lie in order of time."""
_ROUNDED: Final = 0.001
_JOINED: Final = 1.0
"""Seconds within which the next file follows."""
_FILTERS: Final = (
    "-vf select=concatdec_select -af aselect=concatdec_select,aresample=async=1:min_hard_comp=0.01"
)
_RATES: Final = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
_LEAST_RATE: Final = 20.0
_RATE: Final = 25.0
"""Where nothing tells it, or it is one that no editor knows."""


def ffconcat(found: CutList, timezone: str) -> Iterator[str]:
    """Lines for ffmpeg's concat demuxer.

    What is compressed can only be read from a key frame on, and sound lies beside other pictures
    than its own: so a bit more is read at both ends of each take. The lines say how ffmpeg leaves
    that out once it is decoded.
    """
    takes = list(_takes(found.pieces))
    leads = [one.files[0].in_point - _first(one.files[0]) for one in takes]
    lengths = [_length(one.files) for one in takes]
    begin, end = (zoned(at, timezone) for at in (found.begin, found.end))
    yield "ffconcat version 1.0"
    yield f"# {clean(found.talk.title)}"
    yield f"# {found.room}, {begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S %Z}"
    yield f"# {found.instance} of {found.station}"
    for mark in found.marks:
        note = f" ({clean(mark.note)})" if mark.note else ""
        yield f"# {mark.kind} at {zoned(mark.at, timezone):%H:%M:%S}{note}"
    body: list[str] = []
    clock = ends = 0.0
    for number, (take, lead, length) in enumerate(zip(takes, leads, lengths, strict=True)):
        shown = clock + lead
        for one, later in pairwise((*take.files, None)):
            assert one is not None  # noqa: S101 (only the last is)
            start, first = one.start or 0.0, _first(one)
            body.append(f"file {_quoted(one.file)}")
            if first:
                body.append(f"inpoint {start + first:.6f}")
            if later is None:
                body.append(f"outpoint {start + one.out_point + _later(one):.6f}")
                lasts = one.out_point - first - (leads[number + 1] if leads[number + 1 :] else 0.0)
                lasts = max(0.0, lasts)  # ffmpeg refuses less; such a take is shorter than a lead
            else:
                lasts = _next_begins(one, later) + _first(later) - first
            body.append(f"duration {lasts:.6f}")
            if takes[1:]:
                tag = "file_packet_meta lavf.concatdec"
                body.append(f"{tag}.start_time {round((shown - _ROUNDED) * 1e6)}")
                body.append(f"{tag}.duration {round(length * 1e6)}")
            clock += lasts
        ends = shown + length
    exact = f"-ss {leads[0]:.3f} -t {ends - leads[0]:.3f}"
    yield "# Copied, it begins at the key frame before. To encode it to the very picture:"
    several = f" {_FILTERS}" if takes[1:] else ""
    yield f"#   ffmpeg -copyts -f concat -safe 0 -i LIST {exact}{several} ... OUTPUT"
    yield from body


def _takes(pieces: tuple[CutPiece, ...]) -> Iterator[CutPiece]:
    """Pieces with nothing between them as one, and those that have files."""
    whole: CutPiece | None = None
    for one in pieces:
        if whole is not None and whole.end == one.begin:
            whole = CutPiece(whole.begin, one.end, tuple(_joined(whole.files, one.files)))
        else:
            if whole is not None and whole.files:
                yield whole
            whole = one
    if whole is not None and whole.files:
        yield whole


def _joined(before: tuple[CutFile, ...], after: tuple[CutFile, ...]) -> Iterator[CutFile]:
    """Files of two pieces of which the last and the first may be one."""
    if before and after and before[-1].file == after[0].file:
        yield from before[:-1]
        yield evolve(before[-1], out_point=after[0].out_point)
        yield from after[1:]
    else:
        yield from (*before, *after)


def _is_stream(one: CutFile) -> bool:
    return not one.file.endswith(".mkv")


def _later(one: CutFile) -> float:
    """Seconds after the out point for which reading goes on."""
    return _LATER if _is_stream(one) else _BESIDE


def _first(one: CutFile) -> float:
    """Seconds from a file's begin where reading begins; a bit before it to be told from nothing."""
    is_stream = _is_stream(one)
    least = -_SOONER if is_stream else 0.0
    if one.in_point <= 0:
        return least
    if one.key is None:
        return max(least, one.in_point - _BEFORE)
    return max(least, one.key - _SOONER if is_stream else one.key + _ROUNDED)


def _next_begins(one: CutFile, later: CutFile) -> float:
    """Seconds from a file's begin until the next one's, where that follows; else to its end."""
    by_time = (later.begin - one.begin).total_seconds()
    by_clock = (later.start or 0.0) - (one.start or 0.0)
    return next(
        (at for at in (by_clock, by_time) if abs(at - one.out_point) < _JOINED), one.out_point
    )


def _length(files: Sequence[CutFile]) -> float:
    """Seconds from the first in point to the last out point, except for what is missing."""
    whole = sum(_next_begins(one, later) for one, later in pairwise(files))
    return whole + files[-1].out_point - files[0].in_point


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


def edl(found: CutList) -> Iterator[str]:
    """Lines of CMX 3600: an event a file, or two where a cut divides it."""
    rate = _rate(found)
    yield f"TITLE: {clean(found.talk.title)}"
    yield "FCM: NON-DROP FRAME"
    number, clock = 0, 0
    for piece in found.pieces:
        for one in piece.files:
            number += 1
            begin, end = (round(at * rate) for at in (one.in_point, one.out_point))
            into, clock = clock, clock + end - begin
            times = " ".join(_timecode(at, round(rate)) for at in (begin, end, into, clock))
            yield ""
            yield f"{number:03d}  AX       AA/V  C        {times}"
            yield f"* FROM CLIP NAME: {PurePath(one.file).name}"
            yield f"* SOURCE FILE: {one.file}"


def _rate(found: CutList) -> float:
    """Pictures a second; of 29.97 the time codes count 30, and drop none."""
    every = [one.rate for piece in found.pieces for one in piece.files]
    rates = [one for one in every if one is not None and one > _LEAST_RATE]
    if not rates:
        return _RATE
    mean = sum(rates) / len(rates)
    return min(_RATES, key=lambda one: abs(one - mean))


def _timecode(frames: int, rate: int) -> str:
    seconds, rest = divmod(frames, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"
