"""Which talks there are, which is on, and how it stands with the schedule."""

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from fleet.schedule import Schedule, ScheduledTalk


@frozen
class RoomTalk:
    """A room that the schedule knows. `on`: the talk that counts as on; `next`: the one after;
    `blanked`: whether the room's stream was blanked for a talk that must not be streamed.
    """

    room: str
    on: ScheduledTalk | None
    next: ScheduledTalk | None
    blanked: bool = False


@frozen
class ScheduleArguments:
    """Operation `schedule`: of one room, or of all."""

    room: str | None = None


@frozen
class ScheduleResult:
    """The schedule in use. `timezone`: the conference's."""

    place: str | None
    """Where it is published, None where the file names no such place."""
    read_at: datetime | None
    """When it was last found good."""
    trouble: str | None
    """Why it cannot be read now, None where it can."""
    trouble_since: datetime | None
    schedule: Schedule | None
    """The last that was good; of one room, only its talks."""
    rooms: Mapping[str, tuple[str, ...]]
    """Each room of ours -> what the schedule may call it."""
    timezone: str = "UTC"
