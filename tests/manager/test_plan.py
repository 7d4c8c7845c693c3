"""What applying would change, instance by instance."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference.plan import changes, doubts, same, station_change, warning
from fleet.manager.conference.wanted import DesiredState, Facts
from fleet.model import Factory, Registration
from fleet.operations import Change

FACTS = Facts("hall1-cam", "hall1", "cam")


def planned(then: Any, now: Any, *running: tuple[str, str]) -> list[Change]:
    return list(changes(DesiredState("b1", FACTS, then), now, frozenset(running)))


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
