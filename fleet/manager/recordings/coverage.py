"""Segments and a talk -> what of it is covered, by which instance, and what is missing. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from attrs import frozen

from fleet.model import Segment, counted
from fleet.operations.recordings import Coverage, Gap

TOLERANCE: Final = timedelta(seconds=5)
"""A talk of which less is missing is covered, as SReview and others count it."""
LONGEST: Final = timedelta(hours=24)
"""Of one segment: what began earlier has nothing to do with a talk."""
_JOINED: Final = timedelta(seconds=1)
"""Files that follow each other within this have no gap between them."""
_APART: Final = 0.1
"""Seconds between sound and picture that people begin to see."""
_MOST: Final = 20
"""Findings or gaps of one talk that are told."""
_GONE: Final = "its file was deleted, and no copy is verified"
NEXT_MISSING: Final = "the next file is missing"
"""Why there is a gap behind a file that was full."""
_WHY: Final[Mapping[str, str]] = {
    "stopped": "it was stopped",
    "source lost": "its source was lost",
    "crash": "it crashed",
    "full": NEXT_MISSING,
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
    def whose(self) -> tuple[str, str]:
        """Station, and role and instance."""
        return self.station, f"{self.segment.role}/{self.segment.instance}"

    @property
    def is_lost(self) -> bool:
        """Whether nobody has it any more."""
        return self.segment.is_gone and not self.copied


@frozen
class Fault:
    """Something that the read-back found, from when to when; `told`: as it is said of the file,
    where it is somewhere in it and not all the time.
    """

    begin: datetime
    end: datetime
    what: str
    told: str | None = None


def near(
    kept: Sequence[Kept], begins: Sequence[datetime], begin: datetime, end: datetime
) -> Sequence[Kept]:
    """What may have something of that time; `kept` by begin, and `begins` of each."""
    return kept[bisect_left(begins, begin - LONGEST) : bisect_left(begins, end)]


def coverage(
    begin: datetime, end: datetime, kept: Iterable[Kept], zone: tzinfo | None = UTC
) -> tuple[Coverage, ...]:
    """What each instance has of the time from `begin` to `end`, the best first, slides last; told
    in `zone`.
    """
    slides: set[str] = set()
    of: dict[tuple[str, str], list[Kept]] = {}
    before: dict[tuple[str, str], Segment] = {}
    for one in kept:
        segment = one.segment
        if segment.end <= begin:
            last = before.setdefault(one.whose, segment)
            before[one.whose] = max(last, segment, key=lambda it: it.end)
        elif segment.begin < end:
            of.setdefault(one.whose, []).append(one)
            slides |= {one.station} if one.is_slides else set()
    found = [
        _of_instance(*whose, begin, end, several, before.get(whose), zone)
        for whose, several in of.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.station in slides, *_worth(one))))


def _worth(one: Coverage) -> tuple[float, int, str]:
    return one.missing, len(one.findings), one.station


def _of_instance(
    station: str,
    instance: str,
    begin: datetime,
    end: datetime,
    several: Sequence[Kept],
    last: Segment | None,
    zone: tzinfo | None,
) -> Coverage:
    """`last`: of what it recorded before, which says why there may be nothing at `begin`."""
    ordered = sorted(several, key=lambda one: one.segment.begin)
    gaps: list[Gap] = []
    reached = begin
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
    return [
        _said(one, fault, begin, end, zone)
        for one in kept
        for fault in faults(one)
        if fault.begin < end and fault.end > begin
    ]


def _said(of: Kept, fault: Fault, begin: datetime, end: datetime, zone: tzinfo | None) -> str:
    if fault.told is not None:
        return f"{of.segment.file} {fault.told}"
    at = max(fault.begin, begin)
    seconds = (min(fault.end, end) - at).total_seconds()
    length = f"{seconds:.1f}" if seconds >= 1 else f"{max(0.01, seconds):.2f}"
    return f"{fault.what} for {length} s at {at.astimezone(zone):%H:%M:%S %Z}"


def faults(of: Kept) -> Iterator[Fault]:
    """What the read-back of a segment found."""
    one, check = of.segment, of.segment.check
    if check is None:
        return
    whole = [
        (check.error, "does not decode", f"does not decode: {check.error}"),
        (
            check.skipped and not check.error and not one.is_gone,
            "not read back",
            f"was not read back: {check.skipped}",
        ),
        (check.missing, "pictures are missing", f"lacks {counted(check.missing, 'picture')}"),
        (check.damaged, "pictures are damaged", f"has {counted(check.damaged, 'damaged picture')}"),
        (
            check.damaged_sound,
            "sound is damaged",
            f"has {check.damaged_sound} damaged packets of sound",
        ),
        (
            abs(check.offset or 0) > _APART and not check.dropouts,
            "sound and picture are apart",
            f"has sound that ends {abs(check.offset or 0):.1f} s "
            f"{'ahead of' if (check.offset or 0) > 0 else 'behind'} the picture",
        ),
    ]
    for is_so, what, told in whole:
        if is_so:
            yield Fault(one.begin, one.end, what, told)
    kinds = [("a hole in the sound", check.dropouts), ("black", check.black)]
    if not of.is_slides:
        kinds += [("silent", check.silences), ("frozen", check.frozen)]
    for what, spans in kinds:
        for span in spans:
            about = f" ({span.what})" if span.what else ""
            yield Fault(span.begin, span.end, f"{what}{about}")
