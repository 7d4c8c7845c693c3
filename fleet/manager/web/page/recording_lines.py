"""The line of a recording: what it holds, its gaps, and what the read-back found. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

from attrs import evolve, frozen

from fleet.manager.recordings.coverage import Kept, faults
from fleet.operations.recordings import Receipt

AtWork = Mapping[tuple[str, str, str], datetime]
"""(room, station, instance) of what runs now, and since when."""
_MOST_STRETCHES: Final = 300
_MOST_SPOTS: Final = 200
_TOUCHING: Final = 1.0
"""Seconds within which two spans are one."""
_DAY: Final = 86400.0
_SAID: Final = 12
"""Spans that are read out."""


@frozen
class Spot:
    """A span of a line, in Unix seconds; `kind`: `gap`, `broken` or `finding`."""

    begin: float
    end: float
    kind: str
    text: str
    times: int = 1
    """How many were put together."""


@frozen
class Stretch:
    """What is recorded without a gap. `state`: `read` (back), `unread`, or `open` while it is
    written; that one has no end yet.
    """

    begin: float
    end: float | None
    state: str


@frozen
class RecordingLine:
    """What one instance recorded; `said`: all of it in words."""

    name: str
    stretches: tuple[Stretch, ...]
    spots: tuple[Spot, ...]
    said: str


def of_instances(
    room: str, ordered: Sequence[Kept], at_work: AtWork
) -> dict[tuple[str, str], list[Kept]]:
    """What each (station, instance) recorded; those that only begin to are there too."""
    of: dict[tuple[str, str], list[Kept]] = {}
    for one in ordered:
        of.setdefault(one.whose, []).append(one)
    for where, station, instance in at_work:
        if where == room and instance.startswith("record/"):
            of.setdefault((station, instance), [])
    return of


def line(
    station: str,
    instance: str,
    kept: Sequence[Kept],
    receipts: Sequence[Receipt],
    since: datetime | None,
    is_away: bool,
    now: datetime,
) -> RecordingLine:
    """A line of what an instance recorded. `since`: since when it runs, None where it does not;
    `now` in the conference's time zone.
    """
    kept = [one for one in kept if not one.is_lost]
    segments = [one.segment for one in kept]
    spans = (
        Spot(
            one.begin.timestamp(),
            one.end.timestamp(),
            "unread" if one.check is None or one.check.skipped else "read",
            "",
        )
        for one in segments
    )
    whole = [Stretch(one.begin, one.end, one.kind) for one in joined(spans, _MOST_STRETCHES)]
    known = now
    if since is not None or is_away:  # what is not closed yet is not lost
        known = max((one.end for one in segments), default=min(since or now, now))
    if since is not None and max(known, since) < now:
        whole.append(Stretch(max(known, since).timestamp(), None, "open"))
    lost = _gaps(station, instance, receipts, known)
    spots = [*lost, *joined(_findings(kept), _MOST_SPOTS)]
    name = f"{station} {instance}"
    told = [(one.begin, one.end or now.timestamp()) for one in whole]
    return RecordingLine(
        name, tuple(whole), tuple(spots), f"{name}: {summary(told, spots, now.tzinfo)}"
    )


def joined(spans: Iterable[Spot], most: int) -> list[Spot]:
    """Those of a kind and text that touch made one; where more than `most` are left, those that
    are near each other too; the last says how many have no place.
    """
    found = _join(spans, _TOUCHING)
    apart = _TOUCHING
    while len(found) > most and apart < _DAY:
        apart *= 4
        found = _join(found, apart)
    if len(found) <= most:
        return found
    left_out = found[most - 1 :]
    text = f"and {len(left_out)} more"
    rest = Spot(left_out[0].begin, max(it.end for it in left_out), left_out[0].kind, text)
    return [*found[: most - 1], rest]


def _join(spans: Iterable[Spot], apart: float) -> list[Spot]:
    last: dict[tuple[str, str], Spot] = {}
    made = []
    for one in sorted(spans, key=lambda it: it.begin):
        key = (one.kind, one.text)
        before = last.get(key)
        if before is not None and one.begin <= before.end + apart:
            times = before.times + one.times - (one.begin <= before.end + _TOUCHING)
            last[key] = evolve(before, end=max(before.end, one.end), times=times)
            continue
        if before is not None:
            made.append(before)
        last[key] = one
    return sorted([*made, *last.values()], key=lambda it: it.begin)


def _gaps(station: str, instance: str, receipts: Iterable[Receipt], known: datetime) -> list[Spot]:
    """What an instance lacks of the talks of which it has anything, or nobody has, up to when that
    is known.
    """
    lacks = [
        (gap.begin, gap.end, gap.why)
        for one in receipts
        for it in one.coverage
        if (it.station, it.instance) == (station, instance)
        for gap in it.gaps
    ]
    lacks += [
        (one.talk.begin, one.talk.end, "nothing was recorded")
        for one in receipts
        if not one.coverage
    ]
    found = [
        Spot(begin.timestamp(), min(end, known).timestamp(), "gap", f"missing: {why}")
        for begin, end, why in lacks
        if begin < known
    ]
    return joined(found, len(found))


def _findings(kept: Iterable[Kept]) -> Iterator[Spot]:
    """What the read-back of these found."""
    for one in kept:
        for fault in faults(one):
            kind = "broken" if one.segment.check and one.segment.check.error else "finding"
            yield Spot(fault.begin.timestamp(), fault.end.timestamp(), kind, fault.what)


def summary(
    stretches: Sequence[tuple[float, float]], spots: Sequence[Spot], zone: tzinfo | None
) -> str:
    """A line in words, for who cannot see it; `stretches`: (begin, end).

    >>> from datetime import UTC
    >>> summary([(0, 60), (120, 150)], [Spot(60, 120, "gap", "missing: it crashed")], UTC)
    'recorded 00:00:00 to 00:01:00, 00:02:00 to 00:02:30; missing: it crashed 00:01:00 to 00:02:00'
    """
    recorded = _several([_span(*one, zone) for one in stretches])
    wrong = [
        f"{one.text} {_span(one.begin, one.end, zone)}"
        + (f" ({one.times} times)" if one.times > 1 else "")
        for one in spots
    ]
    told = [f"recorded {recorded}" if stretches else "nothing recorded"]
    return "; ".join([*told, *wrong[:_SAID], *_more(wrong)])


def _several(texts: Sequence[str]) -> str:
    return ", ".join([*texts[:_SAID], *_more(texts)])


def _more(texts: Sequence[str]) -> list[str]:
    return [f"and {len(texts) - _SAID} more"] if len(texts) > _SAID else []


def _span(begin: float, end: float, zone: tzinfo | None) -> str:
    first, last = (datetime.fromtimestamp(at, zone) for at in (begin, end))
    return f"{first:%H:%M:%S} to {last:%H:%M:%S}"
