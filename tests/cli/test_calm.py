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
    (last,) = calm.pass_on([], AT + WINDOW)
    assert last.text == "record/main running (was backoff); 15 changes before it are left out"
    assert list(calm.pass_on([], AT + 2 * WINDOW)) == []


def test_others_are_told_at_once_meanwhile() -> None:
    calm = Restraint()
    for _ in range(50):
        list(calm.pass_on([change(State.STARTING, AT)], AT))
    other = evolve(change(State.STARTING, AT), name="hall2-cam")
    gone = evolve(change(State.STARTING, AT), kind="presence")
    assert list(calm.pass_on([other, gone], AT)) == [other, gone]
