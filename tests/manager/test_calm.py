"""A station with which nothing is wrong is judged again once that may be otherwise."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve

from fleet.manager import report
from fleet.manager.conference.hours import Override
from fleet.manager.conference.wanted import Facts
from fleet.manager.report import FleetReport
from fleet.manager.schedule import ScheduleWatch
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.state import StationState
from fleet.manager.stations.telemetry import Figures
from fleet.manager.store.ledger import Entry, Ledger
from fleet.model import (
    Ack,
    Config,
    Family,
    InForce,
    InstanceStatus,
    Presence,
    PresenceState,
    Result,
    Roles,
    Sample,
    State,
    Status,
    StopByHand,
    Telemetry,
)

BEGIN = 1_770_000_000.0
ROLES: Roles = {"record": {"main": {}}}
WROTE = "fleet_recording_last_write_timestamp_seconds"
WHICH = {"role": "record", "role_instance": "main"}


class Manager:
    """What a manager knows of one station, which records, and a clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.seconds = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.seconds, time=lambda: BEGIN + self.seconds)
        monkeypatch.setattr(report, "time", clock)
        self.ledger, self.inventory, self.figures = Ledger(), Inventory(), Figures()
        watch = ScheduleWatch(self.ledger, tmp_path)
        self.report = FleetReport(self.ledger, self.inventory, self.figures, watch)
        self.inventory.broker_back(0.0)
        config = Config(1, self.at, "ann", ROLES)
        self.entry = Entry(Facts(name="cam", room="hall1"), config=config, heard=True)
        self.ledger._entries["a1"] = self.entry
        self.says(Presence(PresenceState.ONLINE, "boot", 1, self.at, 1e4))
        self.says(Ack(1, "boot", self.at, Result.ACCEPTED, None, InForce(1, ROLES)))
        self.runs(State.RUNNING)
        written = Family(WROTE, "gauge", "", (Sample(WROTE, WHICH, BEGIN),))
        self.figures.fold("a1", Telemetry("boot", self.at, (written,)), 1e4, 0.0)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(BEGIN + self.seconds, UTC)

    def says(self, said: Presence | Ack | Status) -> None:
        self.inventory.hear("a1", said, retained=False, now=self.seconds)

    def runs(self, state: State) -> None:
        one = InstanceStatus(state, self.at, 0, None, None, 1)
        self.says(Status("boot", self.at, 1, {"record": {"main": one}}))

    async def look(self) -> StationState:
        return (await self.report.look()).stations[0]

    async def found(self) -> list[str]:
        return [one.text for one in (await self.look()).status.findings]


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Manager:
    return Manager(monkeypatch, tmp_path)


async def test_as_long_as_nothing_changes_it_is_not_judged_again(manager: Manager) -> None:
    first = await manager.look()
    manager.seconds = 59
    assert await manager.look() is first
    manager.runs(State.RUNNING)
    assert await manager.look() is not first


async def test_what_time_alone_makes_wrong_is_found_when_it_is(manager: Manager) -> None:
    assert await manager.found() == []
    manager.seconds = 60
    assert await manager.found() == []
    manager.seconds = 60.5
    assert await manager.found() == ["nothing written"]


async def test_figures_that_are_too_old_are_no_more_what_it_is_judged_by(manager: Manager) -> None:
    telemetry, _ = manager.figures.latest("a1", 0.0) or (None, 0.0)
    assert telemetry is not None
    manager.figures.fold("a1", telemetry, 10.0, 0.0)
    assert (await manager.look()).readings.value(WROTE, "record", "main") == BEGIN
    manager.seconds = 31
    assert (await manager.look()).readings.value(WROTE, "record", "main") is None


def fails(manager: Manager) -> None:
    manager.runs(State.FAILED)


def is_wanted_otherwise(manager: Manager) -> None:
    config = evolve(manager.entry.config or Config(1, None, None, {}), revision=2)
    manager.ledger._entries["a1"] = evolve(manager.entry, config=config)


def is_moved(manager: Manager) -> None:
    manager.entry.facts = Facts(name="cam", room="hall2")


def is_worked_on(manager: Manager) -> None:
    said = Override("station", "a1", "on", "ann", manager.at, None)
    manager.ledger.rooms.override_all([said])


def is_stopped(manager: Manager) -> None:
    stop = StopByHand("record", "main", "ann", None, manager.at, None)
    manager.ledger.stops.take("a1", [stop])


def leaves(manager: Manager) -> None:
    manager.says(Presence(PresenceState.OFFLINE, "boot", 1, manager.at, 1e4))


def loses_the_broker(manager: Manager) -> None:
    manager.inventory.connected = False


@pytest.mark.parametrize(
    "happens",
    [
        *(fails, is_wanted_otherwise, is_moved, is_worked_on, is_stopped, leaves),
        loses_the_broker,
    ],
)
async def test_whatever_changes_is_seen_at_the_next_look(
    manager: Manager, happens: Callable[[Manager], None]
) -> None:
    before = await manager.look()
    assert before.status.well
    happens(manager)
    after = await manager.look()
    assert after != before
    manager.report._calm.clear()
    assert await manager.look() == after, "as if it was seen for the first time"
