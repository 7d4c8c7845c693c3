"""Reconciling is pure: (running, wanted) -> steps as data."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.engine.reconcile import (
    Key,
    Start,
    Step,
    Stop,
    Target,
    Unrunnable,
    Update,
    Wanted,
    reconcile,
    same,
)
from fleet.roles import Role, RoleFactory

Targets = Mapping[Key, Target]


class Factory(RoleFactory[None]):
    role = Role
    settings = type(None)


FACTORY = Factory()


def wanted(digest: str) -> Wanted:
    return Wanted(FACTORY, None, digest)


keys = st.builds(Key, st.sampled_from(["record", "stream"]), st.sampled_from(["a", "b", "c"]))
one_target = st.one_of(
    st.builds(wanted, st.sampled_from(["1", "2"])),
    st.builds(Unrunnable, st.just("InvalidConfiguration"), st.sampled_from(["x", "y"])),
)
targets = st.dictionaries(keys, one_target)


def take(running: Targets, steps: tuple[Step, ...]) -> Targets:
    after = dict(running)
    for step in steps:
        match step:
            case Stop(key):
                del after[key]
            case Update(key, target):
                assert key in after
                after[key] = target
            case Start(key, target):
                assert key not in after
                after[key] = target
    return after


@given(targets, targets)
def test_taking_the_steps_reaches_what_is_wanted(running: Targets, want: Targets) -> None:
    assert take(running, reconcile(running, want)) == want


@given(targets, targets)
def test_a_second_pass_yields_no_steps(running: Targets, want: Targets) -> None:
    assert reconcile(take(running, reconcile(running, want)), want) == ()


@given(targets, targets)
def test_what_did_not_change_gets_no_step_and_the_rest_one(running: Targets, want: Targets) -> None:
    touched = [step.key for step in reconcile(running, want)]
    unchanged = {key for key in running.keys() & want.keys() if same(running[key], want[key])}
    assert sorted(touched) == sorted((running.keys() | want.keys()) - unchanged)


@given(targets, targets)
def test_ends_come_before_changes_and_changes_before_begins(
    running: Targets, want: Targets
) -> None:
    order = [(Stop, Update, Start).index(type(step)) for step in reconcile(running, want)]
    assert order == sorted(order)


def test_settings_are_told_apart_by_their_digest_alone() -> None:
    key = Key("record", "main")
    same_settings = Wanted(Factory(), {"other": "object"}, "1")
    assert reconcile({key: wanted("1")}, {key: same_settings}) == ()
    assert reconcile({key: wanted("1")}, {key: wanted("2")}) == (Update(key, wanted("2")),)
