"""The state of the stations, and what is said about them and their rooms."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen
from msgspec import Meta

from fleet.model import (
    STOPPED_BY_HAND,
    InstanceStatus,
    PresenceState,
    Problem,
    State,
    StopByHand,
)
from fleet.operations.health import HealthFinding, Standing
from fleet.operations.notifications import RoomAck
from fleet.operations.recordings import TalkReceipt
from fleet.operations.schedule import RoomTalk

Seconds = Annotated[float, Meta(gt=0, le=366 * 86400)]


@frozen
class InstanceReport(InstanceStatus):
    """One instance as people are shown it; `since` is when a failure began, not its last try."""

    live: bool | None = None
    """Of a mixer: whether its blankable output shows the program; None of all else."""
    recorded_bytes: int | None = None
    """What it has written since it was started; None where it records nothing, or nobody knows."""


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
    roles: Mapping[str, Mapping[str, InstanceReport]]
    """Every instance that is wanted or runs."""
    by: str | None = None
    """Who wanted that, None where nothing is wanted."""
    note: str | None = None
    """What a person should know besides: `conflict: two boxes, a and b, use this id`."""
    conflict: bool = False
    """Whether two boxes use its id."""
    presence_since: datetime | None = None
    """When its presence became so, as far as that is known."""
    standing: Standing = Standing.WORKING
    why: str | None = None
    """Why it is not in sync, None where it is."""
    well: bool = False
    """Whether nobody needs to look after it."""
    findings: tuple[HealthFinding, ...] = ()
    """What is wrong with it, the worst first."""
    stops: tuple[StopByHand, ...] = ()
    """What people have stopped there, also where it has not come about yet."""

    def unstopped(self, stop: StopByHand) -> str | None:
        """`not yet` or `not wanted any more`; None where it stands still as somebody said."""
        said = self.roles.get(stop.role, {}).get(stop.instance)
        if said is None:
            return "not wanted any more"
        is_so = said.state is State.STOPPED and said.reason == STOPPED_BY_HAND
        return None if is_so else "not yet"


@frozen
class RoomStatus:
    """One room. `findings`: what is wrong with it as a whole, beside what its stations have."""

    name: str
    findings: tuple[HealthFinding, ...]


@frozen
class StatusResult:
    """Operation `status`, by room and name. `timezone`: the conference's, as IANA calls it."""

    in_sync: bool
    stations: tuple[StationStatus, ...]
    at: datetime
    timezone: str = "UTC"
    rooms: tuple[RoomStatus, ...] = ()
    """Those with something wrong."""
    findings: tuple[HealthFinding, ...] = ()
    """What is wrong with no room alone."""
    talks: tuple[RoomTalk, ...] = ()
    """Of the rooms that the schedule knows."""
    receipts: tuple[TalkReceipt, ...] = ()
    """Of the talks of today that are over."""
    acknowledged: tuple[RoomAck, ...] = ()
    """The rooms that somebody sees to."""


@frozen
class RetireArguments:
    """Operation `retire`: want nothing of a station (name or id) any more, and forget it."""

    station: str
    force: bool = False
    """Also while it is online."""


@frozen
class AdoptArguments:
    """Operation `adopt`: what a station (name or id) that nothing is wanted of runs is wanted."""

    station: str


@frozen
class StationResult:
    """The station that was retired or adopted, and its revision (0 where it has none)."""

    id: str
    name: str
    revision: int


@frozen
class MaintenanceArguments:
    """Operation `maintenance`, of a room or a station (name or id).

    `seconds`: how long, None until it is ended.
    """

    target: str
    on: bool
    seconds: Seconds | None = None


@frozen
class TalkArguments:
    """Operation `talk`. `seconds`: how long it holds, None for as long as is usual."""

    room: str
    talk: Literal["on", "off", "auto"]
    seconds: Seconds | None = None


@frozen
class SaidResult:
    """What holds now. `until`: None where it has no end."""

    kind: Literal["room", "station"]
    name: str
    state: str
    """`on`, `off` or `auto`."""
    until: datetime | None
    timezone: str = "UTC"
    """The conference's."""
