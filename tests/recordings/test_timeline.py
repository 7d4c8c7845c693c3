"""Files of a recording that went on while the clock of its box was set."""

from datetime import UTC, datetime, timedelta

from attrs import evolve

from fleet.manager.recordings.timeline import on_one_clock
from fleet.model import Segment, SegmentCheck, Span

BEGIN = datetime(2026, 2, 1, 12, tzinfo=UTC)


def segment(number: int, ahead: float = 0.0, start: float | None = -1.0) -> Segment:
    """Of one minute; `ahead`: seconds by which the clock of the box was."""
    begin = BEGIN + timedelta(seconds=60 * number + ahead)
    return Segment(
        index="index",
        number=number,
        file=f"{number}.ts",
        room="hall1",
        role="record",
        instance="main",
        begin=begin,
        end=begin + timedelta(seconds=60),
        bytes=1,
        streams=(),
        frames=1500,
        checksum=None,
        gap=None,
        ended="full",
        start=100.0 + 60 * number if start == -1.0 else start,
    )


def seconds(*told: Segment) -> list[float]:
    found = on_one_clock([("b1", one) for one in told])
    return [(one.begin - BEGIN).total_seconds() for _, one in found]


def test_a_clock_that_is_set_right_was_wrong_before() -> None:
    assert seconds(segment(0, -3600), segment(1, -3600), segment(2), segment(3)) == [
        0,
        60,
        120,
        180,
    ]
    assert seconds(segment(0, 9), segment(1, 9), segment(2)) == [0, 60, 120]
    assert seconds(segment(0), segment(1, 3600), segment(2), segment(3)) == [0, 60, 120, 180]


def test_of_a_clock_that_is_wrong_now_what_came_before_is_believed() -> None:
    told = [("b1", segment(0)), ("b1", segment(1)), ("b1", segment(2, 3600))]
    found = [one for _, one in on_one_clock(told, {"b1"})]
    assert [(one.begin - BEGIN).total_seconds() for one in found] == [0, 60, 120]
    found = [one for _, one in on_one_clock(told)]
    assert [(one.begin - BEGIN).total_seconds() for one in found] == [3600, 3660, 3720]


def test_what_another_instance_closed_in_between_is_no_gap() -> None:
    of_another = evolve(segment(1), number=11, instance="again", start=1.4)
    told = [evolve(segment(0, 3600), number=10), of_another, evolve(segment(1), number=12)]
    assert seconds(*told) == [0, 60, 60]


def test_what_was_found_in_a_file_moves_with_it() -> None:
    span = Span(BEGIN, BEGIN + timedelta(seconds=5), "channel 2")
    wrong = evolve(segment(0, -30), check=SegmentCheck(BEGIN, silences=(span,)))
    (_, found), _ = on_one_clock([("b1", wrong), ("b1", segment(1))])
    assert found.check is not None
    assert found.check.silences[0].begin == BEGIN + timedelta(seconds=30)


def test_what_is_missing_stays_missing() -> None:
    assert seconds(segment(1), segment(3)) == [60, 180]
    again = evolve(segment(3), number=2)  # one of between was never closed
    assert seconds(segment(1), again) == [60, 180]
    began_anew = evolve(segment(2, 20), start=1.4)
    assert seconds(segment(1), began_anew) == [60, 140]
    assert seconds(segment(1, start=None), segment(2, 20, None)) == [60, 140]


def test_less_than_a_second_is_no_step() -> None:
    assert seconds(segment(0), segment(1, 0.4)) == [0, 60.4]
