"""Segments and a talk -> what of it is covered, by which instance, and what is missing. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from attrs import frozen

from fleet.model import Segment, SegmentCheck
from fleet.operations import Coverage, Gap

TOLERANCE: Final = timedelta(seconds=5)
"""A talk of which less is missing is covered, as SReview and others count it."""
_JOINED: Final = timedelta(seconds=1)
"""Files that follow each other within this have no gap between them."""
_APART: Final = 0.1
"""Seconds between sound and picture that people begin to see."""
_MOST: Final = 20
"""Findings or gaps of one talk that are told."""
_GONE: Final = "its file was deleted, and no copy is verified"
_WHY: Final[Mapping[str, str]] = {
    "stopped": "it was stopped",
    "source lost": "its source was lost",
    "crash": "it crashed",
    "full": "the next file is missing",
}


@frozen
class Kept:
    """A segment, the name of its station, and whether a copy of it is verified: None where nothing
    copies what the station records. `is_slides`: what may stand still, and be silent.
    """

    station: str
    segment: Segment
    copied: bool | None = None
    is_slides: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether nobody has it any more."""
        return self.segment.is_gone and not self.copied


def coverage(
    begin: datetime, end: datetime, kept: Iterable[Kept], zone: tzinfo | None = UTC
) -> tuple[Coverage, ...]:
    """What each instance has of the time from `begin` to `end`, the best first, slides last; told
    in `zone`.
    """
    slides: set[str] = set()
    of: dict[tuple[str, str], list[Kept]] = {}
    for one in kept:
        segment = one.segment
        if segment.begin < end and segment.end > begin:
            name = f"{segment.role}/{segment.instance}"
            of.setdefault((one.station, name), []).append(one)
            slides |= {one.station} if one.is_slides else set()
    found = [_of_instance(*whose, begin, end, several, zone) for whose, several in of.items()]
    return tuple(sorted(found, key=lambda one: (one.station in slides, *_worth(one))))


def _worth(one: Coverage) -> tuple[float, int, str]:
    return one.missing, len(one.findings), one.station


def _of_instance(
    station: str,
    instance: str,
    begin: datetime,
    end: datetime,
    several: Sequence[Kept],
    zone: tzinfo | None,
) -> Coverage:
    ordered = sorted(several, key=lambda one: one.segment.begin)
    gaps: list[Gap] = []
    reached, last = begin, None
    gone = False
    for one in ordered:
        segment = one.segment
        if one.is_lost:
            gone = True
            continue
        if segment.begin > reached + _JOINED:
            gaps.append(Gap(reached, segment.begin, _GONE if gone else _why(last)))
        if segment.end > reached:
            reached, last, gone = segment.end, segment, False
    if reached + _JOINED < end:
        gaps.append(Gap(reached, end, _GONE if gone else _why(last)))
    ordered = [one for one in ordered if not one.is_lost]
    missing = sum(((gap.end - gap.begin).total_seconds() for gap in gaps), 0.0)
    length = (end - begin).total_seconds()
    copies = [one.copied for one in ordered]
    return Coverage(
        station,
        instance,
        round(max(0.0, 1 - missing / length), 4),
        round(missing, 1),
        tuple(gaps[:_MOST]),
        tuple(one.segment.file for one in ordered),
        tuple(_findings(begin, end, ordered, zone)[:_MOST]),
        sum(one.segment.check is None for one in ordered),
        None if None in copies else sum(map(bool, copies)),
    )


def _why(before: Segment | None) -> str:
    return "nothing was recorded yet" if before is None else _WHY.get(before.ended, before.ended)


def _findings(
    begin: datetime, end: datetime, kept: Sequence[Kept], zone: tzinfo | None
) -> list[str]:
    """What the read-back found within the time."""
    found = []
    for one in kept:
        check, name = one.segment.check, one.segment.file
        if check is None:
            continue
        if check.error:
            found.append(f"{name} does not decode: {check.error}")
        elif check.skipped and not one.segment.is_gone:
            found.append(f"{name} was not read back: {check.skipped}")
        found += _spans(begin, end, name, check, zone, is_slides=one.is_slides)
    return found


def _spans(
    begin: datetime,
    end: datetime,
    name: str,
    check: SegmentCheck,
    zone: tzinfo | None,
    *,
    is_slides: bool,
) -> list[str]:
    told = []
    kinds = [("a hole in the sound", check.dropouts), ("black", check.black)]
    if not is_slides:
        kinds += [("silent", check.silences), ("frozen", check.frozen)]
    for what, spans in kinds:
        for span in spans:
            if span.begin < end and span.end > begin:
                seconds = (min(span.end, end) - max(span.begin, begin)).total_seconds()
                about = f" ({span.what})" if span.what else ""
                at = max(span.begin, begin).astimezone(zone)
                told.append(f"{what}{about} for {seconds:.1f} s at {at:%H:%M:%S %Z}")
    if check.missing:
        told.append(f"{name} lacks {check.missing} pictures")
    if check.damaged:
        told.append(f"{name} has {check.damaged} damaged pictures")
    if check.damaged_sound:
        told.append(f"{name} has {check.damaged_sound} damaged packets of sound")
    if check.offset is not None and abs(check.offset) > _APART and not check.dropouts:
        where = "ahead of" if check.offset > 0 else "behind"
        told.append(f"{name}: the sound ends {abs(check.offset):.1f} s {where} the picture")
    return told
