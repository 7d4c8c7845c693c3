"""A rollout goes batch by batch, waits for health, and stops at the first failure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import (
    Begin,
    Calm,
    End,
    Outcome,
    Phase,
    Rollout,
    RolloutTarget,
    Undo,
    Wait,
    judge,
    look,
    what_next,
)
from fleet.manager.stations.state import ReportedState
from fleet.model import (
    Ack,
    Error,
    InForce,
    InstanceStatus,
    PresenceState,
    Result,
    State,
    Status,
)

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
ROLES: Mapping[str, Mapping[str, Mapping[str, object]]] = {"record": {"main": {}}}


def _target(
    station: str = "a", outcome: Outcome = Outcome.BEGUN, revision: int = 2
) -> RolloutTarget:
    begun = None if outcome is Outcome.WAITING else revision
    return RolloutTarget(station, Facts(), ROLES, before=1, revision=begun, outcome=outcome)


def _rollout(*targets: RolloutTarget, **changes: Any) -> Rollout:
    return evolve(Rollout(1, AT, "ann", None, targets), **changes)


def _seen(
    state: State = State.RUNNING,
    *,
    presence: PresenceState = PresenceState.ONLINE,
    result: Result = Result.ACCEPTED,
    acked: int | None = 2,
    named: int = 2,
) -> ReportedState:
    error = Error("BlockedRole", "record is blocked") if result is Result.REJECTED else None
    ack = Ack(acked, "b", AT, result, error, InForce(acked or 1, ROLES))
    instance = InstanceStatus(state, AT, 0, "DiskFull", "no room")
    return ReportedState(presence, ack, Status("b", AT, named, {"record": {"main": instance}}))


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (_seen(), Outcome.HEALTHY),
        (_seen(State.COMPLETED), Outcome.HEALTHY),
        (_seen(State.STARTING), Outcome.BEGUN),
        (_seen(State.BACKOFF), Outcome.BEGUN),
        (_seen(State.FAILED), Outcome.FAILED),
        (_seen(State.FAILED, named=1), Outcome.BEGUN),
        (_seen(named=1), Outcome.BEGUN),
        (_seen(acked=1), Outcome.BEGUN),
        (_seen(result=Result.REJECTED), Outcome.REJECTED),
        (_seen(result=Result.REJECTED, acked=1), Outcome.BEGUN),
        (_seen(result=Result.REJECTED, presence=PresenceState.LOST), Outcome.REJECTED),
        (_seen(result=Result.REJECTED, acked=None), Outcome.BEGUN),
        (_seen(presence=PresenceState.LOST), Outcome.PENDING),
        (_seen(presence=PresenceState.OFFLINE), Outcome.PENDING),
        (ReportedState(PresenceState.ONLINE), Outcome.BEGUN),
        (ReportedState(PresenceState.UNKNOWN), Outcome.PENDING),
    ],
    ids=str,
)
def test_only_what_names_the_revision_counts(seen: ReportedState, outcome: Outcome) -> None:
    assert judge(_target(), seen)[0] is outcome


def test_a_failure_says_which_instance_and_why() -> None:
    assert judge(_target(), _seen(State.FAILED))[1] == "record/main failed (DiskFull: no room)"


def test_without_a_batch_everything_begins_at_once() -> None:
    targets = [_target(name, Outcome.WAITING) for name in "abc"]
    assert what_next(_rollout(*targets), {}, 0) == Begin(tuple(targets))


def test_the_next_batch_waits_until_this_one_is_healthy() -> None:
    rollout = _rollout(_target("a"), _target("b", Outcome.WAITING), batch=1)
    assert what_next(rollout, {}, 0) == Wait()
    rollout = look(rollout, lambda _: _seen())
    assert what_next(rollout, {"a": 0}, 0) == Begin((rollout.targets[1],))


def test_a_batch_settles_before_the_next_begins() -> None:
    done, waiting = _target("a", Outcome.HEALTHY), _target("b", Outcome.WAITING)
    rollout = _rollout(done, waiting, batch=1, settle=30.0)
    assert what_next(rollout, {"a": 100}, 101) == Wait(130)
    assert what_next(rollout, {"a": 100}, 130) == Begin((waiting,))


def test_calm_begins_again_after_a_break() -> None:
    calm = Calm()
    healthy, sick = _rollout(_target("a", Outcome.HEALTHY)), _rollout(_target("a"))
    calm.note(healthy, 10)
    calm.note(sick, 20)
    calm.note(healthy, 30)
    assert calm.since == {"a": 30}


def test_a_station_that_is_away_holds_nobody_up() -> None:
    rollout = _rollout(_target("a", Outcome.PENDING), _target("b", Outcome.WAITING), batch=1)
    assert isinstance(what_next(rollout, {}, 0), Begin)
    assert what_next(_rollout(_target("a", Outcome.PENDING)), {}, 0) == End(Phase.DONE)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FAILED])
def test_the_first_failure_stops_it_and_leaves_the_rest_alone(outcome: Outcome) -> None:
    rollout = _rollout(_target("a", outcome), _target("b"), _target("c", Outcome.WAITING), batch=2)
    assert what_next(rollout, {}, 0) == End(Phase.STOPPED)


def test_where_asked_for_a_failure_puts_back_what_was_changed_and_only_that() -> None:
    good, bad = _target("a", Outcome.HEALTHY), _target("b", Outcome.REJECTED)
    rollout = _rollout(good, bad, _target("c", Outcome.WAITING), undo_on_failure=True)
    assert what_next(rollout, {}, 0) == Undo((good, bad))
    undone = rollout.with_targets(evolve(one, outcome=Outcome.UNDONE) for one in (good, bad))
    assert what_next(undone, {}, 0) == End(Phase.UNDONE)


@given(
    names=st.integers(1, 12),
    batch=st.none() | st.integers(1, 5),
    away=st.sets(st.integers(0, 11)),
)
def test_with_healthy_or_absent_stations_it_ends_with_everyone_changed_once(
    names: int, batch: int | None, away: set[int]
) -> None:
    targets = [_target(f"s{n}", Outcome.WAITING) for n in range(names)]
    rollout = _rollout(*targets, batch=batch)
    begun: list[str] = []

    def see(station: str) -> ReportedState:
        gone = int(station[1:]) in away
        return _seen(presence=PresenceState.LOST if gone else PresenceState.ONLINE)

    for now in range(names + 1):
        step = what_next(rollout, {}, now)
        if isinstance(step, End):
            break
        assert isinstance(step, Begin)
        assert batch is None or len(step.targets) <= batch
        begun += [one.station for one in step.targets]
        rollout = rollout.with_targets(
            evolve(one, outcome=Outcome.BEGUN, revision=2) for one in step.targets
        )
        rollout = look(rollout, see)
    assert step == End(Phase.DONE)
    assert begun == [one.station for one in targets]
