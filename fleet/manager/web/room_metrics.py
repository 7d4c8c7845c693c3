"""The part of the metrics that people say: talks, hours, maintenance, rollouts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fleet.manager.rollouts.model import Outcome
from fleet.manager.store.ledger import Ledger

FAMILIES: Final = (
    "room_talk_on",
    "room_in_use",
    "maintenance",
    "rollout_running",
    "rollout_targets",
)


def families(ledger: Ledger, stations: Iterable[str], at: datetime) -> Iterator[Metric]:
    """What was said, as it holds at `at`, of the rooms and of `stations` (ids)."""
    talk = GaugeMetricFamily(
        "fleet_room_talk_on",
        "Whether a talk is on, as somebody said or as the room's hours say.",
        labels=["room"],
    )
    used = GaugeMetricFamily(
        "fleet_room_in_use", "Whether it is within the room's hours.", labels=["room"]
    )
    maintenance = GaugeMetricFamily(
        "fleet_maintenance",
        "Whether somebody works on the station or its room, so that nobody is called.",
        labels=["station", "room"],
    )
    names = set(ledger.rooms.rooms)
    for station in stations:
        room = ledger[station].facts.room
        names |= {room} if room else set()
        said = ledger.rooms.maintenance(station, room, at)
        maintenance.add_metric([station, room or ""], said is not None)
    for room in sorted(names):
        talk.add_metric([room], ledger.rooms.talk_on(room, at))
        used.add_metric([room], ledger.rooms.in_use(room, at))
    yield from (talk, used, maintenance)
    yield GaugeMetricFamily(
        "fleet_rollout_running", "Whether a rollout is going on.", ledger.running is not None
    )
    targets = GaugeMetricFamily(
        "fleet_rollout_targets",
        "Stations of the last rollout, by what became of them.",
        labels=["outcome"],
    )
    counts = Counter(one.outcome for one in ledger.rollout.targets) if ledger.rollout else None
    for outcome in Outcome:
        targets.add_metric([outcome.value], counts[outcome] if counts else 0)
    yield targets
