"""Long-lived tasks that die, and an event loop that is held."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

import pytest

from fleet import loop
from fleet.guard import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STEADY,
    Guard,
    HeldUp,
    TaskDied,
    contained,
    containing,
)
from fleet.loop import BEAT, HELD, LoopWatch, WatchedLoop
from tests.processes import PATIENCE


class Time:
    """Passes by being slept away."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _guard(time: Time, ends: list[TaskDied] | None = None) -> Guard:
    ends = [] if ends is None else ends
    return Guard(ends.append, sleep=time.sleep, now=time.now)


async def test_a_task_that_dies_is_logged_counted_and_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time, left = Time(), [ValueError("once"), Mute(), SystemExit(3)]
    kept = _guard(time)

    async def work() -> None:
        if left:
            raise left.pop(0)

    await kept.keep("the work", work)
    assert kept.deaths == {"the work": 3}
    assert time.pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3
    assert "ValueError: once" in caplog.text
    assert "in work" in caplog.text  # its traceback


async def test_the_pause_is_bounded_and_a_steady_life_forgives() -> None:
    time, deaths = Time(), 0

    async def work() -> None:
        nonlocal deaths
        deaths += 1
        if deaths == 12:
            time.seconds += STEADY
        if deaths == 14:
            return
        raise ValueError

    await _guard(time).keep("the work", work)
    assert max(time.pauses) == LONGEST_PAUSE
    assert time.pauses[10:] == [LONGEST_PAUSE, FIRST_PAUSE, 2 * FIRST_PAUSE]


async def test_a_cancellation_that_nobody_asked_for_is_a_death_and_one_asked_for_is_none() -> None:
    time = Time()
    kept = _guard(time)
    hold = asyncio.Event()

    async def work() -> None:
        if not time.pauses:
            other = asyncio.create_task(asyncio.sleep(3600))
            other.cancel()
            await other
        hold.set()
        await asyncio.Event().wait()

    task = kept.keep("the work", work)
    await hold.wait()
    assert kept.deaths == {"the work": 1}
    await kept.close()
    assert task.cancelled()
    assert kept.deaths == {"the work": 1}


async def test_a_task_that_the_program_relies_on_ends_it() -> None:
    ends: list[TaskDied] = []

    async def work() -> None:
        raise Mute

    await _guard(Time(), ends).rely_on("the work", work)
    assert [str(end) for end in ends] == ["the work died: Mute: (its text cannot be made)"]


def test_the_lag_is_the_longest_of_late_and_is_forgotten() -> None:
    time = Time()
    watch = LoopWatch(time.now)
    assert watch.lag == 0
    watch.works(0.0)
    time.seconds += 0.4
    assert watch.lag == pytest.approx(0.4)
    watch.rests()
    watch.works(0.3)
    watch.rests()
    time.seconds = 5.0
    assert watch.lag == pytest.approx(0.4)
    time.seconds = 45.0
    assert watch.lag == pytest.approx(0.4)
    time.seconds = 80.0
    assert watch.lag == 0


def test_while_the_loop_is_held_its_lag_shows_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    watch = LoopWatch(time.now)
    time.seconds = 10.0
    watch.works(0.0)
    time.seconds += HELD
    watch.look(lambda: ("record/main", "its line"))
    assert caplog.text == ""
    time.seconds = 12.0
    assert watch.lag == pytest.approx(2)
    for _ in range(3):
        watch.look(lambda: ("record/main", "its line"))
    watch.rests()
    assert _said(caplog) == [
        "the event loop is held for 2.0 s by record/main:\nits line",
        "the event loop was held for 2.0 s by record/main",
    ]


def test_who_held_the_loop_between_two_looks_is_named_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    watch = LoopWatch(time.now)
    watch.works(0.0)
    time.seconds += 0.1
    watch.look(lambda: ("an earlier turn", "its line"))
    watch.rests()
    watch.works(0.0)
    time.seconds += BEAT / 2
    watch.look(lambda: ("record/main", "its line"))
    time.seconds += HELD - BEAT / 2 + 0.1
    watch.rests()
    assert _said(caplog) == ["the event loop was held for 1.1 s by record/main:\nits line"]


def test_a_turn_nobody_looked_at_and_a_late_one_have_no_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = Time()
    watch = LoopWatch(time.now)
    watch.works(0.0)
    watch.look(lambda: ("an earlier turn", "its line"))
    watch.rests()
    watch.look(lambda: pytest.fail("it waits"))
    time.seconds += 0.1
    watch.works(1.5)
    time.seconds += 2.0
    watch.rests()
    nobody = "what let no other thread run, or the machine gave no time"
    assert _said(caplog) == [
        f"the event loop was held for {seconds} s by {nobody}" for seconds in (1.5, 2.0)
    ]


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_who_holds_the_loop_is_named_with_the_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BEAT", 0.1)
    monkeypatch.setattr(loop, "HELD", 0.5)
    caplog.set_level(logging.WARNING)
    watch = LoopWatch()

    def until_it_is_said() -> None:
        before, deadline = len(_said(caplog)), time.monotonic() + PATIENCE
        while len(_said(caplog)) == before and time.monotonic() < deadline:
            time.sleep(0.05)  # this is what must be noticed

    async def of_a_task() -> None:
        until_it_is_said()

    async def hold() -> None:
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(0.1)
        await asyncio.create_task(of_a_task(), name="command record/split")
        await asyncio.sleep(0.1)
        await asyncio.create_task(of_a_task())
        await asyncio.sleep(0.1)
        with watch.working_for("monitor/sound"):
            until_it_is_said()
        await asyncio.sleep(0.1)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        runner.run(hold())
    held = [one for one in _said(caplog) if "is held for" in one]
    assert [one.partition(" by ")[2].partition(":\n")[0] for one in held] == [
        "command record/split",
        "test_who_holds_the_loop_is_named_with_the_line.<locals>.of_a_task",
        "monitor/sound",
    ]
    assert all("test_guard.py" in one and "until_it_is_said()" in one for one in held)
    assert watch.lag >= 0.5


def _sleep() -> None:
    time.sleep(60)


def _spin() -> None:
    while True:
        pass


@pytest.mark.parametrize("held", [_sleep, _spin])
def test_a_role_that_holds_the_loop_too_long_is_cut_short_and_nobody_else(
    held: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BEAT", 0.05)
    monkeypatch.setattr(loop, "HELD_TOO_LONG", 0.2)
    watch = LoopWatch()

    async def of_a_role() -> None:
        loop.theirs.set(True)
        held()

    async def hold() -> None:
        watching = asyncio.create_task(watch.run())
        await asyncio.sleep(0.1)
        with pytest.raises(HeldUp, match=r"held up all others for 0\.2 s"):
            await contained(asyncio.create_task(of_a_role()))
        with (
            pytest.raises(HeldUp),
            watch.working_for("clock/main", theirs=True),
            containing(),
        ):
            held()
        time.sleep(0.5)  # noqa: ASYNC251 (our own goes on)
        await asyncio.sleep(0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        runner.run(hold())


def test_threads_of_roles_that_hang_leave_the_station_its_own() -> None:
    over = threading.Event()

    async def hang() -> None:
        loop.theirs.set(True)
        await asyncio.to_thread(over.wait)

    async def work() -> None:
        hanging = [asyncio.create_task(hang()) for _ in range(50)]
        await asyncio.sleep(0)
        await asyncio.to_thread(over.set)
        await asyncio.gather(*hanging)

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        runner.run(work())


async def test_only_a_loop_made_for_it_is_watched() -> None:
    with pytest.raises(TypeError, match="only a WatchedLoop"):
        await LoopWatch().run()
