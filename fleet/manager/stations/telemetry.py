"""What stations measure, for Prometheus: the newest telemetry of each, while it is fresh.

Families of one name are merged over all stations. The labels `station` and `room` come from
the topic and the inventory, never from a payload. What a station sends can hurt its own rows alone:
names that are the manager's or Prometheus' are left out, and where stations do not agree on a type
it is `unknown`, which loses nobody's samples. Pure: the time is given.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import frozen
from prometheus_client.metrics_core import METRIC_TYPES, Metric

from fleet.model import SILENT_INTERVALS, Family, Telemetry

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,199}")
"""Without a colon: those are the recording rules'."""
_PROMETHEUS: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE", "up"})
_SCRAPING: Final = "scrape_"
"""Begins the names that Prometheus adds at each scrape."""
_OWN: Final = ("", "_total", "_created", "_info", "_bucket", "_count", "_sum", "_gsum", "_gcount")
"""What may follow the name of a family in one of its samples."""
_TEXT: Final = 300
"""Characters of a label's value or a help text that are shown."""
_SERIES: Final = 5000
"""Samples of one station that are shown."""
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_TYPES: Final = frozenset(METRIC_TYPES)
_SUFFIXES: Final = {
    "counter": ("_total",),
    "summary": ("_count", "_sum", ""),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
}


_SHOWN: Final = {"counter": "_total", "info": "_info"}
"""What follows a family's name where its type is told."""
_Usable = tuple[str, dict[str, str], float]
"""Name, labels and value of a sample."""


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
        self._reserved = frozenset(name + end for name in reserved for end in _OWN)
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
        for station, heard in self._heard.items():
            whose = {"station": station, "room": room(station)}
            for family, samples in self._usable(heard.telemetry):
                shown = family.name + _SHOWN.get(family.type, "")
                metric = merged.get(shown)
                if metric is None:
                    about = family.help[:_TEXT]
                    metric = merged[shown] = Metric(family.name, about, family.type)
                elif metric.type != family.type:
                    metric.name, metric.type = shown, "unknown"
                for name, labels, value in samples:
                    metric.add_sample(name, {**labels, **whose}, value)
        yield from merged.values()

    def _usable(self, telemetry: Telemetry) -> Iterator[tuple[Family, list[_Usable]]]:
        """The families of one station, each with what of it breaks the page for nobody."""
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for family in telemetry.families:
            if family.type not in _TYPES or not self._free(family.name):
                continue
            ends = _SUFFIXES.get(family.type, ("",))
            names = {family.name + end for end in ends if self._free(family.name + end)}
            samples: list[_Usable] = []
            for sample in family.samples:
                labels = {name: value[:_TEXT] for name, value in sample.labels.items()}
                identity = (sample.name, tuple(sorted(labels.items())))
                if (
                    len(seen) < _SERIES
                    and identity not in seen
                    and sample.name in names
                    and all(_LABEL.fullmatch(label) for label in labels)
                ):
                    seen.add(identity)
                    samples.append((sample.name, labels, sample.value))
            if samples or not family.samples:
                yield family, samples

    def _free(self, name: str) -> bool:
        """Whether a station may use it."""
        return (
            _NAME.fullmatch(name) is not None
            and name not in self._reserved
            and name not in _PROMETHEUS
            and not name.startswith(_SCRAPING)
        )
