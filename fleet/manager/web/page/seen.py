"""A station and its room, as far as they are known now: what the page is made from. Pure."""

from collections.abc import Iterator, Mapping
from enum import IntEnum

from attrs import field, frozen

from fleet.manager.stations.readings import Readings
from fleet.model import InstanceStatus, Roles
from fleet.operations import StationStatus


class Level(IntEnum):
    """How much somebody is needed; the boards have the same four words."""

    FINE = 0
    UNKNOWN = 1
    LOOK = 2
    GO = 3


@frozen
class Use:
    """What happens in a room now. `in_use`: by its hours, or because a talk is on."""

    in_use: bool
    talk: bool

    @property
    def in_hours(self) -> Level:
        """How bad is what matters while the room is in use."""
        return Level.GO if self.in_use else Level.LOOK

    @property
    def in_talk(self) -> Level:
        """How bad is what matters while a talk is on."""
        return Level.GO if self.talk else Level.LOOK if self.in_use else Level.FINE


@frozen
class Seen:
    """One station as it is known now."""

    status: StationStatus
    seat: str | None
    where: str | None
    wanted: Roles
    readings: Readings
    maintenance: bool = False
    heard_of: bool = True
    """Whether anything was ever heard of it."""
    conflict: bool = False
    restarts: Mapping[tuple[str, str], int] = field(factory=dict)
    """Of the last five minutes, by role and instance; what was not restarted may be left out."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.status.name

    @property
    def captures(self) -> bool:
        """Whether something is lost when it is away."""
        return any(self.wanted.get(role) for role in ("record", "ingest"))

    def instances(self, role: str) -> Iterator[tuple[str, InstanceStatus]]:
        """The wanted instances of a role; `report` gives every wanted one a status."""
        for name in self.wanted.get(role, {}):
            yield name, self.status.roles[role][name]

    def shows_slides(self, role: str, instance: str) -> bool:
        """Whether it may be silent and without signal: laptops come and go."""
        settings = self.wanted.get(role, {}).get(instance, {})
        return self.seat == "slides" or settings.get("kind") == "slides"

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
