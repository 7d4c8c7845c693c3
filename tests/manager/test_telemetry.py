"""Stations' figures reach Prometheus with their owners' names, and leave when stale."""

import math
from datetime import UTC, datetime

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

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
