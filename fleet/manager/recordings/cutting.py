"""Talks, marks and segments -> where each talk lies in which files. Pure.

A `start` and the next `end` are a take; a talk has one or several, and what lies between is left
out. Where one of the two was never marked, the schedule says it. A `cut` divides and leaves nothing
out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Final

from attrs import frozen

from fleet.manager.recordings.coverage import TOLERANCE, Kept, coverage, near
from fleet.model import KeyFrames, Segment
from fleet.operations.recordings import Coverage, CutFile, CutList, CutMark, CutPiece, Gap
from fleet.schedule import ScheduledTalk

Whose = tuple[str, str]
"""A station's name, and an instance as people write it: `record/main`."""

_NEAR: Final = timedelta(minutes=10)
"""So near to where a talk begins or ends a mark is its own, whatever else is on."""
_FAR: Final = timedelta(minutes=30)
"""And farther from any it is nobody's."""
_JOINED: Final = timedelta(seconds=1)
"""Files that overlap by less follow each other: names and times have whole pictures at best."""


@frozen
class Take:
    """A stretch of a talk that is to be seen."""

    begin: datetime
    end: datetime


@frozen
class Takes:
    """What marks and schedule say of one talk. `marks`: those that counted."""

    takes: tuple[Take, ...]
    cuts: tuple[CutMark, ...]
    marks: tuple[CutMark, ...]
    notes: tuple[str, ...] = ()


def cut_lists(
    talks: Iterable[tuple[str, ScheduledTalk]],
    kept: Mapping[str, Sequence[Kept]],
    marks: Iterable[CutMark],
    programs: Collection[Whose],
) -> tuple[CutList, ...]:
    """One for each (room, talk), by time, except for those that must not be recorded.

    `talks`: all of their rooms, so that a mark finds the right one; `kept`: by room, then begin.
    """
    of_room: dict[str, list[ScheduledTalk]] = defaultdict(list)
    for room, talk in talks:
        of_room[room].append(talk)
    said: dict[str, list[CutMark]] = defaultdict(list)
    for mark in marks:
        said[mark.room].append(mark)
    begins = {room: [one.segment.begin for one in several] for room, several in kept.items()}

    def of(room: str, takes: Takes) -> Sequence[Kept]:
        begin, end = takes.takes[0].begin, takes.takes[-1].end
        return near(kept.get(room, ()), begins.get(room, ()), begin, end)

    found = [
        _list(room, talk, takes, of(room, takes), programs)
        for room, several in of_room.items()
        for talk, takes in takes_of(several, said[room])
        if not talk.do_not_record
    ]
    return tuple(sorted(found, key=lambda one: (one.talk.begin, one.room, one.talk.guid)))


def takes_of(
    talks: Sequence[ScheduledTalk], marks: Iterable[CutMark]
) -> Iterator[tuple[ScheduledTalk, Takes]]:
    """What is to be seen of each talk of one room."""
    ordered = sorted(marks, key=lambda one: (one.at, one.set_at))
    own: dict[str, list[CutMark]] = defaultdict(list)
    began: str | None = None
    for mark in (one for one in ordered if one.kind != "cut"):
        whose = began if mark.kind == "end" and began is not None else _whose(mark, talks)
        began = whose if mark.kind == "start" else None
        if whose is not None:
            own[whose].append(mark)
    for talk in talks:
        takes, counted, notes = _taken(talk, own[talk.guid])
        cuts = tuple(
            one
            for one in ordered
            if one.kind == "cut" and any(take.begin < one.at < take.end for take in takes)
        )
        yield talk, Takes(takes, cuts, tuple(counted), tuple(notes))


def _whose(mark: CutMark, talks: Sequence[ScheduledTalk]) -> str | None:
    """The guid of the talk that begins or ends there; else that is on; else the nearest."""

    def away(talk: ScheduledTalk) -> timedelta:
        return abs((talk.begin if mark.kind == "start" else talk.end) - mark.at)

    nearest = min(talks, key=away, default=None)
    if nearest is not None and away(nearest) > _NEAR:
        on = [one for one in talks if one.begin <= mark.at < one.end]
        nearest = on[-1] if on else nearest if away(nearest) <= _FAR else None
    return nearest.guid if nearest is not None else None


def _taken(
    talk: ScheduledTalk, marks: Sequence[CutMark]
) -> tuple[tuple[Take, ...], list[CutMark], list[str]]:
    notes: list[str] = []
    # Of several in a row the one that was said last counts: somebody corrected it.
    counted = [
        max(run, key=lambda one: one.set_at) for _, run in groupby(marks, lambda it: it.kind)
    ]
    for one, following in pairwise(counted):
        if one.kind == "start" and following.at <= one.at:
            notes.append("it is marked to begin and to end at one moment: both marks are left out")
            counted = [mark for mark in counted if mark not in (one, following)]
    edges = list(counted)
    takes: list[Take] = []
    if edges and edges[0].kind == "end":
        end = edges.pop(0).at
        if talk.begin < end:
            takes.append(Take(talk.begin, end))
        else:
            notes.append("its end is marked before it begins in the schedule: the mark is left out")
            counted = counted[1:]
    while edges:
        begin = edges.pop(0).at
        if edges:
            takes.append(Take(begin, edges.pop(0).at))
        elif begin < talk.end:
            takes.append(Take(begin, talk.end))
        else:
            takes.append(Take(begin, begin + (talk.end - talk.begin)))
            notes.append(
                "its start is marked after its end in the schedule, and no end: it is taken to "
                "be as long as it was to be"
            )
    return tuple(takes) or (Take(talk.begin, talk.end),), counted, notes


def _list(
    room: str,
    talk: ScheduledTalk,
    found: Takes,
    kept: Sequence[Kept],
    programs: Collection[Whose],
) -> CutList:
    begin, end = found.takes[0].begin, found.takes[-1].end
    of: dict[Whose, list[Kept]] = defaultdict(list)
    for one in kept:
        if one.segment.begin < end and one.segment.end > begin:
            of[one.station, f"{one.segment.role}/{one.segment.instance}"].append(one)
    covered = {
        whose: [_covered(take, whose, several) for take in found.takes]
        for whose, several in of.items()
    }
    slides = {one.station for one in kept if one.is_slides}
    whose = min(
        covered,
        key=lambda it: (it[0] in slides, *_worth(covered[it], it in programs)),
        default=None,
    )
    chosen = covered[whose] if whose else [_nothing(take) for take in found.takes]
    own = of[whose] if whose else ()
    segments = sorted((one.segment for one in own if not one.is_lost), key=lambda one: one.begin)
    missing = sum(one.missing for one in chosen)
    stretches = [
        stretch
        for take in found.takes
        for stretch in pairwise(
            [
                take.begin,
                *sorted({one.at for one in found.cuts if take.begin < one.at < take.end}),
                take.end,
            ]
        )
    ]
    return CutList(
        talk,
        room,
        begin,
        end,
        whose[0] if whose else None,
        whose[1] if whose else None,
        whose in programs,
        tuple(
            CutPiece(a, b, tuple(_files(room, segments, a, b))) for a, b in stretches if segments
        ),
        round(missing, 1),
        missing <= TOLERANCE.total_seconds(),
        tuple(gap for one in chosen for gap in one.gaps),
        tuple(sorted((*found.marks, *found.cuts), key=lambda one: one.at)),
        found.notes,
    )


def _covered(take: Take, whose: Whose, several: Sequence[Kept]) -> Coverage:
    found = coverage(take.begin, take.end, several)
    return found[0] if found else _nothing(take, *whose)


def _nothing(take: Take, station: str = "", instance: str = "") -> Coverage:
    """Of a recording that has nothing of a take."""
    length = (take.end - take.begin).total_seconds()
    gap = Gap(take.begin, take.end, "nothing was recorded")
    return Coverage(station, instance, 0.0, length, (gap,), ())


def _worth(several: Sequence[Coverage], is_program: bool) -> tuple[bool, bool, int, bool, float]:
    """Less for a recording that is better to cut from: the program, unless another one has a minute
    more, or the program does not decode.
    """
    missing = sum(one.missing for one in several)
    breaks = any("does not decode" in text for one in several for text in one.findings)
    short = missing > TOLERANCE.total_seconds()
    return breaks, short, int(missing // 60), not is_program, missing


def _files(
    directory: str, segments: Iterable[Segment], begin: datetime, end: datetime
) -> Iterator[CutFile]:
    reached = begin
    for one in segments:
        if one.end <= max(reached, one.begin) or one.begin >= end:
            continue
        follows = reached > begin and reached - one.begin < _JOINED
        first = 0.0 if follows else max(0.0, (reached - one.begin).total_seconds())
        reached, length = min(end, one.end), (one.end - one.begin).total_seconds()
        yield CutFile(
            f"{directory}/{one.file}",
            one.begin,
            round(first, 6),
            round((reached - one.begin).total_seconds(), 6),
            one.start,
            _key_before(one, first),
            round(one.frames / length, 3) if one.frames and length > 0 else None,
        )


def _key_before(one: Segment, seconds: float) -> float | None:
    """Seconds from its begin of the last key frame at or before a moment; None of unknown ones."""
    if one.start is None:
        return None
    at = one.start + seconds
    keys = [found for run in one.keys if (found := _last(run, at)) is not None]
    return round(max(keys) - one.start, 6) if keys else None


def _last(run: KeyFrames, at: float) -> float | None:
    if at < run.first:
        return None
    steps = int((at - run.first) / run.every + 1e-6) if run.every > 0 else 0
    return run.first + run.every * min(steps, run.count - 1)
