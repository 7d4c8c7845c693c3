"""What a station tells all the time: figures, gathered into one payload, and log lines.

A role registers prometheus_client metrics with its host as its author knows it; here they
become families with the labels `role` and `role_instance`. The manager adds `station` and
`room`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import islice
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client import samples as prometheus
from prometheus_client.metrics_core import Metric

from fleet.agent.engine.reconcile import Key
from fleet.guard import HeldUp, containing
from fleet.model import MAX_PAYLOAD, Family, Log, LogLine, Sample, Telemetry
from fleet.wire import encode

MAX_SERIES: Final = 200
"""Series a role may have, all its instances together."""
MOST_WAITING: Final = 2000
"""Log lines that wait for a broker at most."""
READ_SECONDS: Final = 0.5
"""Of the processor that reading the metrics of an instance may take: all others wait meanwhile."""
_TEXT: Final = 300
"""Characters of a name, a label's value or a help text."""
_LABELS: Final = 20
"""Labels of a series, besides whose it is."""
_ENVELOPE: Final = 100
_OMITTED = "fleet_role_series_omitted"


class TooSlow(Exception):
    """Nobody reads the metrics of this running any more."""


def gather(
    boot: str,
    at: datetime,
    roles: Mapping[Key, CollectorRegistry],
    own: CollectorRegistry,
    read: Callable[[Key | None, Exception | None], None],
    working_for: Callable[[Key], AbstractContextManager[None]],
    shown: Callable[[str], str] = str,
) -> bytes:
    """The payload: the station's own families, then those of each role.

    `read` is called with whose metrics were read, None for the station's own, and what they raised:
    then there are none of them this time. `working_for` is entered for whoever is asked. `shown`
    makes of a label's value what may be told of it.

    A role past `MAX_SERIES` series, or past what a payload holds, loses the rest and
    `fleet_role_series_omitted` says how many.
    """
    families = _Families()
    try:
        for metric, samples in _collect(own, {}):
            families.add(metric, samples)
    except Exception as error:
        read(None, error)
    omitted: dict[str, int] = {}
    series: dict[str, int] = {}
    for key, registry in sorted(roles.items()):
        omitted.setdefault(key.role, 0)
        labels = {"role": key.role, "role_instance": key.instance}
        try:
            began = time.thread_time()
            with working_for(key), containing():
                found = _collect(registry, labels, shown)
            took = time.thread_time() - began
            if took > READ_SECONDS:
                raise TooSlow(f"reading them took {took:.1f} s, of which all others have to wait")
        except HeldUp as error:
            read(key, TooSlow(str(error)))
            continue
        except Exception as error:
            read(key, error)
            continue
        read(key, None)
        for metric, samples in (one for one in found if one[1]):
            left = MAX_SERIES - series.get(key.role, 0)
            families.add(metric, samples[:left])
            series[key.role] = series.get(key.role, 0) + len(samples[:left])
            omitted[key.role] += len(samples[left:])
    while True:
        payload = encode(Telemetry(boot, at, (*families.made(), _omitted(omitted))))
        if len(payload) <= MAX_PAYLOAD:
            return payload
        for role, count in families.halve().items():
            omitted[role] = omitted.get(role, 0) + count


def _collect(
    registry: CollectorRegistry, labels: Mapping[str, str], shown: Callable[[str], str] = str
) -> list[tuple[Metric, list[Sample]]]:
    return [
        (metric, [_sample(one, labels, shown) for one in metric.samples if not _created(one)])
        for metric in registry.collect()
    ]


def _sample(
    one: prometheus.Sample, labels: Mapping[str, str], shown: Callable[[str], str]
) -> Sample:
    own = {
        _cut(name): _cut(shown(str(value))) for name, value in islice(one.labels.items(), _LABELS)
    }
    return Sample(_cut(one.name), {**own, **labels}, float(one.value))


def _cut(text: object) -> str:
    return str(text)[:_TEXT]


def _created(one: prometheus.Sample) -> bool:
    return one.name.endswith("_created")


def _omitted(omitted: Mapping[str, int]) -> Family:
    return Family(
        _OMITTED,
        "gauge",
        "Series a role has beyond what a station reports.",
        tuple(Sample(_OMITTED, {"role": role}, float(n)) for role, n in sorted(omitted.items())),
    )


class _Families:
    """Families by name: instances of one role share them."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Metric, list[Sample]]] = {}

    def add(self, metric: Metric, samples: Iterable[Sample]) -> None:
        _, mine = self._by_name.setdefault(metric.name, (metric, []))
        mine.extend(samples)

    def made(self) -> Iterator[Family]:
        for name, (metric, samples) in self._by_name.items():
            yield Family(_cut(name), _cut(metric.type), _cut(metric.documentation), tuple(samples))

    def halve(self) -> dict[str, int]:
        """Drop every second series of the role that says most; how many went, by role."""
        said: Counter[str] = Counter()
        for _, samples in self._by_name.values():
            for sample in samples:
                said[_whose(sample)] += len(sample.name) + sum(map(len, sample.labels.values()))
        ((most, _),) = said.most_common(1)
        gone, odd = 0, True
        for name, (metric, samples) in list(self._by_name.items()):
            kept = []
            for sample in samples:
                odd = not odd if _whose(sample) == most else odd
                if _whose(sample) != most or odd:
                    kept.append(sample)
            gone += len(samples) - len(kept)
            self._by_name[name] = metric, kept
            if samples and not kept:
                del self._by_name[name]
        return {most: gone}


def _whose(sample: Sample) -> str:
    return sample.labels.get("role", "")


class LogOutbox:
    """Lines of instances on their way to the log topic: batched, and counted when dropped.

    What an instance may say in a second is limited where its output is read; this keeps what a
    broker that is away for long would pile up, and payloads short enough.
    """

    def __init__(self) -> None:
        self._waiting: list[LogLine] = []
        self._dropped = 0

    def add(self, line: LogLine) -> None:
        """Keep `line`, or count it as dropped where too many wait."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(line)
        else:
            self._dropped += 1

    def drop(self, lines: int) -> None:
        """Count lines that somebody else left out."""
        self._dropped += lines

    def take(self) -> Iterator[bytes]:
        """Payloads with all that waits."""
        lines, dropped = self._waiting, self._dropped
        self._waiting, self._dropped = [], 0
        while lines or dropped:
            count, size = 0, _ENVELOPE
            while count < len(lines):
                size += len(encode(lines[count])) + 1
                if size > MAX_PAYLOAD:
                    break
                count += 1
            yield encode(Log(tuple(lines[:count]), dropped))
            lines, dropped = lines[count:], 0
