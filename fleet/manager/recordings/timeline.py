"""Segments of a station whose clock was set -> the times they really have. Pure.

A recording goes on while the clock of its box is set: its files have times of before and after, but
the clock inside the files goes on. What came later is believed, because a clock is set to be right;
but of a box whose clock is known to be wrong now, what came before.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from attrs import evolve

from fleet.model import Segment, Span

_JOINED: Final = 0.5
"""Seconds within which a file goes on where the one before ended, by the clock inside both."""
_STEPPED: Final = timedelta(seconds=1)
"""By less no clock was set: that is how exact times are."""


def on_one_clock(
    told: Iterable[tuple[str, Segment]], wrong: Collection[str] = ()
) -> list[tuple[str, Segment]]:
    """(station, segment) as they really were, by begin; `wrong`: stations whose clock is so now."""
    runs: dict[tuple[str, str, str, str], list[Segment]] = defaultdict(list)
    for station, one in told:
        runs[station, one.index, one.role, one.instance].append(one)
    settled = [
        (station, one)
        for (station, *_), several in runs.items()
        for one in _settled(sorted(several, key=lambda it: it.number), station not in wrong)
    ]
    return sorted(settled, key=lambda one: one[1].begin)


def _settled(several: Sequence[Segment], last_is_right: bool) -> list[Segment]:
    """Of one instance, in the order in which they were closed."""
    steps = [_step(one, following) for one, following in pairwise(several)]
    until_now = list(_since(reversed(steps)))[::-1]
    since_then = [-one for one in _since(steps)]
    late = until_now if last_is_right else since_then
    return [_moved(one, by) if by else one for one, by in zip(several, late, strict=True)]


def _since(steps: Iterable[timedelta | None]) -> Iterator[timedelta]:
    """How far the clock was set since the first; from the begin again where that is not known."""
    whole = timedelta()
    yield whole
    for step in steps:
        whole = timedelta() if step is None else whole + step
        yield whole


def _step(one: Segment, following: Segment) -> timedelta | None:
    """How far the clock was set from one to the next; None where the clock inside began anew."""
    apart = _apart(one, following)
    if apart is None:
        return None
    step = following.begin - one.begin - apart
    return step if abs(step) > _STEPPED else timedelta()


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
