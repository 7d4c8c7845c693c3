"""What Prometheus is shown of who is let in, and until when."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fleet.manager.store import KeptCredential


def access_metrics(
    credentials: Iterable[KeptCredential],
    room: Callable[[str], str],
    waiting: int | None,
    certificate: datetime | None,
) -> Iterator[Metric]:
    """`room`: of a station; `waiting`: boxes, None where none can join; `certificate`: its end."""
    lasts = GaugeMetricFamily(
        "fleet_station_credential_ends_timestamp_seconds",
        "When what a station comes in with is over.",
        labels=["station", "room"],
    )
    for one in credentials:
        lasts.add_metric([one.station, room(one.station)], one.ends.timestamp())
    yield lasts
    if waiting is not None:
        about = "Boxes that wait for somebody's yes."
        yield GaugeMetricFamily("fleet_boxes_waiting", about, waiting)
    if certificate is not None:
        yield GaugeMetricFamily(
            "fleet_broker_certificate_ends_timestamp_seconds",
            "When the certificate that the broker shows is over.",
            certificate.timestamp(),
        )
