"""What Prometheus is shown, made from a ledger and an inventory."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fleet import __version__
from fleet.manager.asking import StationAsker
from fleet.manager.conference.rooms import rooms_of
from fleet.manager.conference.wanted import Facts
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.rollouts.revisions import issue
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import JPEG_BEGINS, Thumbnails
from fleet.manager.store import ManagerStore, PublishedSchedule
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.access_metrics import access_metrics
from fleet.manager.web.metrics import RESERVED, Counts, FleetCollector
from fleet.model import (
    Ack,
    Error,
    Family,
    InForce,
    InstanceStatus,
    Presence,
    PresenceState,
    Result,
    Sample,
    State,
    Status,
    Telemetry,
)
from fleet.schedule.reading import read
from fleet.topics import Topics
from tests.schedule.publish import HOUR, event, published

AT = datetime(2026, 2, 1, tzinfo=UTC)
FACTS = Facts("hall1-cam", "hall1", "cam", "back wall", None)


class Shown:
    """A manager's parts without the manager."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.inventory = Inventory()
        self.inventory.broker_back(0)
        self.figures = Figures(RESERVED)
        self.counts = Counts()
        self.registry = CollectorRegistry(auto_describe=False)
        self.thumbnails = Thumbnails()
        self.registry.register(
            FleetCollector(
                ledger,
                self.inventory,
                self.figures,
                self.thumbnails,
                self.counts,
                ScheduleWatch(ledger, Path()),
                Recordings(ledger, self.inventory, StationAsker(Topics(), "boot")),
                lambda: {"sent": 2, "failed": 1},
                lambda: 0.25,
                lambda: access_metrics((), lambda _: "", 0, AT),
            )
        )

    def hear(self, *said: Presence | Status | Ack) -> None:
        for one in said:
            self.inventory.hear("cam1", one, retained=False, now=0)

    def samples(self) -> dict[str, float]:
        """`name{label=value,…}` -> value, labels in their order."""
        text = generate_latest(self.registry).decode()
        return {
            f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}":
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }  # fmt: skip


@pytest.fixture
async def shown(tmp_path: Path) -> Shown:
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    revision = issue("cam1", 3, {"record": {"main": {}}}, FACTS, at=AT, by="ann", message=None)
    await ledger.write([revision], [("cam1", FACTS)])
    await ledger.close()
    return Shown(ledger)


def status(state: State, restarts: int = 0) -> Status:
    one = InstanceStatus(state, AT, restarts, None, None)
    return Status("A", AT, 3, {"record": {"main": one}})


def online() -> Presence:
    return Presence(PresenceState.ONLINE, "A", 1, AT, 10)


def state(samples: dict[str, float]) -> str:
    start = "fleet_instance_state{role=record,role_instance=main,room=hall1,state="
    states = {name.removeprefix(start): value for name, value in samples.items() if start in name}
    assert len(states) == len(State)
    (on,) = (name for name, value in states.items() if value)
    return on.split(",")[0]


async def test_a_station_that_runs_what_is_wanted(shown: Shown) -> None:
    shown.hear(online(), status(State.RUNNING, 2))
    samples = shown.samples()
    assert samples[f"fleet_build_info{{version={__version__}}}"] == 1
    info = "fleet_station_info{name=hall1-cam,room=hall1,seat=cam,station=cam1,where=back wall}"
    assert samples[info] == 1
    assert samples["fleet_station_up{room=hall1,station=cam1}"] == 1
    assert samples["fleet_station_wanted_revision{room=hall1,station=cam1}"] == 3
    assert samples["fleet_station_running_revision{room=hall1,station=cam1}"] == 3
    restarts = (
        "fleet_instance_restarts_total{role=record,role_instance=main,room=hall1,station=cam1}"
    )
    assert samples[restarts] == 2
    assert state(samples) == "running"


async def test_a_room_that_nobody_monitors_is_told(shown: Shown) -> None:
    assert shown.samples()["fleet_room_sound_watched{room=hall1}"] == 0


async def test_restarts_that_nobody_said_yet_are_no_zero(shown: Shown) -> None:
    """Else a manager that starts would show a counter that was reset, and many restarts."""
    shown.hear(online())
    assert not any("restarts" in name for name in shown.samples())
    shown.hear(status(State.RUNNING, 7))
    assert [n for name, n in shown.samples().items() if "restarts" in name] == [7]


async def test_a_station_never_heard_of_is_down_and_its_instances_are_unknown(shown: Shown) -> None:
    samples = shown.samples()
    assert samples["fleet_station_up{room=hall1,station=cam1}"] == 0
    assert "fleet_station_running_revision{room=hall1,station=cam1}" not in samples
    assert state(samples) == "unknown"


@pytest.mark.parametrize(
    ("presence", "expected"),
    [(PresenceState.LOST, "unknown"), (PresenceState.OFFLINE, "stopped")],
)
async def test_what_a_station_that_left_said_last_is_not_believed(
    shown: Shown, presence: PresenceState, expected: str
) -> None:
    shown.hear(online(), status(State.RUNNING), Presence(presence, "A", 1, AT, 10))
    assert state(shown.samples()) == expected


async def test_without_a_broker_all_is_unknown(shown: Shown) -> None:
    shown.hear(online(), status(State.RUNNING))
    shown.inventory.broker_gone()
    samples = shown.samples()
    assert samples["fleet_station_up{room=hall1,station=cam1}"] == 0
    assert state(samples) == "unknown"


@pytest.mark.parametrize("type_", ["BlockedRole", "MissingRoleFactory", "InvalidConfiguration"])
async def test_a_rejection_is_1_for_its_type_alone(shown: Shown, type_: str) -> None:
    shown.hear(Ack(3, "A", AT, Result.REJECTED, Error(type_, "no"), InForce.none()))
    rejected = {
        name: value
        for name, value in shown.samples().items()
        if name.startswith("fleet_station_config_rejected")
    }
    assert len(rejected) == 3
    assert [name for name, value in rejected.items() if value] == [
        f"fleet_station_config_rejected{{room=hall1,station=cam1,type={type_}}}"
    ]


async def test_every_family_of_the_manager_is_reserved(shown: Shown) -> None:
    shown.hear(online(), status(State.RUNNING))
    shown.counts.messages["ack"] += 1
    shown.counts.undecodable["ack"] += 1
    shown.thumbnails.fold("cam1", "record", "main", JPEG_BEGINS, 0)
    shown.ledger.learn(rooms_of('[schedule]\nfile = "s"\n[rooms.hall1]\nschedule = ["Hall 1"]\n'))
    now, soon = (event(n, datetime.now(UTC) + n * HOUR) for n in range(2))
    content = published({"Hall 1": [now, soon]})
    kept = PublishedSchedule("s", None, None, AT, content)
    shown.ledger.published = kept
    shown.ledger.rooms.go_by(read(content))
    assert {family.name for family in shown.registry.collect()} == RESERVED


async def test_a_thumbnail_has_the_moment_it_came_in_and_only_while_its_instance_is_known(
    shown: Shown,
) -> None:
    shown.hear(online(), status(State.RUNNING))
    ages = {"main": 40, "gone": 5}
    for instance, age in ages.items():
        shown.thumbnails.fold("cam1", "record", instance, JPEG_BEGINS, time.monotonic() - age)
    found = {
        name: value
        for name, value in shown.samples().items()
        if name.startswith("fleet_instance_last_thumbnail")
    }
    ((name, came),) = found.items()
    assert name == (
        "fleet_instance_last_thumbnail_timestamp_seconds"
        "{role=record,role_instance=main,room=hall1,station=cam1}"
    )
    assert time.time() - came == pytest.approx(40, abs=15)


async def test_what_stations_measure_is_shown_with_their_room(shown: Shown) -> None:
    families = (
        Family("fleet_load", "gauge", "Load.", (Sample("fleet_load", {"station": "fake"}, 2),)),
        Family("fleet_station_up", "gauge", "A lie.", (Sample("fleet_station_up", {}, 5),)),
    )
    shown.figures.fold("cam1", Telemetry("A", AT, families), 10, time.monotonic())
    samples = shown.samples()
    assert samples["fleet_load{room=hall1,station=cam1}"] == 2
    assert samples["fleet_station_up{room=hall1,station=cam1}"] == 0
