"""How a box fares is read from files; here from a tree made for it (no battery, sensor or disk)."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleet.agent.box.hardware import SMART, HardwareFigures, smart
from fleet.agent.local import check
from tests.processes import ROOT

UNIT = ROOT / "systemd/fleet-smart.service"
SMARTCTL = """#!/bin/sh
case "$*" in
--scan) printf '/dev/%s\\n' 'sda -d sat # /dev/sda [SAT]' 'nvme0 -d nvme # NVMe device' ;;
"--json=c --health -d sat /dev/sda") echo '{"smart_status":{"passed":true}}' ;;
"--json=c --health -d nvme /dev/nvme0") echo '{"smart_status":{"passed":false}}'; exit 8 ;;
*) exit 1 ;;
esac"""
CHARGING = {"type": "Battery", "status": "Charging", "capacity": "80"}
DRAINING = CHARGING | {"status": "Discharging", "capacity": "12"}
MAINS_ON, MAINS_OFF = {"type": "Mains", "online": "1"}, {"type": "Mains", "online": "0"}


def put(root: Path, files: Mapping[str, object]) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


def supplies(root: Path, *each: Mapping[str, str]) -> None:
    for number, one in enumerate(each):
        put(root, {f"sys/class/power_supply/S{number}/{name}": it for name, it in one.items()})


class Box:
    """A tree, the clock it is looked at by, and what it then says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 0.0
        self.figures = HardwareFigures(root, lambda: self.now)

    def look(self, seconds: float = 10.0) -> dict[str, float | dict[str, float]]:
        self.now += seconds
        self.figures.look()
        return self.said()

    def said(self) -> dict[str, float | dict[str, float]]:
        found: dict[str, float | dict[str, float]] = {}
        for family in self.figures.collect():
            values = {" ".join(one.labels.values()): one.value for one in family.samples}
            found[family.name.removeprefix("fleet_station_")] = values.get("", values)
        return found


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.mark.parametrize(
    ("there", "mains"),
    [
        ((), None),
        ((MAINS_ON,), None),
        ((MAINS_OFF, {"type": "USB", "online": "0"}), None),
        ((MAINS_ON, CHARGING), 1.0),
        ((MAINS_OFF, DRAINING), 0.0),
        ((MAINS_OFF, {"type": "USB_C", "online": "1"}, CHARGING), 1.0),
        ((CHARGING,), 1.0),
        ((DRAINING,), 0.0),
        (({"type": "UPS", "status": "Discharging"},), 0.0),
        ((DRAINING | {"scope": "Device"},), None),
    ],
)
def test_a_box_with_a_battery_says_whether_it_runs_on_mains(
    box: Box, there: tuple[Mapping[str, str], ...], mains: float | None
) -> None:
    supplies(box.root, *there)
    assert box.look().get("mains") == mains


def test_the_emptiest_battery_is_told(box: Box) -> None:
    supplies(box.root, MAINS_OFF, CHARGING, DRAINING)
    assert box.look()["battery_charge_ratio"] == 0.12


def test_the_hottest_of_each_chip_is_told_and_zones_where_there_is_none(box: Box) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    put(box.root, {f"{zone}/type": "cpu-thermal", f"{zone}/temp": "48312"})
    assert box.look()["temperature_celsius"] == {"cpu-thermal": 48.312}
    chip = "sys/class/hwmon/hwmon1"
    put(box.root, {f"{chip}/name": "coretemp", f"{chip}/temp1_input": "61000"})
    put(box.root, {f"{chip}/temp2_input": "74000", f"{chip}/temp3_input": "not a number"})
    assert box.look()["temperature_celsius"] == {"coretemp": 74.0}


def test_a_processor_that_is_slowed_down_is_told_while_it_is(box: Box) -> None:
    assert "throttled" not in box.look()
    count = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    put(box.root, {count: 700})
    assert box.look()["throttled"] == 0.0, "it was before we looked"
    put(box.root, {count: 702})
    assert box.look()["throttled"] == 1.0
    assert box.look()["throttled"] == 0.0
    cooling = "sys/class/thermal/cooling_device0"
    put(box.root, {f"{cooling}/type": "cpufreq-cpu0", f"{cooling}/cur_state": 2})
    assert box.look()["throttled"] == 1.0
    put(box.root, {f"{cooling}/type": "Fan"})
    assert box.look()["throttled"] == 0.0


def test_a_raspberry_pi_with_a_weak_supply_says_so(box: Box) -> None:
    assert "undervoltage" not in box.look()
    alarm = "sys/class/hwmon/hwmon0/in0_lcrit_alarm"
    put(box.root, {alarm: 0})
    assert box.look()["undervoltage"] == 0.0
    put(box.root, {alarm: 1})
    assert box.look()["undervoltage"] == 1.0
    put(box.root, {alarm: 0, "sys/devices/platform/soc/soc:firmware/get_throttled": "50005"})
    said = box.look()
    assert (said["undervoltage"], said["throttled"]) == (1.0, 1.0)
    put(box.root, {"sys/devices/platform/soc/soc:firmware/get_throttled": "50000"})
    said = box.look()
    assert (said["undervoltage"], said["throttled"]) == (0.0, 0.0), "that was earlier"


def segments(box: Box, sent: int, again: int) -> None:
    put(box.root, {"proc/net/snmp": f"Tcp: OutSegs RetransSegs\nTcp: {sent} {again}"})


def test_what_is_sent_again_is_told_as_a_share_of_the_last_minute(box: Box) -> None:
    assert "tcp_retransmit_ratio" not in box.look()
    segments(box, 1_000_000, 90_000)
    assert box.look()["tcp_retransmit_ratio"] == 0.0
    segments(box, 1_001_000, 90_020)
    assert box.look(30)["tcp_retransmit_ratio"] == 0.02
    segments(box, 1_001_100, 90_120)
    assert box.look(61)["tcp_retransmit_ratio"] == 0.0, "too few to tell"
    segments(box, 0, 0)
    assert box.look()["tcp_retransmit_ratio"] == 0.0, "counted anew"


def test_links_of_real_cards_are_told(box: Box) -> None:
    cards: dict[str, dict[str, object]] = {
        "eno1": {"carrier": 1, "speed": 1000, "duplex": "full"},
        "eno2": {"carrier": 1, "speed": 100, "duplex": "half"},
        "eno3": {"carrier": 0, "speed": -1, "duplex": "unknown"},
        "wlan0": {"carrier": 1},
    }
    for name, files in cards.items():
        put(box.root, {f"sys/class/net/{name}/device/vendor": 1})
        put(box.root, {f"sys/class/net/{name}/{key}": text for key, text in files.items()})
    put(box.root, {"sys/class/net/lo/carrier": 1})
    said = box.look()
    assert said["link_up"] == {"eno1": 1.0, "eno2": 1.0, "eno3": 0.0, "wlan0": 1.0}
    assert said["link_bytes_per_second"] == {"eno1": 125e6, "eno2": 12.5e6}
    assert said["link_full_duplex"] == {"eno1": 1.0, "eno2": 0.0}


def test_what_a_disk_says_of_itself_is_told_while_it_is_new(box: Box) -> None:
    for name, said in {
        "sda": json.dumps({"smart_status": {"passed": True}}),
        "nvme0": json.dumps({"smart_status": {"passed": False}}),
        "sdb": json.dumps({"smartctl": {"exit_status": 2}}),
        "sdc": "half a f",
        "sdd": "[" * 100_000,
        "sde": json.dumps({"smart_status": {"passed": "yes"}}),
        "sdf": json.dumps({"smart_status": {"passed": True}}),
    }.items():
        put(box.root, {f"{SMART}/{name}.json": said})
    old = time.time() - 3 * 3600
    os.utime(box.root / SMART / "sdf.json", (old, old))
    assert box.look()["disk_healthy"] == {"nvme0": 0.0, "sda": 1.0}


def test_the_service_that_may_ask_the_disks_leaves_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", UNIT.read_text(), re.MULTILINE)
    put(tmp_path, {"bin/smartctl": SMARTCTL})  # in place of a disk that has SMART
    (tmp_path / "bin/smartctl").chmod(0o755)
    place = tmp_path / SMART
    place.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    subprocess.run(["sh", "-c", line.replace("$$", "$")], cwd=place, check=True)
    assert check.disks(tmp_path).text == "nvme0 reports that it is failing: replace it"
    assert smart(tmp_path) == {"nvme0": False, "sda": True}
    assert sorted(one.name for one in place.iterdir()) == ["nvme0.json", "sda.json"]
    assert "only root may ask them" in check.disks(tmp_path / "elsewhere").text


def test_what_was_not_read_of_late_is_not_told(box: Box) -> None:
    supplies(box.root, MAINS_ON, CHARGING)
    assert "mains" in box.look()
    box.now += 61
    assert box.said() == {}, "a driver that hangs must not leave the last word standing"


def test_files_that_say_nonsense_are_no_figures(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    put(box.root, {"proc/net/snmp": "Tcp: a b\nTcp: 1 2", "sys/class/hwmon/hwmon0/name": "x"})
    (box.root / "sys/class/hwmon/hwmon0/temp1_input").mkdir()
    supplies(box.root, MAINS_ON, CHARGING | {"capacity": "9" * 30, "status": "?"})
    for _ in range(2):
        said = box.look()
    assert said["mains"] == 1.0
    assert "battery_charge_ratio" not in said
    assert [one.getMessage() for one in caplog.records] == ["no figures of sent again: 'OutSegs'"]


def test_this_machine_is_looked_at_in_no_time() -> None:
    figures = HardwareFigures()
    begun = time.process_time()
    figures.look()
    assert time.process_time() - begun < 2
    names = {family.name for family in figures.collect()}
    assert {"fleet_station_tcp_retransmit_ratio", "fleet_station_link_up"} <= names
