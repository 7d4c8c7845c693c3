"""Whether a talk is there, and plays: green, yellow with the reason, red. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from attrs import evolve, field, frozen

from fleet.manager.recordings.coverage import NEXT_MISSING, TOLERANCE, Kept, coverage
from fleet.model import StopByHand, counted, printable
from fleet.operations.recordings import Coverage, CutMark, Gap, Receipt, Verdict
from fleet.schedule import ScheduledTalk

_WAIT: Final = timedelta(minutes=31)
"""After a talk's end, for the segment to be closed that has it: half an hour is the longest."""
_CLOSING: Final = timedelta(seconds=15)
"""What the end of a file may be before the stop that ended it."""
_MARKED: Final = timedelta(minutes=30)
"""What before and after a talk its marks may lie."""
_OPEN: Final = "no file of it is closed yet"
_SAME_CLOCK: Final = timedelta(hours=12)
"""After a talk, for which a clock that is wrong now is taken to have been so."""
_TOLD: Final = timedelta(seconds=30)
"""After a file's end, for the station to tell of it."""


@frozen
class RoomNow:
    """How it stands in a room. `stops`: the last of each instance, with the name of its station;
    `records`: whether anything does, None where a station is away and nobody knows; `ahead`:
    seconds by which the clocks of stations are wrong, by name.
    """

    stops: Sequence[tuple[str, StopByHand]] = ()
    records: bool | None = None
    ahead: Mapping[str, float] = field(factory=dict)


_UNKNOWN: Final = RoomNow()


def receipt(
    room: str,
    talk: ScheduledTalk,
    kept: Iterable[Kept],
    marks: Sequence[CutMark],
    now: datetime,
    stands: RoomNow = _UNKNOWN,
) -> Receipt:
    """What is known of a talk at `now`, told in its time zone; `kept`: recorded in its room."""
    of_room = list(kept)
    found = tuple(
        _by_clock(_by_whom(one, stands.stops), wrong_clock(one.station, stands, talk, now))
        for one in coverage(talk.begin, talk.end, of_room, now.tzinfo)
    )
    own = tuple(
        one
        for one in marks
        if one.room == room and talk.begin - _MARKED <= one.at <= talk.end + _MARKED
    )
    slides = {one.station for one in of_room if one.is_slides}
    shown = [one for one in found if one.station not in slides]
    verdict, why = _judged(talk, shown or found, of_room, now, stands.records)
    held = [
        f"{station} {one.role}/{one.instance} was {_who(one)}"
        for station, one in stands.stops
        if one.role == "record" and _was_stopped(one, talk.begin)
    ]
    if verdict == "red" and not found and held:
        why = f"{why}; {', '.join(held)}"
    if verdict is None and stands.records is not False and now < talk.end + _WAIT:
        found = tuple(_with_open_file(one, talk.end) for one in found)
    return Receipt(talk, room, verdict, why, found, own)


def _by_whom(one: Coverage, stops: Iterable[tuple[str, StopByHand]]) -> Coverage:
    """With who stopped it, for each gap that began so."""
    own = [
        stop
        for station, stop in stops
        if (station, f"{stop.role}/{stop.instance}") == (one.station, one.instance)
    ]
    gaps = tuple(
        evolve(gap, why=next((_who(it) for it in own if _was_stopped(it, gap.begin)), gap.why))
        for gap in one.gaps
    )
    return evolve(one, gaps=gaps)


def wrong_clock(station: str, stands: RoomNow, talk: ScheduledTalk, now: datetime) -> str | None:
    """What is to be said of the times that a station gives to a talk; None where its clock is
    right, or it was long ago.
    """
    wrong = stands.ahead.get(station, 0.0)
    if abs(wrong) <= TOLERANCE.total_seconds() or now > talk.end + _SAME_CLOCK:
        return None
    how = "ahead" if wrong > 0 else "behind"
    return f"the clock of {station} is {abs(wrong):.0f} s {how}, and so may be its times"


def _with_open_file(one: Coverage, end: datetime) -> Coverage:
    """What is in the file that is being written is not missing: it is not known yet."""
    gaps = tuple(
        evolve(gap, why=_OPEN) if gap.end == end and gap.why == NEXT_MISSING else gap
        for gap in one.gaps
    )
    return evolve(one, gaps=gaps)


def _by_clock(one: Coverage, wrong: str | None) -> Coverage:
    return evolve(one, findings=(wrong, *one.findings)) if wrong else one


def _who(stop: StopByHand) -> str:
    why = f" ({printable(stop.why)})" if stop.why else ""
    return f"stopped by {printable(stop.by)}{why}"


def _was_stopped(stop: StopByHand, at: datetime) -> bool:
    """Whether a stop held at that time; a file ends a little before it is said to."""
    return stop.at - _CLOSING <= at and (stop.until is None or at < stop.until)


def _judged(
    talk: ScheduledTalk,
    found: Sequence[Coverage],
    kept: Sequence[Kept],
    now: datetime,
    records: bool | None,
) -> tuple[Verdict | None, str]:
    if talk.do_not_record:
        files = sum(len(one.files) for one in found)
        there = counted(files, "file has", "files have")
        return None, f"it must not be published; {there} its time"
    if now < talk.begin:
        return None, "has not begun"
    if now < talk.end:
        return None, "goes on" if records is not False else "goes on, and nothing records it"
    is_closed = any(one.segment.end >= talk.end for one in kept)
    wait = timedelta() if not (kept or records) else _WAIT if records is not False else _TOLD
    if not is_closed and now < talk.end + wait:
        return None, "its last file is not closed yet"
    if not found:
        return "red", "nothing of it was recorded"
    best = found[0]
    if best.missing > TOLERANCE.total_seconds():
        gaps = "; ".join(_told(gap, now.tzinfo) for gap in best.gaps)
        exists = f"{best.share:.0%} is in {best.instance} of {best.station}"
        return "red", f"{best.missing:.0f} s are missing ({gaps}); {exists}"
    whole = [one for one in found if one.missing <= TOLERANCE.total_seconds()]
    reasons = [(_reason(one), one) for one in whole]
    for reason, _ in reasons:
        if reason is None:
            return "green", "covered, decodes, heard and copied"
    reason, one = min(reasons, key=lambda it: len(it[1].findings))
    broken = all(any("does not decode" in text for text in it.findings) for it in whole)
    where = f"{one.instance} of {one.station}"
    return ("red" if broken else "yellow"), f"{reason}; it is in {where}"


def _told(gap: Gap, zone: tzinfo | None) -> str:
    seconds = (gap.end - gap.begin).total_seconds()
    return f"{seconds:.0f} s from {gap.begin.astimezone(zone):%H:%M:%S %Z}, {gap.why}"


def _reason(one: Coverage) -> str | None:
    """Why one that covers all of it is not green."""
    if one.findings:
        more = f" and {len(one.findings) - 1} more" if len(one.findings) > 1 else ""
        return one.findings[0] + more
    if one.unread:
        return f"{counted(one.unread, 'file')} not read back yet"
    if one.copied is None:
        return "nothing copies it off the box"
    if one.copied < len(one.files):
        return f"{one.copied} of {counted(len(one.files), 'file')} copied so far"
    return None
