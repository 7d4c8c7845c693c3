"""Stations' figures reach Prometheus with their owners' names, and leave when stale."""

import math
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from fleet.manager.stations.telemetry import Figures
from fleet.model import Family, Sample, Telemetry

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)


def _telemetry(*samples: Sample, name: str = "fleet_pitch", type_: str = "gauge") -> Telemetry:
    return Telemetry("boot", AT, (Family(name, type_, "Pitch.", samples),))


def _pitch(value: float, **labels: str) -> Sample:
    return Sample("fleet_pitch", labels, value)


def _shown(figures: Figures, now: float = 0.0) -> list[Metric]:
    return list(figures.families(now, lambda station: f"room-of-{station}"))


def test_two_stations_share_a_family_each_under_its_own_name() -> None:
    figures = Figures()
    figures.fold("a", _telemetry(_pitch(1, role="beep")), 10, now=0)
    figures.fold("b", _telemetry(_pitch(2, role="beep")), 10, now=0)
    (metric,) = _shown(figures)
    assert [(s.labels["station"], s.labels["room"], s.value) for s in metric.samples] == [
        ("a", "room-of-a", 1),
        ("b", "room-of-b", 2),
    ]


def test_values_unheard_for_three_intervals_leave() -> None:
    figures = Figures()
    figures.fold("a", _telemetry(_pitch(1)), 10, now=0)
    assert _shown(figures, now=30)
    assert not _shown(figures, now=30.1)


def test_a_station_cannot_speak_for_another() -> None:
    figures = Figures()
    figures.fold("a", _telemetry(_pitch(1, station="b", room="main")), 10, now=0)
    (metric,) = _shown(figures)
    assert metric.samples[0].labels == {"station": "a", "room": "room-of-a"}


def test_a_station_cannot_claim_the_managers_own_names() -> None:
    figures = Figures(reserved=["fleet_station_up"])
    figures.fold("a", _telemetry(Sample("fleet_station_up", {}, 1), name="fleet_station_up"), 10, 0)
    assert not _shown(figures)


def test_garbage_of_one_station_leaves_the_page_readable() -> None:
    figures = Figures()
    figures.fold("bad", _telemetry(_pitch(1, **{"no label!": "x"}), _pitch(1), _pitch(2)), 10, 0)
    figures.fold("worse", _telemetry(Sample("not pitch", {}, 1), type_="counter"), 10, 0)
    figures.fold("odd", _telemetry(_pitch(1), name="no name!"), 10, 0)
    figures.fold("new", _telemetry(_pitch(1), name="fleet_x", type_="hologram"), 10, 0)
    figures.fold("good", _telemetry(_pitch(math.nan)), 10, 0)

    class All:
        def collect(self) -> list[Metric]:
            return _shown(figures)

    page = generate_latest(All()).decode()
    (family,) = text_string_to_metric_families(page)
    assert [s.labels["station"] for s in family.samples] == ["bad", "good"]


def test_a_forgotten_stations_values_leave_at_once() -> None:
    figures = Figures()
    figures.fold("a", _telemetry(_pitch(1)), 10, now=0)
    figures.forget("a")
    assert not _shown(figures)


@pytest.mark.parametrize(
    ("family", "kind", "sample"),
    [
        ("fleet_station", "info", "fleet_station_info"),
        ("fleet_mqtt_messages_total", "gauge", "fleet_mqtt_messages_total"),
        ("fleet_instance", "counter", "fleet_instance_total"),
        ("ALERTS", "gauge", "ALERTS"),
        ("ALERTS_FOR_STATE", "gauge", "ALERTS_FOR_STATE"),
        ("fleet:core_lost:rooms", "gauge", "fleet:core_lost:rooms"),
        ("up", "gauge", "up"),
        ("scrape_duration_seconds", "gauge", "scrape_duration_seconds"),
        ("f" * 201, "gauge", "f" * 201),
    ],
)
def test_no_sample_takes_a_name_that_is_the_managers_or_prometheus(
    family: str, kind: str, sample: str
) -> None:
    figures = Figures(["fleet_station_info", "fleet_mqtt_messages", "fleet_instance"])
    figures.fold("a", _telemetry(Sample(sample, {}, 1), name=family, type_=kind), 10, 0)
    assert [one.name for metric in _shown(figures) for one in metric.samples] == []


@pytest.mark.parametrize("name", ["fleet_bytes", "fleet_bytes_total"])
def test_who_speaks_first_does_not_decide_what_the_others_show(name: str) -> None:
    figures = Figures()
    total = Sample("fleet_bytes_total", {}, 5)
    figures.fold("bad", _telemetry(Sample(name, {}, 1), name=name), 10, 0)
    figures.fold("a", _telemetry(total, name="fleet_bytes", type_="counter"), 10, 0)
    figures.fold("b", _telemetry(total, name="fleet_bytes", type_="counter"), 10, 0)
    shown = _shown(figures)
    assert [(one.name, one.labels["station"]) for one in shown[0].samples][:1] == [(name, "bad")]
    assert [(one.name, one.labels["station"]) for one in shown[-1].samples][-2:] == [
        ("fleet_bytes_total", "a"),
        ("fleet_bytes_total", "b"),
    ]
    assert shown[-1].type == ("counter" if name == "fleet_bytes" else "unknown")
    registry = CollectorRegistry()
    registry.register(_Shown(figures))
    page = generate_latest(registry).decode()
    told = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(told) == len(set(told)), "no name is told twice"
    figures.forget("bad")
    assert [metric.type for metric in _shown(figures)] == ["counter"]


class _Shown(Collector):
    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def collect(self) -> list[Metric]:
        return _shown(self.figures)


def test_one_station_shows_so_many_samples_and_such_long_labels_at_most() -> None:
    figures = Figures()
    many = [
        Family(
            f"fleet_{n}",
            "gauge",
            "x" * 1000,
            tuple(Sample(f"fleet_{n}", {"n": f"{m}{'y' * 1000}"}, m) for m in range(3000)),
        )
        for n in range(2)
    ]
    figures.fold("bad", Telemetry("boot", AT, tuple(many)), 10, 0)
    figures.fold("good", _telemetry(_pitch(1)), 10, 0)
    shown = _shown(figures)
    of_bad = [one for metric in shown for one in metric.samples if one.labels["station"] == "bad"]
    assert len(of_bad) == 5000
    assert {len(one.labels["n"]) for one in of_bad} == {300}
    assert max(len(metric.documentation) for metric in shown) == 300
    assert sum(one.labels["station"] == "good" for metric in shown for one in metric.samples) == 1
