"""Which times nothing needs to be known of any more. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

from fleet.manager.recordings.coverage import LONGEST
from fleet.manager.store.records import TimeSpan
from fleet.schedule import Schedule

REMEMBERED: Final = timedelta(days=90)
"""How long a recording is known whose file is gone, and that nobody has to copy; a mark too."""
_AROUND: Final = LONGEST + timedelta(hours=3)
"""Before and after all talks, what may have to do with one."""


def forgettable(schedule: Schedule | None, now: datetime) -> tuple[TimeSpan, ...]:
    """What is long ago, except for the time of which the schedule in use has talks."""
    first, until = datetime.min.replace(tzinfo=UTC), now - REMEMBERED
    spans = [(first, until)]
    if schedule is not None and schedule.talks:
        begin = min(one.begin for one in schedule.talks) - _AROUND
        end = max(one.end for one in schedule.talks) + _AROUND
        spans = [(first, min(begin, until)), (end, until)]
    return tuple((begin, end) for begin, end in spans if begin < end)
