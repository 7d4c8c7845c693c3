"""The machine's own figures (processor, memory, space on disks, clock), and the agent's."""

import csv
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fleet.guard import Guard
from fleet.loop import LoopWatch

log = logging.getLogger(__name__)

_CLOCK_COMMANDS: Final = (
    ("chronyc", "-c", "tracking"),
    ("timedatectl", "timesync-status"),
)
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class FigureParts:
    """Parts of what a box tells, each read by itself; one that cannot be read is said once."""

    def __init__(self) -> None:
        self._silent: set[str] = set()

    def told(self, *parts: Callable[[], Iterable[Metric]]) -> Iterator[Metric]:
        """What can be read now."""
        for part in parts:
            name = getattr(part, "__name__", "")
            try:
                found = list(part())
            except Exception as error:  # drivers say many a thing
                if name not in self._silent:
                    log.warning("no figures of%s: %s", name.replace("_", " "), error)
                self._silent.add(name)
                continue
            self._silent.discard(name)
            yield from found


class MachineFigures(Collector):
    """Reads them at each collect, but the disks, which may hang, when `look` is called.

    `directories`: label -> a directory whose disk is watched. `clock_offset`: seconds by which
    this clock is off its time servers, None where nothing keeps it.
    """

    def __init__(
        self, directories: Mapping[str, Path], clock_offset: Callable[[], float | None]
    ) -> None:
        self._directories = directories
        self._usage: dict[str, tuple[int, int]] = {}
        """Label -> bytes, and bytes that are free, of disks that answered."""
        self._clock_offset = clock_offset
        self._parts = FigureParts()
        psutil.cpu_percent()

    def look(self) -> None:
        """See how full the disks are; blocks for as long as they do."""
        found = {}
        for label, directory in self._directories.items():
            with suppress(OSError):
                usage = shutil.disk_usage(directory)
                found[label] = usage.total, usage.free
        self._usage = found

    def collect(self) -> Iterator[Metric]:
        """The families, some absent where the machine does not tell."""
        yield from self._parts.told(_load, self._disks, self._clock)

    def _clock(self) -> Iterator[Metric]:
        offset = self._clock_offset()
        if offset is not None:
            yield _gauge("clock_offset_seconds", "How far this clock is off.", offset)

    def _disks(self) -> Iterator[Metric]:
        total = GaugeMetricFamily(
            "fleet_station_disk_total_bytes", "Size of the disk.", labels=["directory"]
        )
        free = GaugeMetricFamily(
            "fleet_station_disk_free_bytes", "Space left for the agent.", labels=["directory"]
        )
        for label, (size, left) in self._usage.items():
            total.add_metric([label], size)
            free.add_metric([label], left)
        yield total
        yield free


class AgentFigures(Collector):
    """The metrics `fleet_agent_*`."""

    def __init__(self, guard: Guard, watch: LoopWatch) -> None:
        self._guard = guard
        self._watch = watch
        self._process = psutil.Process()

    def collect(self) -> Iterator[Metric]:
        """The families; one that lists tasks has no sample as long as none has died."""
        with self._process.oneshot():
            times = self._process.cpu_times()
            memory = self._process.memory_info().rss
        yield CounterMetricFamily(
            "fleet_agent_cpu_seconds", "Processor time of the agent.", times.user + times.system
        )
        yield GaugeMetricFamily("fleet_agent_resident_memory_bytes", "Memory of the agent.", memory)
        yield GaugeMetricFamily(
            "fleet_agent_loop_lag_seconds",
            "How late the agent's event loop was at most, of late.",
            self._watch.lag,
        )
        deaths = CounterMetricFamily(
            "fleet_agent_task_deaths", "Deaths of tasks that then began again.", labels=["task"]
        )
        for task, count in sorted(self._guard.deaths.items()):
            deaths.add_metric([task], count)
        yield deaths


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fleet_station_{name}", text, value)


def _load() -> Iterator[Metric]:
    memory, used = psutil.virtual_memory(), psutil.cpu_percent() / 100
    yield _gauge("cpu_usage_ratio", "Share of all processors in use.", used)
    yield _gauge("cpus", "Processors.", psutil.cpu_count() or 1)
    yield _gauge("load5", "Load average over five minutes.", os.getloadavg()[1])
    yield _gauge("memory_total_bytes", "Memory.", memory.total)
    yield _gauge("memory_available_bytes", "Memory that can be had.", memory.available)
    yield _gauge("boot_timestamp_seconds", "When the machine started.", psutil.boot_time())


def clock_offset() -> float | None:
    """Asks chrony, else systemd-timesyncd; blocks for some milliseconds."""
    # What systemd's own programs notify of would be taken for the agent's: a line in the journal.
    environment = {name: it for name, it in os.environ.items() if name != "NOTIFY_SOCKET"}
    for command in _CLOCK_COMMANDS:
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=5, check=True
            )
        except (OSError, subprocess.SubprocessError):
            continue
        offset = parse_clock_offset(done.stdout)
        if offset is not None:
            return offset
    return None


def parse_clock_offset(text: str) -> float | None:
    """Seconds out of `chronyc -c tracking` (its fifth field) or `timedatectl timesync-status`.

    >>> parse_clock_offset("7F7F0101,,10,1764.5,-0.000250,0.1,0.1,0,0,0,0,0,0,Normal")
    -0.00025
    >>> parse_clock_offset("  Leap: normal\\n Offset: +1.5ms\\n")
    0.0015
    """
    found = re.search(r"^\s*Offset:\s*([+-]?[\d.]+)(us|ms|min|s|h|d)\b", text, re.MULTILINE)
    if found:
        return float(found[1]) * _UNITS[found[2]]
    fields = next(csv.reader([text.strip()]), [])
    # A chrony that follows nobody yet reports "Not synchronised" and an offset of no meaning.
    if len(fields) == 14 and fields[13] != "Not synchronised":
        return float(fields[4])
    return None
