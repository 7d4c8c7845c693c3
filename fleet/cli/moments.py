"""A moment as a person types it; pure."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo


def at_time(text: str, now: datetime, timezone: str) -> datetime:
    """`14:05`, `14:05:30` (of the day that makes it nearest to `now`), or a whole ISO time.

    >>> now = datetime(2026, 2, 1, 23, 50, tzinfo=UTC)
    >>> at_time("00:10", now, "Europe/Berlin").isoformat()
    '2026-02-01T23:10:00+00:00'
    >>> at_time("2026-02-01T14:05+01:00", now, "UTC").isoformat()
    '2026-02-01T13:05:00+00:00'

    Raises:
        ValueError: it is none; the text says what is.
    """
    zone = ZoneInfo(timezone)
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        clock = None
    if clock is not None and clock.tzinfo is None:
        days = (now.toordinal() + offset for offset in (-1, 0, 1))
        moments = (
            datetime.combine(datetime.fromordinal(day), clock, zone).astimezone(UTC) for day in days
        )
        return min(moments, key=lambda one: abs(one - now))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: expected such as 14:05, 14:05:30 or 2026-02-01T14:05:30+01:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
