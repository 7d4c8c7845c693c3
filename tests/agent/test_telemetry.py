"""Figures travel with the labels that say whose they are, and never too many."""

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fleet.agent.box.figures import MachineFigures, parse_clock_offset
from fleet.agent.box.telemetry import MAX_SERIES, READ_SECONDS, gather
from fleet.agent.engine.reconcile import Key
from fleet.model import MAX_PAYLOAD, Sample, Telemetry
from fleet.wire import decode

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


def gathered(
    roles: Mapping[Key, CollectorRegistry], own: CollectorRegistry, faults: list[str] | None = None
) -> bytes:
    """The payload; whose metrics cannot be read is added to `faults`."""
    kept = faults if faults is not None else []

    def read(whose: Key | None, error: BaseException | None) -> None:
        if error is not None:
            kept.append(f"{whose}: {error}")

    return gather("b", AT, roles, own, read, lambda _: nullcontext())


def _samples(payload: bytes) -> dict[str, list[Sample]]:
    telemetry = decode(payload, Telemetry)
    return {family.name: list(family.samples) for family in telemetry.families}


def test_a_roles_metric_carries_its_role_and_instance() -> None:
    registry = CollectorRegistry()
    Counter("fleet_beeps", "Beeps.", ["tone"], registry=registry).labels("a").inc(3)
    got = _samples(gathered({Key("beep", "main"): registry}, CollectorRegistry()))
    assert got["fleet_beeps"] == [
        Sample("fleet_beeps_total", {"tone": "a", "role": "beep", "role_instance": "main"}, 3.0)
    ]


def test_instances_of_one_role_share_a_family() -> None:
    registries = {}
    for instance in ("a", "b"):
        registry = registries[Key("beep", instance)] = CollectorRegistry()
        Gauge("fleet_pitch", "Pitch.", registry=registry).set(1)
    got = _samples(gathered(registries, CollectorRegistry()))
    assert [s.labels["role_instance"] for s in got["fleet_pitch"]] == ["a", "b"]


def test_a_role_past_its_series_loses_the_rest_and_says_so() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("fleet_many", "Many.", ["n"], registry=registry)
    for n in range(MAX_SERIES + 7):
        gauge.labels(str(n)).set(n)
    got = _samples(gathered({Key("beep", "main"): registry}, CollectorRegistry()))
    assert len(got["fleet_many"]) == MAX_SERIES
    assert got["fleet_role_series_omitted"][0].value == 7


class Odd(Collector):
    """A collector as somebody might write it."""

    def __init__(self, *found: Any) -> None:
        self.found = found

    def collect(self) -> Any:
        return list(self.found)


def _odd_value(value: Any) -> GaugeMetricFamily:
    family = GaugeMetricFamily("fleet_odd", "Odd.", labels=["x"])
    family.add_metric(["1"], value)
    return family


@pytest.mark.parametrize(
    "found",
    [None, "text", _odd_value("much"), _odd_value(None), _odd_value(object())],
    ids=["none", "text", "a text as value", "no value", "an object as value"],
)
def test_figures_of_a_role_that_are_none_cost_nobody_else_theirs(found: Any) -> None:
    good, odd = CollectorRegistry(), CollectorRegistry()
    Gauge("fleet_good", "Good.", registry=good).set(1)
    odd.register(Odd(_odd_value(1.0), found))
    registries = {Key("good", "main"): good, Key("odd", "main"): odd}
    got = _samples(gathered(registries, CollectorRegistry()))
    assert [sample.value for sample in got["fleet_good"]] == [1.0]


def test_figures_of_the_machine_that_cannot_be_read_cost_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def broken() -> Any:
        raise OSError(5, "a counter that is broken")

    monkeypatch.setattr("psutil.virtual_memory", broken)
    figures = MachineFigures({"recordings": tmp_path}, lambda: 0.0)
    for _ in range(2):
        names = {metric.name for metric in figures.collect()}
    assert "fleet_station_disk_free_bytes" in names
    assert [record.getMessage() for record in caplog.records] == [
        "no figures of load: [Errno 5] a counter that is broken"
    ]


def test_long_texts_of_one_role_cost_no_other_its_figures() -> None:
    long, own, good = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    Gauge("fleet_good", "Good.", registry=good).set(1)
    gauge = Gauge("fleet_long", "Long." * 100_000, [f"l{n}" for n in range(40)], registry=long)
    for n in range(MAX_SERIES):
        gauge.labels(*(f"{n} {label}" + "x" * 1000 for label in range(40))).set(n)
    for n in range(300):
        Gauge(f"fleet_own_{n}", "Own.", registry=own).set(n)
    roles = {Key("good", "main"): good, Key("long", "main"): long}
    payload = gathered(roles, own)
    assert len(payload) <= MAX_PAYLOAD
    got = _samples(payload)
    assert len(got["fleet_good"]) == 1
    assert all(f"fleet_own_{n}" in got for n in range(300))
    assert len(got["fleet_long"]) < MAX_SERIES


def test_a_payload_never_outgrows_the_wire() -> None:
    registries = {}
    for n in range(5):
        registry = registries[Key(f"role{n}", "main")] = CollectorRegistry()
        gauge = Gauge("fleet_wide", "Wide.", ["text"], registry=registry)
        for i in range(MAX_SERIES):
            gauge.labels(f"{i}" + "x" * 500).set(i)
    payload = gathered(registries, CollectorRegistry())
    assert len(payload) <= MAX_PAYLOAD
    got = _samples(payload)
    omitted = sum(s.value for s in got["fleet_role_series_omitted"])
    assert omitted + len(got["fleet_wide"]) == 5 * MAX_SERIES
    assert omitted > 0


def test_a_role_whose_metrics_raise_hides_nobody_elses() -> None:
    class Broken(CollectorRegistry):
        def collect(self):  # type: ignore[no-untyped-def]
            raise OSError("sensor gone")

    good = CollectorRegistry()
    Gauge("fleet_pitch", "Pitch.", registry=good).set(1)
    roles = {Key("bad", "main"): Broken(), Key("good", "main"): good}
    faults: list[str] = []
    assert "fleet_pitch" in _samples(gathered(roles, CollectorRegistry(), faults))
    assert faults == ["bad/main: sensor gone"]


def test_figures_that_take_too_long_are_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Slow(CollectorRegistry):
        def collect(self):  # type: ignore[no-untyped-def]
            monkeypatch.setattr("time.thread_time", lambda: before + READ_SECONDS + 0.1)
            return []

    before = time.thread_time()
    monkeypatch.setattr("time.thread_time", lambda: before)
    faults: list[str] = []
    gathered({Key("slow", "main"): Slow()}, CollectorRegistry(), faults)
    assert faults == ["slow/main: reading them took 0.6 s, of which all others have to wait"]


def test_the_machines_own_figures_are_this_machines(tmp_path: Path) -> None:
    own = CollectorRegistry()
    figures = MachineFigures({"recordings": tmp_path}, lambda: 0.25)
    own.register(figures)
    got = _samples(gathered({}, own))
    assert got["fleet_station_disk_free_bytes"] == [], "no disk is asked where one may have to wait"
    figures.look()
    got = _samples(gathered({}, own))
    assert got["fleet_station_memory_available_bytes"][0].value > 0
    disk = got["fleet_station_disk_free_bytes"][0]
    assert disk.labels == {"directory": "recordings"}
    assert 0 < disk.value <= got["fleet_station_disk_total_bytes"][0].value
    assert got["fleet_station_clock_offset_seconds"][0].value == 0.25
    assert 0 <= got["fleet_station_cpu_usage_ratio"][0].value <= 1
    assert json.loads(gathered({}, own))["boot"] == "b"


def test_a_directory_that_is_gone_has_no_figure_and_breaks_nothing(tmp_path: Path) -> None:
    own = CollectorRegistry()
    figures = MachineFigures({"recordings": tmp_path / "gone"}, lambda: None)
    own.register(figures)
    figures.look()
    got = _samples(gathered({}, own))
    assert got["fleet_station_disk_free_bytes"] == []
    assert "fleet_station_clock_offset_seconds" not in got


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("  Offset: -3min\n", -180.0),
        ("       Offset: +12us\n", 12e-6),
        ("", None),
        ("506 Cannot talk to daemon\n", None),
        ("00000000,,0,0.0,0.5,0,0,0,0,0,1,1,0,Not synchronised", None),
    ],
)
def test_clock_offset_is_read_from_either_keeper(text: str, seconds: float | None) -> None:
    assert parse_clock_offset(text) == pytest.approx(seconds)
