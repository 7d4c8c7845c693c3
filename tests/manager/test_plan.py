"""What applying would change, instance by instance."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference import file
from fleet.manager.conference.plan import (
    advice,
    changes,
    doubts,
    station_change,
    tables,
    warning,
)
from fleet.manager.conference.rooms import Rooms
from fleet.manager.conference.wanted import DesiredState, Facts
from fleet.model import Factory, Registration, State
from fleet.operations.plans import Change
from fleet.strict import same

FACTS = Facts("hall1-cam", "hall1", "cam")


def planned(then: Any, now: Any, *running: tuple[str, str]) -> list[Change]:
    at_work = dict.fromkeys(running, State.RUNNING)
    return list(changes(DesiredState("b1", FACTS, then), now, at_work))


def shown(then: Any, now: Any) -> list[str]:
    return [
        f"{one.action} {one.role}/{one.instance} {one.detail}".rstrip()
        for one in planned(then, now)
    ]


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({}, {}, []),
        ({"r": {"a": {}}}, {}, ["+ r/a"]),
        ({}, {"r": {"a": {}, "b": {}}}, ["- r/a", "- r/b"]),
        ({"r": {"a": {"x": 1}}}, {"r": {"a": {"x": 1}}}, []),
        ({"r": {"a": {"x": 2}}}, {"r": {"a": {"x": 1}}}, ["~ r/a x 1 -> 2"]),
        ({"r": {"a": {"x": 1.0}}}, {"r": {"a": {"x": 1}}}, ["~ r/a x 1 -> 1.0"]),
        ({"r": {"a": {"x": True}}}, {"r": {"a": {"x": 1}}}, ["~ r/a x 1 -> true"]),
        ({"r": {"a": {"s": {"t": "b", "u": 1}}}}, {"r": {"a": {"s": {"t": "a"}}}},
         ["~ r/a s.t a -> b, s.u none -> 1"]),
        ({"r": {"a": {}}}, {"r": {"a": {"x": [1, {"y": 2}]}}}, ["~ r/a x [1, {y = 2}] -> none"]),
        ({"R": {"a": {}}}, {"r": {"a": {}}}, ["+ R/a", "- r/a"]),
    ],
)  # fmt: skip
def test_changes(then: Any, now: Any, expected: list[str]) -> None:
    assert shown(then, now) == expected


def test_a_long_difference_is_cut_short() -> None:
    then = {"r": {"a": dict.fromkeys("abcdef", "x" * 100)}}
    (one,) = planned(then, {"r": {"a": {}}})
    assert one.detail.endswith(", 2 more")
    assert len(one.detail) < 250


def test_a_change_says_whether_the_instance_runs() -> None:
    then = {"r": {"a": {"x": 2}, "b": {"x": 2}}}
    now = {"r": {"a": {"x": 1}, "b": {"x": 1}}}
    assert [one.running for one in planned(then, now, ("r", "b"))] == [False, True]


@pytest.mark.parametrize(
    ("role", "changed", "live"),
    [
        ("record", {"minimum_free_gib": 5.0}, True),
        ("record", {"minimum_free_gib": 5.0, "stall_seconds": 20}, True),
        ("record", {"segment_seconds": 60}, False),
        ("record", {"segment_seconds": 60, "stall_seconds": 20}, False),
        ("monitor", {"low_lufs": -40.0}, True),
        ("monitor", {"thumbnail_seconds": 9}, False),
        ("ingest", {"rate": 30}, False),
        ("hoist", {"stall_seconds": 20}, False),
    ],
)
def test_what_an_instance_takes_while_it_runs_interrupts_nothing(
    role: str, changed: Any, live: bool
) -> None:
    (one,) = planned({role: {"a": changed}}, {role: {"a": {}}}, (role, "a"))
    assert (one.live, one.interrupts) == (live, not live)


ROOMS = """
[rooms.hall1]
[rooms.hall2]
[rooms.hall3]
[stations.cam]
id = "1"
room = "hall1"
roles.ingest.main.picture = {type = "test"}
roles.monitor.main.source = {role = "ingest"}
roles.record.main.source = {role = "ingest"}
[stations.cam2]
id = "2"
room = "hall2"
roles.ingest.main.picture = {type = "test"}
[stations.desk]
id = "3"
room = "hall3"
"""


def advised(text: str, *only: str) -> list[str]:
    read = file.examine(text)
    chosen = [one for one in read.stations.values() if not only or one.name in only]
    return [one.partition(":")[0] for one in advice(chosen, read)]


def known(text: str) -> Rooms:
    made = Rooms()
    made.learn(file.examine(text))
    return made


GENERAL = """
[conference]
timezone = "Europe/Brussels"
[schedule]
url = "http://a.de/x?token=abcdefgh"
[rooms.hall1]
hours = ["09:00-19:00"]
[rooms.hall2]
"""


@pytest.mark.parametrize(
    ("was", "will", "expected"),
    [
        ("", GENERAL, []),
        (GENERAL, GENERAL, []),
        (GENERAL, GENERAL.replace("[rooms.hall2]", "[rooms.hall3]"), []),
        (
            GENERAL,
            GENERAL.replace("Brussels", "Paris").replace("09:", "08:"),
            [
                "conference: timezone Europe/Brussels -> Europe/Paris",
                "rooms.hall1: hours [09:00-19:00] -> [08:00-19:00]",
            ],
        ),
        (
            GENERAL,
            "[rooms.hall2]\ntitle = 'Two'",
            [
                "conference: timezone Europe/Brussels -> none",
                "schedule: url http://a.de/x?token=*** -> none",
                "rooms.hall1: hours [09:00-19:00] -> none",
                "rooms.hall2: title none -> Two",
            ],
        ),
    ],
)
def test_what_changes_besides_stations_is_told_too(
    was: str, will: str, expected: list[str]
) -> None:
    found = tables(file.examine(will), known(was))
    assert [f"{one.table}: {one.detail}" for one in found] == expected


def test_a_room_nobody_records_is_told() -> None:
    assert advised(ROOMS) == ["nobody records the room hall2", "nobody records the room hall3"]
    assert advised(ROOMS, "cam2") == ["nobody records the room hall2"]
    off = ROOMS.replace("[stations.cam2]", "roles.record.main.enabled = false\n[stations.cam2]")
    off = off.replace('roles.record.main.source = {role = "ingest"}\nroles.record', "roles.record")
    assert advised(off, "cam") == ["nobody records the room hall1"]


def test_a_room_without_a_station_is_recorded_by_nobody() -> None:
    assert "nobody records the room hall9" in advised(ROOMS + "[rooms.hall9]\n")
    assert advised("[rooms.hall1]") == ["nobody records the room hall1"]


def test_a_room_is_recorded_where_the_recording_of_its_picture_is_elsewhere() -> None:
    text = ROOMS.replace("[stations.cam2]", '[stations.cam2]\naddress = "192.0.2.2"')
    text += 'roles.record.main.source = {role = "ingest", station = "cam2"}\n'
    assert advised(text) == [
        "nobody records the room hall3",
        "desk record/main",  # which nobody watches
    ]


def test_a_monitor_on_another_station_watches_too() -> None:
    text = ROOMS.replace('room = "hall1"', 'room = "hall1"\naddress = "192.0.2.1"')
    text = text.replace('roles.monitor.main.source = {role = "ingest"}\n', "")
    assert "cam record/main" in advised(text)
    text += 'roles.monitor.main.source = {role = "ingest", station = "cam"}\n'
    assert advised(text, "cam") == []


def test_who_has_to_be_found_by_name_is_told() -> None:
    text = ROOMS + 'roles.stream.main = {source = {role = "ingest", station = "cam2"}, '
    text += 'target = {type = "hls"}}\n'
    read = file.examine(text)
    (one,) = [said for said in advice(list(read.stations.values()), read) if "mDNS" in said]
    assert one.startswith("cam2 has no address, so stream/main of 'desk' relies on mDNS")
    assert "cam2.local" in one
    assert advised(text, "cam") == [], "this part of the file has nothing to do with it"


def test_a_new_name_or_room_is_a_change_of_the_station_alone() -> None:
    then = DesiredState("b1", Facts("hall1-cam", "hall2", "cam"), {})
    change = station_change(then, Facts("cam", "hall1", None), new=False)
    assert change is not None
    assert change.detail == "name cam -> hall1-cam, room hall1 -> hall2, seat none -> cam"
    assert station_change(then, then.facts, new=False) is None
    new = station_change(then, Facts(), new=True)
    assert new is not None
    assert new.detail == "new"


def test_a_changed_secret_is_a_change_that_does_not_show_it() -> None:
    then = {"r": {"a": {"password": "hunter2", "url": "x://ann:pw1@y", "t": {"api_key": "k1"}}}}
    now = {"r": {"a": {"password": "hunter1", "url": "x://ann:pw2@y", "t": {"api_key": "k2"}}}}
    assert shown(then, now) == [
        "~ r/a password (hidden) -> (hidden), t.api_key (hidden) -> (hidden), "
        "url x://***@y -> x://***@y"
    ]
    assert shown(then, {"r": {"a": {}}}) == [
        "~ r/a password none -> (hidden), t none -> {api_key = (hidden)}, url none -> x://***@y"
    ]


def test_what_a_station_would_refuse_is_a_warning() -> None:
    registration = Registration(
        "A",
        "1",
        "host",
        None,
        (),
        ("stream",),
        {"hoist": Factory(1, {}, {}), "stream": Factory(0, {}, {})},
        {"mix": "install voctomix"},
        (),
    )
    roles: Any = {
        "hoist": {"a": {}, "b": {}},
        "stream": {"main": {}},
        "mix": {"main": {}},
        "mystic": {"main": {}},
    }
    assert list(map(warning, doubts(DesiredState("b1", FACTS, roles), registration))) == [
        "hall1-cam runs at most 1 of the role 'hoist', 2 are wanted",
        "hall1-cam blocks the role 'stream'",
        "hall1-cam cannot run the role 'mix': install voctomix",
        "hall1-cam has no role 'mystic' (it has: hoist, stream)",
    ]


VALUES = st.recursive(
    st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, 1.0]) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=6,
)
NAMES = st.sampled_from(["a", "b", "c"])
ROLES = st.dictionaries(
    NAMES,
    st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=2), min_size=1, max_size=3),
    max_size=3,
)


@given(ROLES, ROLES)
def test_a_plan_applied_leaves_an_empty_plan(then: Any, now: Any) -> None:
    result = {role: dict(instances) for role, instances in now.items()}
    for change in planned(then, now):
        instances = result.setdefault(change.role, {})
        if change.action == "-":
            del instances[change.instance]
        else:
            assert (change.instance in instances) == (change.action == "~")
            instances[change.instance] = then[change.role][change.instance]
    assert planned(then, result) == []
    assert same({role: inner for role, inner in result.items() if inner}, then)


SECRETIVE = st.recursive(
    VALUES,
    lambda inner: st.fixed_dictionaries(
        {"password": st.sampled_from(["hunter2", "hunter3"]), "a": inner},
        optional={"api_key": st.just("hunter4"), "url": st.just("x://ann:hunter5@y?token=hunter6")},
    ),
    max_leaves=4,
)


@given(SECRETIVE, SECRETIVE)
def test_whatever_changes_no_secret_is_shown(then: Any, now: Any) -> None:
    found = planned({"r": {"a": {"x": then}, "b": {"x": then}}}, {"r": {"a": {"x": now}}})
    assert "hunter" not in str(found)
    assert bool(found[0].action == "~") == (not same(then, now))
