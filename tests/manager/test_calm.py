"""A station is judged again once something else may be found, and not before."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
from fleet.manager.store import KeptCredential
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
UNVERIFIED = "fleet_sync_oldest_unverified_timestamp_seconds"
ROLES: Roles = {"record": {"main": {}}}
WROTE = "fleet_recording_last_write_timestamp_seconds"


class Manager:
    """What a manager knows of one station, which records, and a clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.seconds = 0.0
        clock = SimpleNamespace(monotonic=lambda: self.seconds, time=lambda: BEGIN + self.seconds)
        monkeypatch.setattr(report, "time", clock)
        self.ledger, self.inventory, self.figures = Ledger(), Inventory(), Figures()
        watch = ScheduleWatch(self.ledger, tmp_path)
        self.report = FleetReport(self.ledger, self.inventory, self.figures, watch, accounts=False)
        self.inventory.broker_back(0.0)
        config = Config(1, self.at, "ann", ROLES)
        self.entry = Entry(Facts(name="cam", room="hall1"), config=config, heard=True)
        self.ledger._entries["a1"] = self.entry
        self.says(Presence(PresenceState.ONLINE, "boot", 1, self.at, 1e4))
        self.says(Ack(1, "boot", self.at, Result.ACCEPTED, None, InForce(1, ROLES)))
        self.runs(State.RUNNING)
        self.measures({WROTE: BEGIN})

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(BEGIN + self.seconds, UTC)

    def says(self, said: Presence | Ack | Status) -> None:
        self.inventory.hear("a1", said, retained=False, now=self.seconds)

    def runs(self, state: State, restarts: int = 0, in_hour: int = 0) -> None:
        began = datetime.fromtimestamp(BEGIN, UTC)
        one = InstanceStatus(state, began, restarts, None, None, 1, in_hour)
        self.says(Status("boot", self.at, 1, {"record": {"main": one}}))

    def measures(self, gauges: dict[str, float], role: str = "record") -> None:
        whose = {"role": role, "role_instance": "main"}
        families = tuple(
            Family(name, "gauge", "", (Sample(name, labels, value),))
            for name, value in gauges.items()
            for labels in [{} if name.startswith("fleet_station") else whose]
        )
        self.figures.fold("a1", Telemetry("boot", self.at, families), 1e4, self.seconds)
        self.report.measured("a1")

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
    assert await manager.look() is first, "a heartbeat says the same"
    manager.measures({WROTE: BEGIN + 50})
    assert await manager.look() is not first


async def test_what_is_found_is_judged_again_only_once_it_may_be_otherwise(
    manager: Manager,
) -> None:
    manager.runs(State.FAILED)
    first = await manager.look()
    assert [one.text for one in first.status.findings] == ["record/main failed"]
    manager.seconds = 5
    assert await manager.look() is first
    manager.runs(State.RUNNING)
    assert (await manager.look()).status.findings == ()


async def test_what_is_judged_between_two_looks_is_found_as_old_as_it_is(manager: Manager) -> None:
    manager.measures({WROTE: BEGIN, "fleet_station_mains": 0.0})
    assert await manager.found() == []
    manager.seconds = 59
    manager.measures({WROTE: BEGIN + 59, "fleet_station_mains": 0.0})
    assert await manager.found() == []
    manager.seconds = 60
    assert await manager.found() == ["runs on battery"]


async def test_what_wears_off_with_time_is_gone_when_it_is(manager: Manager) -> None:
    manager.runs(State.RUNNING, restarts=3)
    manager.measures({WROTE: BEGIN + 1e4})

    async def now() -> tuple[list[str], int]:
        one = await manager.look()
        report = one.status.roles["record"]["main"]
        return [it.text for it in one.status.findings], report.restarts_last_hour

    loops = ["record/main crash-looping, 3 restarts in 5 min"]
    assert await now() == (loops, 3)
    manager.seconds = 300
    assert await now() == (loops, 3)
    manager.seconds = 300.5
    assert await now() == ([], 3)
    manager.seconds = 3600.5
    assert await now() == ([], 0)


async def test_restarts_before_this_manager_began_are_those_that_the_station_tells(
    manager: Manager,
) -> None:
    async def now() -> int:
        return (await manager.look()).status.roles["record"]["main"].restarts_last_hour

    manager.says(Status("boot", manager.at, 1, {}))  # which it forgets
    manager.runs(State.RUNNING, restarts=9, in_hour=7)
    manager.measures({WROTE: BEGIN + 1e4})
    assert await now() == 7
    assert all("crash" not in one for one in await manager.found()), "nobody knows when they were"
    manager.runs(State.RUNNING, restarts=9, in_hour=0)
    assert await now() == 0
    manager.runs(State.RUNNING, restarts=1, in_hour=1)
    manager.runs(State.RUNNING, restarts=0)
    assert await now() == 1, "its agent began anew and does not know of it"


async def test_a_number_of_days_in_what_is_found_goes_on(manager: Manager) -> None:
    ends = manager.at + timedelta(days=2, seconds=10)
    manager.ledger.let_in.credentials["a1"] = KeptCredential("a1", "", manager.at, ends, None)
    assert await manager.found() == ["its credential ends in 2 days"]
    manager.seconds = 10.5
    assert await manager.found() == ["its credential ends in 1 day"]


async def test_a_number_of_minutes_in_what_is_found_goes_on(manager: Manager) -> None:
    roles: Roles = {"sync": {"main": {}}}
    config = Config(1, manager.at, "ann", roles)
    manager.ledger._entries["a1"] = evolve(manager.entry, config=config)
    one = InstanceStatus(State.RUNNING, manager.at, 0, None, None, 1)
    manager.says(Status("boot", manager.at, 1, {"sync": {"main": one}}))
    manager.says(Ack(1, "boot", manager.at, Result.ACCEPTED, None, InForce(1, roles)))
    manager.measures({UNVERIFIED: BEGIN - 1000}, "sync")
    assert await manager.found() == ["copies 17 min behind"]
    manager.seconds = 60
    assert await manager.found() == ["copies 18 min behind"]


async def test_a_box_of_which_nothing_is_wanted_is_not_well_while_something_is_found(
    manager: Manager,
) -> None:
    manager.ledger._entries["a1"] = evolve(manager.entry, config=None)
    manager.says(Ack(1, "boot", manager.at, Result.ACCEPTED, None, InForce(1, {})))
    manager.says(Status("boot", manager.at, 1, {}))
    assert (await manager.look()).status.well
    for manager.seconds in (30, 900):
        manager.measures({"fleet_station_temperature_celsius": 90.0})
        seen = await manager.look()
    assert ([one.text for one in seen.status.findings], seen.status.well) == (["too hot"], False)


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


def is_two_boxes(manager: Manager) -> None:
    for boot in ("other", "boot", "other"):
        manager.says(Presence(PresenceState.ONLINE, boot, 1, manager.at, 1e4))


def loses_the_broker(manager: Manager) -> None:
    manager.inventory.connected = False


@pytest.mark.parametrize(
    "happens",
    [
        *(fails, is_wanted_otherwise, is_moved, is_worked_on, is_stopped, leaves),
        *(is_two_boxes, loses_the_broker),
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
    manager.report._seen.clear()
    assert await manager.look() == after, "as if it was seen for the first time"


async def test_who_else_uses_an_id_is_seen_at_the_next_look(manager: Manager) -> None:
    is_two_boxes(manager)
    assert "third" not in ((await manager.look()).status.note or "")
    manager.says(Presence(PresenceState.ONLINE, "third", 1, manager.at, 1e4))
    assert "third" in ((await manager.look()).status.note or "")
