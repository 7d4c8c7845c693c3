"""What doctor says of a station that others have to find by its name."""

from datetime import UTC, datetime

import pytest
from attrs import evolve

from fleet.manager.conference.readers import hosts
from fleet.manager.fixes import fixes
from fleet.model import PresenceState
from fleet.operations.doctor import StationFacts

AT = datetime(2026, 2, 1, tzinfo=UTC)
CAM = StationFacts(
    id="b1",
    name="hall1-cam",
    room="hall1",
    presence=PresenceState.ONLINE,
    wanted=True,
    conflict=False,
    hostnames=("box",),
    agent=None,
    address=None,
    addresses=("192.0.2.7", "fe80::1%eth0"),
    said_at=AT,
    clock_offset=0.0,
    reached_as="hall1-cam.local",
)


def kinds(one: StationFacts, *found: str) -> list[str]:
    return [fix.kind for fix in fixes(one, "1", AT, {"hall1-cam.local": found})]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), ["NameUnresolved"]),
        (("192.0.2.9",), ["NameUnresolved"]),
        (("192.0.2.9", "192.0.2.7"), []),
        (("fe80::1",), []),
    ],
)
def test_a_name_that_others_rely_on_is_tried(found: tuple[str, ...], expected: list[str]) -> None:
    assert kinds(CAM, *found) == expected


@pytest.mark.parametrize(
    "one",
    [
        evolve(CAM, reached_as=None),
        evolve(CAM, presence=PresenceState.LOST),
        evolve(CAM, conflict=True, hostnames=("a", "b")),
    ],
)
def test_a_name_that_nobody_needs_or_of_a_box_that_is_away_is_not_tried(one: StationFacts) -> None:
    assert "NameUnresolved" not in kinds(one)


def test_stations_of_one_machine_may_reach_each_other_by_loopback() -> None:
    one = evolve(CAM, address="127.0.0.1", reached_as=None)
    assert kinds(one) == ["WrongAddress"]
    assert list(fixes(one, "1", AT, {}, together=True)) == []
    other = evolve(one, address="198.51.100.4")
    assert [fix.kind for fix in fixes(other, "1", AT, {}, together=True)] == ["WrongAddress"]


def test_the_fix_is_the_line_to_write() -> None:
    (one,) = fixes(CAM, "1", AT, {})
    assert "hall1-cam.local, which cannot be resolved where the manager runs" in one.message
    assert 'put address = "192.0.2.7" in [stations.hall1-cam]' in one.fix


def test_the_hosts_that_are_read_are_those_in_the_configs() -> None:
    record = {"main": {"source": {"host": "hall1-cam.local"}}, "two": {"source": {"type": "test"}}}
    mix = {"main": {"sources": {"a": {"host": "192.0.2.7", "port": 7000}, "b": 5}}}
    assert hosts([{"record": record}, {"mix": mix}]) == {"hall1-cam.local", "192.0.2.7"}
