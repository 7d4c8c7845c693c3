"""What stations measure, for Prometheus: the newest telemetry of each, while it is fresh.

Families of one name are merged over all stations. The labels `station` and `room` come from
the topic and the inventory, never from a payload. Pure: the time is given.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import frozen
from prometheus_client.metrics_core import METRIC_TYPES, Metric

from fleet.model import SILENT_INTERVALS, Family, Sample, Telemetry

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_TYPES: Final = frozenset(METRIC_TYPES)
_SUFFIXES: Final = {
    "counter": ("_total",),
    "summary": ("_count", "_sum", ""),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
}


@frozen
class _Heard:
    telemetry: Telemetry
    at: float
    """The monotonic second it was heard in."""
    until: float
    """The one after which it is stale."""


class Figures:
    """The newest telemetry of each station. `reserved`: family names that are the manager's."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved = frozenset(reserved)
        self._heard: dict[str, _Heard] = {}

    def fold(self, station: str, telemetry: Telemetry, interval: float, now: float) -> None:
        """Keep it for three of the station's intervals (seconds)."""
        self._heard[station] = _Heard(telemetry, now, now + SILENT_INTERVALS * interval)

    def latest(self, station: str, now: float) -> tuple[Telemetry, float] | None:
        """What a station sent last and when it was heard, while that is fresh."""
        heard = self._heard.get(station)
        return (heard.telemetry, heard.at) if heard and now <= heard.until else None

    def forget(self, station: str) -> None:
        """Drop what a station measured."""
        self._heard.pop(station, None)

    def families(self, now: float, room: Callable[[str], str]) -> Iterator[Metric]:
        """All that is fresh; `room` gives a station's room, '' without one."""
        self._heard = {id_: one for id_, one in self._heard.items() if now <= one.until}
        merged: dict[str, Metric] = {}
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for station, heard in self._heard.items():
            whose = {"station": station, "room": room(station)}
            for family in heard.telemetry.families:
                if not self._usable(family):
                    continue
                metric = merged.get(family.name)
                if metric is None:
                    metric = merged[family.name] = Metric(family.name, family.help, family.type)
                elif metric.type != family.type:
                    continue
                for sample in family.samples:
                    labels = {**sample.labels, **whose}
                    identity = (sample.name, tuple(sorted(labels.items())))
                    if identity not in seen and _belongs(sample, family):
                        seen.add(identity)
                        metric.add_sample(sample.name, labels, sample.value)
        yield from merged.values()

    def _usable(self, family: Family) -> bool:
        return (
            family.type in _TYPES
            and _NAME.fullmatch(family.name) is not None
            and family.name not in self._reserved
        )


def _belongs(sample: Sample, family: Family) -> bool:
    """A sample that would break the page for every other station is left out."""
    suffixes = _SUFFIXES.get(family.type, ("",))
    return sample.name in {family.name + suffix for suffix in suffixes} and all(
        _LABEL.fullmatch(label) for label in sample.labels
    )
