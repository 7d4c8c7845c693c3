"""What a station measures, and what its instances write."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from fleet.model.bounds import MAX_FAMILIES, MAX_SAMPLES, Boot


@frozen
class Sample:
    """One value of a metric family; `value` may be nan or infinite."""

    name: str
    labels: Mapping[str, str]
    value: float


@frozen
class Family:
    """A Prometheus metric family."""

    name: str
    type: str
    help: str
    samples: Annotated[tuple[Sample, ...], Meta(max_length=MAX_SAMPLES)]

    def of(self, role: str, instance: str) -> Sequence[Sample]:
        """The samples of an instance that are numbers; the machine's own have neither: `""`."""
        if len(self.samples) != 1:
            return self._by_instance.get((role, instance), ())
        (one,) = self.samples  # as nearly always; to sort it would take longer
        labels = one.labels
        is_its = (labels.get("role", ""), labels.get("role_instance", "")) == (role, instance)
        return self.samples if is_its and not math.isnan(one.value) else ()

    @cached_property
    def _by_instance(self) -> Mapping[tuple[str, str], list[Sample]]:
        found: dict[tuple[str, str], list[Sample]] = {}
        for one in self.samples:
            if not math.isnan(one.value):
                whose = one.labels.get("role", ""), one.labels.get("role_instance", "")
                found.setdefault(whose, []).append(one)
        return found


@frozen
class Telemetry:
    """Figures of a station and its roles, as Prometheus families."""

    boot: Boot
    at: datetime
    families: Annotated[tuple[Family, ...], Meta(max_length=MAX_FAMILIES)]

    @cached_property
    def by_name(self) -> Mapping[str, Family]:
        """Its families, the last of each name."""
        return {family.name: family for family in self.families}


@frozen
class LogLine:
    """One line an instance wrote; `stream` is `stdout` or `stderr`."""

    at: datetime
    role: str
    instance: str
    stream: str
    text: str


@frozen
class Log:
    """Lines of a station's instances; `dropped` counts those left out."""

    lines: tuple[LogLine, ...]
    dropped: Annotated[int, Meta(ge=0)]
