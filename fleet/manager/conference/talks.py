"""Which talk is on in a room, until when, and what is next. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Self

from attrs import frozen

from fleet.schedule import ScheduledTalk


@frozen
class TalksNow:
    """A room at one moment. `on`: the talk that counts as on; `next`: the one after it."""

    on: ScheduledTalk | None = None
    next: ScheduledTalk | None = None
    private: ScheduledTalk | None = None
    """The talk for whose sake nothing may be streamed now."""


@frozen
class RoomTalks:
    """The talks of one room by begin, and how long before and after itself each counts as on."""

    _talks: Sequence[ScheduledTalk]
    _begins: Sequence[datetime]
    _ends: Sequence[datetime]
    """For each, the latest end of it and those before."""
    _before: timedelta
    _after: timedelta

    @classmethod
    def of(cls, talks: Iterable[ScheduledTalk], before: timedelta, after: timedelta) -> Self:
        """Of these talks, in any order."""
        ordered = sorted(talks, key=lambda one: (one.begin, one.end, one.guid))
        begins = [one.begin for one in ordered]
        ends = list(accumulate((one.end for one in ordered), max))
        return cls(ordered, begins, ends, before, after)

    def now(self, at: datetime) -> TalksNow:
        """What is so at `at`.

        Where several count as on, it is the one that runs, begun last; else that which comes next;
        else that which ended last. Nothing is streamed while one counts as on that must not be,
        unless another that may be runs.
        """
        ahead = bisect_right(self._begins, at + self._before)
        counting = []
        for index in range(ahead - 1, -1, -1):
            if self._ends[index] + self._after <= at:
                break
            if at < self._talks[index].end + self._after:
                counting.append(self._talks[index])
        following = self._talks[ahead] if ahead < len(self._talks) else None
        if not counting:
            return TalksNow(next=following)
        runs = [one for one in counting if one.begin <= at < one.end]
        coming = [one for one in counting if at < one.begin]
        over = [one for one in counting if one.end <= at]
        on = runs[0] if runs else coming[-1] if coming else max(over, key=lambda one: one.end)
        private = next((one for one in runs or counting if one.do_not_stream), None)
        later = [one for one in coming if one is not on]
        return TalksNow(on, later[-1] if later else following, private)
