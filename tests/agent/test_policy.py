"""The restart policy: when an instance is started again, and how it is shown meanwhile."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.engine import policy
from fleet.agent.engine.policy import Ending, History, decide, remember
from fleet.model import State

DEATH = Ending("ChildExited", "ffmpeg ended with status 1: no such thing")
UNPLUGGED = Ending("DeviceMissing", "plug it in")

endings = st.builds(
    Ending,
    reason=st.sampled_from(["ChildExited", "RoleCrashed", "Stalled", "DeviceMissing"]),
    message=st.text(max_size=20),
    ran=st.floats(0, 10_000),
)
jitters = st.floats(0, 1)


def history(*endings: Ending) -> History:
    past: History = ()
    for ending in endings:
        past = remember(past, ending)
    return past


@pytest.mark.parametrize(
    ("ends", "at_most"), [(1, 0.05), (2, 1.0), (3, 2.0), (4, 4.0), (5, 60.0), (50, 60.0)]
)
def test_deaths_in_a_row_wait_longer_each_time_up_to_a_minute(ends: int, at_most: float) -> None:
    assert decide(history(*[DEATH] * ends), 1.0).delay == at_most


def test_a_recording_that_crashed_after_a_stable_minute_is_back_almost_at_once() -> None:
    past = history(*[DEATH] * 20, Ending("ChildExited", "killed", ran=policy.STABLE))
    verdict = decide(past, 1.0)
    assert verdict.delay <= 0.2
    assert verdict.state is State.BACKOFF


def test_five_deaths_in_a_row_are_a_crash_loop_that_shows_the_last_words() -> None:
    for ends in range(1, 5):
        verdict = decide(history(*[DEATH] * ends), 0.5)
        assert (verdict.state, verdict.reason) == (State.BACKOFF, "ChildExited")
    verdict = decide(history(*[DEATH] * 5), 0.5)
    assert (verdict.state, verdict.reason) == (State.FAILED, "CrashLoop")
    assert DEATH.message in verdict.message


def test_one_death_after_a_trouble_that_was_mended_is_no_crash_loop() -> None:
    for ran in (0.0, 5.0):
        verdict = decide(history(*[UNPLUGGED] * 9, evolve(DEATH, ran=ran)), 1.0)
        assert (verdict.state, verdict.reason) == (State.BACKOFF, "ChildExited")
        assert verdict.delay <= (policy.FIRST if ran else policy.EXPLAINED_CAP)


def test_what_fails_by_name_soon_after_each_start_is_not_begun_again_and_again() -> None:
    for ends in range(2, 20):
        verdict = decide(history(*[evolve(UNPLUGGED, ran=0.2)] * ends), 1.0)
        assert verdict.delay >= policy.BASE
    assert verdict.delay == policy.EXPLAINED_CAP


def test_who_held_up_all_others_waits_long_from_the_first_time_on() -> None:
    verdict = decide(history(Ending("HeldLoop", "cut short")), 0.0)
    assert (verdict.state, verdict.reason) == (State.FAILED, "HeldLoop")
    assert verdict.delay >= policy.CAP / 2


def test_deaths_between_troubles_are_a_crash_loop_in_the_end() -> None:
    died = evolve(DEATH, ran=5.0)
    verdict = decide(history(*[died, UNPLUGGED] * 4, died), 1.0)
    assert (verdict.state, verdict.reason) == (State.FAILED, "CrashLoop")


def test_a_reason_to_mend_is_failed_at_once_and_keeps_its_name() -> None:
    for ends in (1, 5, 9):
        verdict = decide(history(*[UNPLUGGED] * ends), 1.0)
        assert (verdict.state, verdict.reason, verdict.message) == (
            State.FAILED,
            "DeviceMissing",
            "plug it in",
        )
        assert verdict.delay <= policy.EXPLAINED_CAP


@given(st.lists(endings, min_size=1, max_size=30), jitters)
def test_every_delay_is_bounded_and_every_verdict_explains(past: list[Ending], j: float) -> None:
    verdict = decide(history(*past), j)
    assert 0 <= verdict.delay <= policy.CAP
    assert verdict.state in (State.BACKOFF, State.FAILED)
    assert verdict.reason
    assert past[-1].message in verdict.message


@given(st.lists(endings, min_size=1, max_size=30), jitters, jitters)
def test_jitter_only_stretches_the_delay(past: list[Ending], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert decide(history(*past), low).delay <= decide(history(*past), high).delay


@given(st.integers(1, 30), jitters, st.sampled_from([DEATH, UNPLUGGED]))
def test_one_more_end_in_a_row_never_lowers_the_longest_delay(
    ends: int, j: float, ending: Ending
) -> None:
    longest = [decide(history(*[ending] * n), 1.0).delay for n in (ends, ends + 1)]
    assert longest == sorted(longest)
    assert decide(history(*[ending] * ends), j).delay <= longest[0]


@given(st.lists(endings, max_size=50))
def test_a_history_stays_short(past: list[Ending]) -> None:
    assert len(history(*past)) <= policy.LOOP
