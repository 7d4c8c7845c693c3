"""When each trouble began, and how people say it. Pure.

A station says when a state began, but not since when it has had a reason; and states come and go
while a role is tried again. So the first sighting is remembered until the trouble is over.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from fleet.manager.web.page.troubles import Kind, Trouble

Key = tuple[str, str, Kind]
Began = Mapping[Key, float]
"""When each trouble was first seen, in Unix seconds."""


def key(trouble: Trouble) -> Key:
    """What makes two sightings one trouble."""
    return trouble.station, trouble.instance, trouble.kind


def began(before: Began, troubles: Iterable[Trouble], now: float) -> dict[Key, float]:
    """When each of these began; what is not among them is over."""
    return {
        key(one): min(before.get(key(one), now), now if one.since is None else one.since)
        for one in troubles
    }


def clock(at: float, now: datetime) -> str:
    """A moment as people say it, in the time zone of `now`.

    >>> from datetime import UTC
    >>> clock(60.0, datetime(1970, 1, 1, 9, tzinfo=UTC))
    '00:01'
    >>> clock(60.0, datetime(1970, 1, 2, 9, tzinfo=UTC))
    'Thu 00:01'
    """
    local = datetime.fromtimestamp(at, now.tzinfo)
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%a %H:%M}"
