"""What the manager's judge of health says: where a station stands, and what is wrong with it."""

from datetime import datetime
from enum import StrEnum

from attrs import frozen


class HealthLevel(StrEnum):
    """How much somebody is needed, the least first; the boards have the same four words."""

    FINE = "fine"
    UNKNOWN = "unknown"
    LOOK = "look"
    GO = "go"

    @property
    def rank(self) -> int:
        """0 for what is fine, 3 for what somebody has to go for."""
        return _RANKS[self]


_RANKS = {level: rank for rank, level in enumerate(HealthLevel)}


class Standing(StrEnum):
    """Where a station stands on its way to what is wanted of it."""

    IN_SYNC = "in sync"
    WORKING = "working"
    FAILED = "failed"
    REJECTED = "rejected"
    PENDING = "pending"
    """It cannot be given its config now, which waits for it."""


@frozen
class HealthFinding:
    """One thing that is wrong with a station, or (without one) with its room.

    `kind`: a CamelCase code; `where`: the place people look for; `text`: a few words, to be
    followed by `since 10:12` where it has a `since`; `command`: what to type.
    """

    kind: str
    level: HealthLevel
    room: str | None
    station: str | None
    """Its name."""
    instance: str | None
    """`record/main`, None where it is the whole station."""
    where: str | None
    text: str
    command: str | None
    detail: str | None = None
    """The station's own sentence."""
    since: datetime | None = None
    """When it began, None where that does not matter."""
