"""What was, and what is wanted now, as people read it."""

from datetime import datetime
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from fleet.model import Roles, StopByHand
from fleet.operations.plans import Change


@frozen
class HistoryArguments:
    """Operation `history`, of a station (name or id) or of everything. `limit`: lines."""

    station: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 50


@frozen
class Event:
    """One thing that happened. `number`: of the rollout or revision, None where it has none."""

    at: datetime
    kind: str
    """`apply rollback retired schedule` of everything; `revision accepted rejected retired online
    offline lost` of one; `called` and what `manager.store.Deed` has of both.
    """
    number: int | None
    by: str | None
    text: str


@frozen
class HistoryResult:
    """What happened, the oldest first. `id`, `name`: the station, None for everything.

    `timezone`: the conference's.
    """

    id: str | None
    name: str | None
    events: tuple[Event, ...]
    timezone: str = "UTC"


@frozen
class ShowArguments:
    """Operation `show`: what was wanted of a station; None for the revision wanted now."""

    station: str
    revision: int | None = None


@frozen
class ShowResult:
    """One revision. `text`: its roles as a conference file writes them; `stops`: what people have
    stopped of them, where it is the one wanted now.
    """

    id: str
    name: str
    room: str | None
    revision: int
    at: datetime
    by: str
    message: str | None
    roles: Roles
    text: str
    timezone: str = "UTC"
    """The conference's."""
    stops: tuple[StopByHand, ...] = ()


@frozen
class DiffArguments:
    """Operation `diff`: from one revision of a station to another."""

    station: str
    old: int
    new: int


@frozen
class DiffResult:
    """What is different."""

    id: str
    name: str
    changes: tuple[Change, ...]


@frozen
class ExportResult:
    """Operation `export`: a conference file of what is wanted now."""

    text: str
    left_out: tuple[str, ...]
    """Stations that it cannot name, and why."""
