"""What operators ask the manager, and what it answers: arguments and results by operation.

Private to one release: `fleet` and `fleet-manager` of the same version speak it, over
`manager/request/<caller>/<operation>` and `manager/reply/<caller>`. A refusal is an `Error`;
mistakes in a conference file are its problems, `path` being the dotted path in the file.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import frozen

from fleet.model import InstanceStatus, PresenceState, Problem

Action = Literal["+", "~", "-"]


@frozen
class PlanArguments:
    """Operation `plan`. `text`: the conference file; `name`: what to call it in messages."""

    text: str
    name: str


@frozen
class ApplyArguments:
    """Operation `apply`."""

    text: str
    name: str
    message: str | None = None


@frozen
class Change:
    """One instance that applying would change, on the station `id` called `station`."""

    id: str
    station: str
    room: str | None
    role: str
    instance: str
    action: Action
    detail: str
    """What changes in a few words: `segment_seconds 180 -> 300`."""
    running: bool
    """Whether the instance runs now, so that `~` and `-` interrupt it."""


@frozen
class StationChange:
    """A station that is new, or of which more than its instances changes."""

    id: str
    station: str
    room: str | None
    detail: str
    """`new`, or what changes in a few words: `room hall1 -> hall2, seat cam -> slides`."""


@frozen
class PlanResult:
    """What applying would change."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    """What a station would refuse, or a file that disagrees with what is heard."""
    unnamed: tuple[str, ...]
    """Stations that are known and not in the file: they are left as they are."""
    stations: tuple[StationChange, ...] = ()
    """What changes besides instances."""

    @property
    def is_empty(self) -> bool:
        """Whether applying would change nothing."""
        return not (self.changes or self.stations)


@frozen
class ApplyResult:
    """What was applied: station id -> the revision now wanted, for those that changed."""

    plan: PlanResult
    revisions: Mapping[str, int]


@frozen
class StationStatus:
    """One station as `fleet status --json` shows it."""

    id: str
    name: str
    room: str | None
    presence: PresenceState
    wanted: int | None
    """The revision wanted, None where nothing is wanted."""
    running: int | None
    """The revision in force, None where the station was never heard."""
    in_sync: bool
    problems: tuple[Problem, ...]
    """Why the revision wanted was rejected; empty where it was not."""
    roles: Mapping[str, Mapping[str, InstanceStatus]]
    """Every instance that is wanted or runs."""
    note: str | None = None
    """What a person should know besides: `conflict: two boxes, a and b, use this id`."""


@frozen
class StatusResult:
    """Operation `status`."""

    in_sync: bool
    stations: tuple[StationStatus, ...]
    at: datetime
