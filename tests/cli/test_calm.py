"""A crash loop does not drown the others, and how it ended is told."""

from datetime import UTC, datetime, timedelta

from attrs import evolve

from fleet.cli.calm import MOST, WINDOW, Restraint
from fleet.cli.happenings import Happening, happenings
from fleet.model import State
from tests.cli.test_view import ILL, WELL, station

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)


def change(state: State, at: datetime) -> Happening:
    """The main recording of a station has come to be so."""
    was = evolve(station("cam"), roles={"record": {"main": ILL}})
    now = evolve(was, roles={"record": {"main": evolve(WELL, state=state, since=at)}})
    (one,) = happenings([was], [now], at)
    return one


def test_of_many_changes_the_last_is_told_a_minute_later_with_how_many_were_left_out() -> None:
    calm = Restraint()
    told: list[Happening] = []
    for second in range(25):
        at = AT + timedelta(seconds=second)
        told += calm.pass_on([change(State.STARTING, at)], at)
    assert len(told) == MOST
    at = AT + timedelta(seconds=25)
    assert list(calm.pass_on([change(State.RUNNING, at)], at)) == []
    due = AT + WINDOW + timedelta(seconds=MOST - 1)
    assert list(calm.pass_on([], due - timedelta(seconds=1))) == []
    (last,) = calm.pass_on([], due)
    assert last.text == "record/main running (was backoff); 21 changes before it are left out"
    assert list(calm.pass_on([], due + WINDOW)) == []


def test_a_loop_that_goes_on_is_told_once_a_minute() -> None:
    calm = Restraint()
    told = [
        one
        for second in range(600)
        for at in (AT + timedelta(seconds=second),)
        for one in calm.pass_on([change(State.STARTING, at)], at)
    ]
    assert len(told) == MOST + 9
    calm_again = AT + timedelta(seconds=720)
    list(calm.pass_on([], calm_again))
    later = calm_again + WINDOW
    assert len(list(calm.pass_on([change(State.RUNNING, later)], later))) == 1, "at once again"


def test_others_are_told_at_once_meanwhile() -> None:
    calm = Restraint()
    for _ in range(50):
        list(calm.pass_on([change(State.STARTING, AT)], AT))
    other = evolve(change(State.STARTING, AT), name="hall2-cam")
    gone = evolve(change(State.STARTING, AT), kind="presence")
    assert list(calm.pass_on([other, gone], AT)) == [other, gone]
