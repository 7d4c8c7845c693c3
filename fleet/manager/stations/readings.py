"""One station's newest figures, to be looked up one by one. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from fleet.model import Family, Telemetry

_OWN: Final = ("role", "role_instance")


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
        families = {family.name: family for family in telemetry.families}
        return cls(heard, telemetry.at.timestamp(), families)

    def values(
        self, name: str, role: str = "", instance: str = ""
    ) -> Iterator[tuple[Mapping[str, str], float]]:
        """The samples of a gauge that are numbers; the machine's own have no role."""
        family = self._families.get(name)
        for sample in family.samples if family else ():
            own = tuple(sample.labels.get(label, "") for label in _OWN)
            if own == (role, instance) and not math.isnan(sample.value):
                yield sample.labels, sample.value

    def value(self, name: str, role: str = "", instance: str = "") -> float | None:
        """The first of them."""
        return next((value for _, value in self.values(name, role, instance)), None)

    def moment(self, name: str, role: str, instance: str) -> float | None:
        """A `…_timestamp_seconds` by the manager's clock, however wrong the station's is."""
        stamp = self.value(name, role, instance)
        return stamp + self.heard - self._sent if stamp else None
