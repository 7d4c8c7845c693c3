"""Segments of a station whose clock was set -> the times they really have. Pure.

A recording goes on while the clock of its box is set: its files have times of before and after, but
the clock inside the files goes on. What came later is believed, because a clock is set to be right.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from attrs import evolve

from fleet.model import Segment, Span

_JOINED: Final = 0.5
"""Seconds within which a file goes on where the one before ended, by the clock inside both."""
_STEPPED: Final = timedelta(seconds=1)
"""By less no clock was set: that is how exact times are."""


def on_one_clock(told: Iterable[tuple[str, Segment]]) -> list[tuple[str, Segment]]:
    """(station, segment) as they really were, by begin."""
    runs: dict[tuple[str, str, str, str], list[Segment]] = defaultdict(list)
    for station, one in told:
        runs[station, one.index, one.role, one.instance].append(one)
    settled = [
        (station, one)
        for (station, *_), several in runs.items()
        for one in _settled(sorted(several, key=lambda it: it.number))
    ]
    return sorted(settled, key=lambda one: one[1].begin)


def _settled(several: Sequence[Segment]) -> list[Segment]:
    """Of one instance, in the order in which they were closed."""
    found: list[Segment] = []
    late = timedelta()
    following: Segment | None = None
    for one in reversed(several):
        apart = _apart(one, following) if following is not None else None
        if apart is None or following is None:
            late = timedelta()
        else:
            step = following.begin - one.begin - apart
            late += step if abs(step) > _STEPPED else timedelta()
        found.append(_moved(one, late) if late else one)
        following = one
    return found


def _apart(one: Segment, following: Segment) -> timedelta | None:
    """From begin to begin by the clock inside both; None where that does not go on."""
    if one.start is None or following.start is None:
        return None
    apart = following.start - one.start
    lasts = (one.end - one.begin).total_seconds()
    return timedelta(seconds=apart) if apart > 0 and abs(apart - lasts) < _JOINED else None


def _moved(one: Segment, by: timedelta) -> Segment:
    check = one.check
    if check is not None:
        check = evolve(
            check,
            dropouts=_spans(check.dropouts, by),
            silences=_spans(check.silences, by),
            black=_spans(check.black, by),
            frozen=_spans(check.frozen, by),
        )
    return evolve(one, begin=one.begin + by, end=one.end + by, check=check)


def _spans(spans: Sequence[Span], by: timedelta) -> tuple[Span, ...]:
    return tuple(evolve(one, begin=one.begin + by, end=one.end + by) for one in spans)
