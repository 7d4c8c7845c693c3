"""What `fleet doctor` asks the manager: each station's facts, and what needs fixing there."""

from datetime import datetime

from attrs import frozen

from fleet.model import PresenceState


@frozen
class StationFacts:
    """One station as the manager knows it."""

    id: str
    name: str
    room: str | None
    presence: PresenceState
    wanted: bool
    """Whether something is wanted of it."""
    conflict: bool
    """Whether two boxes use its id."""
    hostnames: tuple[str, ...]
    """Of its box, or of those in conflict."""
    agent: str | None
    """The version of its agent."""
    address: str | None
    """Where the conference file says that others reach it."""
    addresses: tuple[str, ...]
    """Those it says it has itself."""
    said_at: datetime | None
    """When it last said anything, by its own clock."""
    clock_offset: float | None
    """Seconds its clock is ahead of the manager's; None until its next heartbeat."""
    left_out: int = 0
    """What it said that cost more than one station may, and was left out."""
    reached_as: str | None = None
    """The name by which others have to find it, for the file gives it no address; None where
    nobody reads it.
    """
    not_kept: tuple[str, ...] = ()
    """Instances that people have stopped and it cannot keep stopped."""


@frozen
class DoctorFinding:
    """One thing to fix. `kind`: a CamelCase code; `subject`: what or who it is about."""

    kind: str
    subject: str
    message: str
    fix: str


@frozen
class DoctorResult:
    """Operation `doctor`. `boot` and `version` are the manager's."""

    boot: str
    version: str
    at: datetime
    stations: tuple[StationFacts, ...]
    fixes: tuple[DoctorFinding, ...] = ()
    """What needs fixing at the stations, as the manager judges it."""
    not_well: int = 0
    """Stations with which something is wrong at the moment, as `status` says it."""
