"""What is known of one station at one moment: its desired and its reported state. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import field, frozen

from fleet.manager.conference.talks import TalksNow
from fleet.model import (
    Ack,
    Family,
    InstanceStatus,
    PresenceState,
    Roles,
    Sample,
    Settings,
    State,
    Status,
    Telemetry,
)
from fleet.operations.health import HealthLevel
from fleet.operations.stations import StationStatus
from fleet.strict import EARLIEST, LATEST

SLIDES: Final = "slides"
"""The seat, and the kind of monitor, that may be silent and without signal."""
BLANK: Final = "StreamBlank"
"""The reason of a mixer that shows nothing on its blankable output."""

AT_WORK: Final = (State.STARTING, State.RUNNING, State.BACKOFF, State.STOPPING)
"""What an instance does that may have something in hand."""


def is_live(role: str, settings: Settings, one: InstanceStatus) -> bool | None:
    """Whether what a room sends out is live or blank; None where there is no saying."""
    blankable = "blankable" in settings.get("outputs", ("blankable",))
    if role != "mix" or one.state is not State.RUNNING or not blankable:
        return None
    return one.reason != BLANK


@frozen
class ReportedState:
    """What a station said of itself, as far as it may be believed now."""

    presence: PresenceState
    ack: Ack | None = None
    status: Status | None = None
    conflict: bool = False
    """Whether two boxes use its id."""
    ever: bool = True
    """Whether it was ever heard of."""


@frozen
class RoomUse:
    """What happens in a room now. `in_use`: by its hours, or because a talk is on.

    `talks`: what the schedule says of it, None where it does not know the room; `unscheduled`:
    whether it should, by the names the conference file gives for it.
    """

    in_use: bool
    talk: bool
    talks: TalksNow | None = None
    unscheduled: bool = False
    must_be_blank: bool = False
    """Whether a talk is on that must not be streamed, and the schedule is to see to that."""

    @property
    def in_hours(self) -> HealthLevel:
        """How bad is what matters while the room is in use."""
        return HealthLevel.GO if self.in_use else HealthLevel.LOOK

    @property
    def in_talk(self) -> HealthLevel:
        """How bad is what matters while a talk is on."""
        if self.talk:
            return HealthLevel.GO
        return HealthLevel.LOOK if self.in_use else HealthLevel.FINE


@frozen
class Readings:
    """What a station measured last; moments are Unix seconds of the manager's clock."""

    heard: float
    """When it came in."""
    _sent: float
    """When it was sent, by the station's own clock."""
    _families: Mapping[str, Family]

    @classmethod
    def none(cls) -> "Readings":
        """Nothing is known, or no more."""
        return cls(0.0, 0.0, {})

    @classmethod
    def of(cls, telemetry: Telemetry, heard: float) -> "Readings":
        """All that came in at `heard`."""
        return cls(heard, telemetry.at.timestamp(), telemetry.by_name)

    def values(self, name: str, role: str = "", instance: str = "") -> Sequence[Sample]:
        """The samples of a gauge that are numbers; the machine's own have no role."""
        family = self._families.get(name)
        return () if family is None else family.of(role, instance)

    def value(self, name: str, role: str = "", instance: str = "") -> float | None:
        """The first of them."""
        found = self.values(name, role, instance)
        return found[0].value if found else None

    def moment(self, name: str, role: str, instance: str) -> float | None:
        """A `…_timestamp_seconds` by the manager's clock, however wrong the station's is."""
        stamp = self.value(name, role, instance)
        if not stamp:
            return None
        first, last = EARLIEST.timestamp(), LATEST.timestamp()
        return min(max(stamp + self.heard - self._sent, first), last)


@frozen
class StationState:
    """One station. `wanted`: its desired roles, without what stands still because somebody stopped
    it; `status`: all of them beside what it reported.
    """

    status: StationStatus
    seat: str | None
    where: str | None
    wanted: Roles
    readings: Readings
    maintenance: bool = False
    missing: str | None = None
    """In words, that nothing was heard of it though it could be."""
    credential_ends: datetime | None = None
    """When what it comes in with is over; None where it did not join."""
    crashes: Mapping[tuple[str, str], int] = field(factory=dict)
    """Of the last five minutes, by role and instance; what did not crash may be left out."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.status.name

    @property
    def captures(self) -> bool:
        """Whether something is lost when it is away."""
        return any(self.wanted.get(role) for role in ("record", "ingest"))

    def instances(self, role: str) -> Iterator[tuple[str, InstanceStatus]]:
        """The wanted instances of a role; every wanted one has a status."""
        for name in self.wanted.get(role, {}):
            yield name, self.status.roles[role][name]

    def shows_slides(self, role: str, instance: str) -> bool:
        """Whether it may be silent and without signal: laptops come and go."""
        settings = self.wanted.get(role, {}).get(instance, {})
        return SLIDES in (self.seat, settings.get("kind"))

    @property
    def disk_seconds(self) -> float | None:
        """How long its disk lasts if it goes on writing as now; None where nothing is written."""
        readings = self.readings
        bits = sum(
            readings.value("fleet_recording_bitrate_bits_per_second", "record", name) or 0.0
            for name in self.wanted.get("record", {})
        ) + sum(
            readings.value("fleet_ingest_bitrate_bits_per_second", "ingest", name) or 0.0
            for name in self.wanted.get("ingest", {})
            if readings.value("fleet_ingest_local_copy", "ingest", name) == 1
        )
        free = readings.value("fleet_station_disk_free_bytes")
        return free * 8 / bits if free is not None and bits > 0 else None
