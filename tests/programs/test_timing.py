"""When what comes in is shown, on a clock of our own."""

import random
from collections.abc import Iterable

import pytest

from fleet.programs.timing import Frames, Share, Timeline

MS = 1_000_000
FRAME = 40 * MS


def settled(offset: int = 0) -> Timeline:
    """One that has seen two seconds of both, each in time."""
    line = Timeline(offset)
    for now in range(0, 2_001 * MS, FRAME):
        for kind in ("sound", "picture"):
            assert line.place(kind, now - offset, now) == now
    return line


def test_the_first_sample_gives_the_time_and_both_move_together() -> None:
    line = Timeline(0)
    assert line.place("sound", 0, 700 * MS) == 700 * MS
    assert line.place("picture", 10 * MS, 1_000 * MS) == 1_000 * MS, "300 ms later than sound"
    assert line.place("sound", 300 * MS, 1_000 * MS) == 1_290 * MS


def test_a_foreign_clock_is_taken_up_so_that_nothing_is_late() -> None:
    line = Timeline(0)
    assert line.place("sound", 0, 1_400 * MS) == 1_400 * MS
    assert line.place("picture", 20 * MS, 1_500 * MS) == 1_500 * MS, "80 ms late"
    assert line.place("sound", 100 * MS, 1_500 * MS) == 1_580 * MS


def test_a_clock_that_is_ours_is_left_alone_by_a_device_that_takes_its_time() -> None:
    line = Timeline(5 * MS)
    assert [line.place("picture", n * FRAME, n * FRAME + 38 * MS) for n in range(3)] == [
        n * FRAME + 5 * MS for n in range(3)
    ]


def test_a_late_picture_is_shown_at_once_and_leaves_the_sound_alone() -> None:
    line = settled()
    for now in range(3_000 * MS, 20_000 * MS, 1_500 * MS):
        assert line.place("picture", now - 800 * MS, now) == now
        assert line.place("sound", now, now) == now


def test_what_was_held_up_once_is_left_out_and_the_rest_is_in_time() -> None:
    line = settled()
    for running in range(2_000 * MS, 3_000 * MS, 20 * MS):
        assert line.place("sound", running, 3_200 * MS) is None
    assert line.place("sound", 3_190 * MS, 3_200 * MS) == 3_190 * MS


@pytest.mark.parametrize(("kind", "other"), [("sound", "picture"), ("picture", "sound")])
def test_what_stays_late_moves_both_after_a_second(kind: str, other: str) -> None:
    line = settled()
    for now in range(3_000 * MS, 4_001 * MS, FRAME):
        line.place(kind, now - 400 * MS, now)
    assert line.place(kind, 4_040 * MS - 400 * MS, 4_040 * MS) == 4_040 * MS
    assert line.place(other, 4_040 * MS, 4_040 * MS) == 4_440 * MS


def test_a_clock_that_jumps_ahead_is_followed_at_once() -> None:
    line = settled()
    assert line.place("sound", 3_600_000 * MS, 3_000 * MS) == 3_000 * MS


def put(frames: Frames, times: Iterable[float]) -> list[int | None]:
    return [frames.put(round(time)) for time in times]


def test_jitter_neither_repeats_nor_drops_a_picture_wherever_in_a_frame_they_come() -> None:
    chance = random.Random(7)
    for phase in range(0, 40, 5):
        frames = Frames(25, 1)
        times = ((n * 40 + phase + chance.uniform(-8, 8)) * MS for n in range(1000))
        begins = put(frames, times)
        assert (frames.repeated, frames.dropped) == (0, 0), phase
        assert begins == [begins[0] + n * FRAME for n in range(1000)]  # type: ignore[operator]


def test_a_picture_is_never_further_off_than_half_a_frame_once_its_time_has_settled() -> None:
    frames = Frames(25, 1)
    assert frames.put(0, settled=False) == 0
    assert frames.put(67 * MS, settled=False) == 80 * MS, "moved by 27 ms, so the nearest anew"
    assert put(frames, (n * FRAME + 27 * MS for n in range(2, 5))) == [
        n * FRAME for n in range(3, 6)
    ]


@pytest.mark.parametrize(
    ("given", "rate", "repeated", "dropped"),
    [
        (25, (25, 1), 0, 0),
        (30000 / 1001, (30000, 1001), 0, 0),
        (24000 / 1001, (24000, 1001), 0, 0),
        (60000 / 1001, (60000, 1001), 0, 0),
        (30, (25, 1), 0, 500),
        (30000 / 1001, (30, 1), 3, 0),
        (24, (25, 1), 125, 0),
    ],
)
def test_a_rate_is_kept_or_changed_by_no_more_than_it_takes(
    given: float, rate: tuple[int, int], repeated: int, dropped: int
) -> None:
    frames = Frames(*rate)
    put(frames, (n * 1e9 / given for n in range(3000)))
    assert frames.repeated == pytest.approx(repeated, abs=1)
    assert frames.dropped == pytest.approx(dropped, abs=1)


def test_a_share_is_that_of_the_last_half_minute_and_needs_enough_to_say_something() -> None:
    share = Share()
    assert share.of(1, 25, least=200) == 0
    for second in range(2, 61):
        found = share.of(min(second, 30), 25 * second, least=200)
        if second == 30:
            assert found == pytest.approx(0.04)
    assert found == 0
