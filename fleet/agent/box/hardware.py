"""How the box itself fares: power, heat, processor, network, disks.

Linux tells all of it in files; `root` is where they lie, so that tests can bring their own. A
driver may take its time, so they are read beside the event loop, and what was not read of late is
not told.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fleet.agent.box.figures import FigureParts

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""Seconds between two looks."""
SMART: Final = "run/fleet-smart"
"""Where `fleet-smart.service`, which may ask the disks, leaves what they say."""
_FRESH_SECONDS: Final = 60.0
_SMART_SECONDS: Final = 2 * 3600.0
"""So long is believed what the disks said."""
_SHARE_SECONDS: Final = 60.0
_FEW_SEGMENTS: Final = 200
"""TCP segments in that time of which a share tells nothing."""
_MOST: Final = 64
"""Sensors, cards, disks or batteries that are told."""
_MOST_BYTES: Final = 256 * 1024
_FIRMWARE: Final = "sys/devices/platform/soc/soc:firmware/get_throttled"
"""A Raspberry Pi's own word, in hex: its power is too weak now (1), it is slowed down (2 to 8)."""
_SLOWED: Final = ("processor", "cpufreq", "thermal-cpufreq", "cpu-freq")
"""What the type of a cooling device begins with that slows the processor down."""


class HardwareFigures(Collector):
    """Tells what the last `look` found; `clock` in monotonic seconds."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._found: tuple[float, list[Metric]] = (clock(), [])
        self._throttles: int | None = None
        self._segments: deque[tuple[float, int, int]] = deque()
        """When, TCP segments sent until then, and those of them that were sent again."""
        self._parts = FigureParts()

    def look(self) -> None:
        """Read everything now; blocks for as long as drivers do."""
        found = self._parts.told(
            self._power,
            self._heat,
            self._slowed,
            self._voltage,
            self._sent_again,
            self._links,
            self._disks,
        )
        self._found = self._clock(), list(found)

    def collect(self) -> Iterator[Metric]:
        """The families, some absent where the machine does not tell."""
        at, found = self._found
        if self._clock() - at <= _FRESH_SECONDS:
            yield from found

    def _power(self) -> Iterator[Metric]:
        adapters, discharging, charges = [], [], []
        for supply in self._each("sys/class/power_supply/*"):
            kind = _read(supply / "type")
            if _read(supply / "scope") == "Device":
                continue  # the battery of a mouse
            if kind in ("Battery", "UPS"):
                discharging.append(_read(supply / "status") == "Discharging")
                charges += [] if (full := _number(supply / "capacity")) is None else [full / 100]
            elif kind == "Mains" or kind.startswith("USB"):
                adapters.append(_read(supply / "online") == "1")
        if not discharging:
            return  # without a battery it is off where there is no mains
        mains = any(adapters) if adapters else not any(discharging)
        yield _gauge("mains", "Whether it runs on mains; absent where it has no battery.", mains)
        if charges:
            text = "How full the battery is, the emptiest of several."
            yield _gauge("battery_charge_ratio", text, min(charges))

    def _heat(self) -> Iterator[Metric]:
        hottest: dict[str, float] = {}
        for sensor in self._each("sys/class/hwmon/*/temp*_input"):
            _hotter(hottest, _read(sensor.parent / "name"), sensor)
        if not hottest:
            for sensor in self._each("sys/class/thermal/thermal_zone*/temp"):
                _hotter(hottest, _read(sensor.parent / "type"), sensor)
        yield _labelled("temperature_celsius", "Temperature, by sensor.", "sensor", hottest)

    def _slowed(self) -> Iterator[Metric]:
        """By what cools it, or by Intel's counters, which count each time."""
        cooling = [
            _number(device / "cur_state")
            for device in self._each("sys/class/thermal/cooling_device*")
            if _read(device / "type").lower().startswith(_SLOWED)
        ]
        counts = [
            _number(count)
            for count in self._each("sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
        ]
        before, self._throttles = self._throttles, sum(it or 0 for it in counts) if counts else None
        risen = before is not None and self._throttles is not None and self._throttles > before
        firmware = self._firmware()
        if cooling or counts or firmware is not None:
            slowed = risen or any(cooling) or bool((firmware or 0) & 0b1110)
            yield _gauge("throttled", "Whether heat slows its processor down.", slowed)

    def _voltage(self) -> Iterator[Metric]:
        """Only what a chip itself calls critical: a Raspberry Pi's tells of a poor power supply."""
        alarms = [_read(alarm) for alarm in self._each("sys/class/hwmon/*/in*_lcrit_alarm")]
        firmware = self._firmware()
        if alarms or firmware is not None:
            weak = "1" in alarms or bool((firmware or 0) & 1)
            yield _gauge("undervoltage", "Whether its power supply is too weak.", weak)

    def _firmware(self) -> int | None:
        try:
            return int(_read(self._root / _FIRMWARE), 16)
        except ValueError:
            return None

    def _sent_again(self) -> Iterator[Metric]:
        lines = [
            line.split()[1:]
            for line in _read(self._root / "proc/net/snmp").splitlines()
            if line.startswith("Tcp:")
        ]
        if len(lines) < 2:
            return
        values = dict(zip(*lines[:2], strict=False))
        now = self._clock()
        self._segments.append((now, int(values["OutSegs"]), int(values["RetransSegs"])))
        while now - self._segments[0][0] > _SHARE_SECONDS:
            self._segments.popleft()
        _, sent, again = self._segments[0]
        sent, again = int(values["OutSegs"]) - sent, int(values["RetransSegs"]) - again
        share = max(0.0, again / sent) if sent >= _FEW_SEGMENTS else 0.0
        text = "Share of TCP segments that had to be sent again, over a minute."
        yield _gauge("tcp_retransmit_ratio", text, share)

    def _links(self) -> Iterator[Metric]:
        up: dict[str, float] = {}
        speed: dict[str, float] = {}
        duplex: dict[str, float] = {}
        for card in self._each("sys/class/net/*"):
            if not (card / "device").exists():
                continue
            name = card.name
            up[name] = float(_read(card / "carrier") == "1")
            megabits = _number(card / "speed")
            if up[name] and megabits is not None and megabits > 0:
                speed[name] = megabits * 1e6 / 8
                duplex[name] = float(_read(card / "duplex") == "full")
        yield _labelled("link_up", "Whether the network link is there.", "interface", up)
        text = "Speed of the link."
        yield _labelled("link_bytes_per_second", text, "interface", speed)
        yield _labelled("link_full_duplex", "Whether it is full duplex.", "interface", duplex)

    def _disks(self) -> Iterator[Metric]:
        found = {name: float(well) for name, well in smart(self._root).items()}
        text = "Whether the disk itself says that it is well (SMART)."
        yield _labelled("disk_healthy", text, "device", found)

    def _each(self, pattern: str) -> Iterator[Path]:
        return islice(sorted(self._root.glob(pattern)), _MOST)


def smart(root: Path = Path("/")) -> dict[str, bool]:
    """What each disk said of late of itself, by name; empty where none was asked or has a word."""
    files = islice(sorted((root / SMART).glob("*.json")), _MOST)
    return {file.stem: well for file in files if (well := _smart_health(file)) is not None}


def _smart_health(file: Path) -> bool | None:
    """What `smartctl --json --health` left in `file`; None where it is old or says nothing."""
    try:
        if time.time() - file.stat().st_mtime > _SMART_SECONDS:
            return None
        said: Any = json.loads(_read(file) or "{}")
        passed = said["smart_status"]["passed"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return passed if isinstance(passed, bool) else None


def _hotter(hottest: dict[str, float], chip: str, sensor: Path) -> None:
    found = _number(sensor)
    if found is not None:
        hottest[chip] = max(found / 1000, hottest.get(chip, found / 1000))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fleet_station_{name}", text, value)


def _labelled(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"fleet_station_{name}", text, labels=[label])
    for of, value in values.items():
        family.add_metric([of], value)
    return family


def _number(file: Path) -> int | None:
    text = _read(file)
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else None


def _read(file: Path) -> str:
    try:
        with file.open(errors="replace") as opened:
            return opened.read(_MOST_BYTES).strip()
    except (OSError, ValueError):
        return ""
