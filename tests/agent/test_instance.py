"""The life of an instance, with a role that does as it is told and a clock wound by hand."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from fleet.agent.engine.instance import STOP_SECONDS
from fleet.agent.engine.reconcile import Key, Unrunnable
from fleet.model import NoSuchInstance, State, UnknownCommand
from fleet.roles import Failed
from fleet.wire import encode, to_json
from tests.agent.engine import FakeClock, FakeFactory, Station, Text, settle

MAIN, OTHER = Key("fake", "main"), Key("fake", "other")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def station(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Station]:
    station = Station(tmp_path, clock)
    yield station
    await station.supervisor.leave()


@pytest.fixture
def factory() -> FakeFactory:
    return FakeFactory()


async def test_what_is_wanted_starts_runs_and_is_forgotten_when_no_longer_wanted(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    assert station.state(MAIN) is State.STARTING
    await settle()
    assert station.state(MAIN) is State.RUNNING
    await station.supervisor.apply({})
    await settle()
    assert station.state(MAIN) is None
    assert factory.made[0].calls == ["start", "stop"]
    assert station.seen[MAIN] == ["starting", "running", "stopping", "stopped"]


@pytest.mark.parametrize("by", [timedelta(days=20_000), -timedelta(days=3650)])
async def test_a_clock_that_is_set_moves_no_moment_at_which_a_state_or_a_failure_began(
    station: Station, factory: FakeFactory, clock: FakeClock, by: timedelta
) -> None:
    failing = Failed("CableOut", "no signal")
    await station.supervisor.apply(
        {MAIN: factory.wanted(), OTHER: factory.wanted(start=failing)}, revision=1
    )
    await clock.pass_(10)
    began = {key: station.status(key).since for key in (MAIN, OTHER)}
    clock.wall += by
    await clock.pass_(2)
    assert {key: station.status(key).since - by for key in began} == began
    await clock.pass_(90)
    assert station.status(OTHER).restarts > 1
    assert {key: station.status(key).since - by for key in began} == began
    clock.wall += timedelta(seconds=0.5)
    await clock.pass_(2)
    assert station.status(MAIN).since - by == began[MAIN], "it is only slewed"


async def test_the_same_config_again_touches_nothing(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    before = station.status(MAIN)
    await clock.pass_(10)
    await station.supervisor.apply({MAIN: factory.wanted()}, name="hall1-cam", room="hall1")
    await clock.pass_(10)
    assert station.status(MAIN) == before
    assert len(factory.made) == 1


async def test_name_and_room_reach_what_starts_afterwards(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()}, name="hall1-cam", room="hall1")
    await settle()
    assert (factory.made[0].host.name, factory.made[0].host.room) == ("hall1-cam", "hall1")
    await station.supervisor.apply({MAIN: factory.wanted(n=1)})
    await settle()
    assert (factory.made[1].host.name, factory.made[1].host.room) == ("b1", None)


async def test_new_settings_are_taken_live_where_the_role_can(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    before = station.status(MAIN)
    await station.supervisor.apply({MAIN: factory.wanted(live=True)})
    await settle()
    assert station.status(MAIN) == before
    assert factory.made[0].calls == ["start", "update"]


async def test_new_settings_restart_a_role_that_cannot_and_nobody_else_notices(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: factory.wanted()})
    await settle()
    before = station.status(OTHER)
    await station.supervisor.apply({MAIN: factory.wanted(live=False), OTHER: factory.wanted()})
    await settle()
    assert [role.calls for role in factory.made] == [
        ["start", "update", "stop"],
        ["start"],
        ["start"],
    ]
    assert station.state(MAIN) is State.RUNNING
    assert station.status(MAIN).restarts == 0
    assert station.status(OTHER) == before


async def test_an_update_that_raises_restarts_the_role(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(update=RuntimeError("no"))})
    await settle()
    await station.supervisor.apply({MAIN: factory.wanted(live=True)})
    await settle()
    assert factory.made[0].calls == ["start", "update", "stop"]
    assert station.state(MAIN) is State.RUNNING


async def test_the_latest_of_many_configs_wins(station: Station, factory: FakeFactory) -> None:
    for number in range(20):
        await station.supervisor.apply({MAIN: factory.wanted(n=number)})
    await station.supervisor.apply({})
    await station.supervisor.apply({MAIN: factory.wanted(n="last")})
    await settle()
    assert station.state(MAIN) is State.RUNNING
    assert factory.made[-1].settings == {"n": "last"}
    assert all(
        role.calls in ([], ["start", "start cut short", "stop"]) for role in factory.made[:-1]
    )


async def test_wanted_again_while_it_stops_it_starts_when_it_has_stopped(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(hang="stop")})
    await settle()
    await station.supervisor.apply({})
    await settle()
    assert station.state(MAIN) is State.STOPPING
    await station.supervisor.apply({MAIN: factory.wanted(n=2)})
    await settle()
    assert len(factory.made) == 1
    factory.made[0].hold.set()
    await settle()
    assert station.state(MAIN) is State.RUNNING
    assert factory.made[1].settings == {"n": 2}


async def test_a_start_that_hangs_is_cut_short_by_a_new_config(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(hang="start")})
    await settle()
    assert station.state(MAIN) is State.STARTING
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    assert factory.made[0].calls == ["start", "start cut short", "stop"]
    assert station.state(MAIN) is State.RUNNING


async def test_what_it_waits_for_while_it_starts_is_shown_until_it_runs(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(hang="start")})
    await settle()
    factory.made[0].host.note("SourceNotYet", "waits for the mixer")
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.STARTING, "SourceNotYet")
    factory.made[0].host.note(None)
    factory.made[0].hold.set()
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason, status.restarts) == (State.RUNNING, None, 0)


async def test_why_it_has_to_start_again_stays_in_view_until_it_runs(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(hang="start")})
    await settle()
    factory.made[0].host.fail("SourceUnreachable", "nothing comes from it")
    await clock.pass_(1)
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.STARTING, "SourceUnreachable")
    factory.made[1].hold.set()
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason, status.message) == (State.RUNNING, None, None)


async def test_more_instances_than_the_factory_allows_never_run_at_once(station: Station) -> None:
    factory = FakeFactory(instances=1)
    await station.supervisor.apply({MAIN: Unrunnable("InvalidConfiguration", "wrong")})
    await station.supervisor.apply({MAIN: factory.wanted(hang="stop")})
    await settle()
    await station.supervisor.apply({OTHER: factory.wanted()})
    await settle()
    assert station.state(OTHER) is State.STARTING
    assert len(factory.made) == 1
    factory.made[0].hold.set()
    await settle()
    assert station.state(OTHER) is State.RUNNING


@pytest.mark.parametrize("moment", ["build", "start", "tick"])
async def test_a_reason_from_the_role_is_shown_and_it_is_tried_again(
    station: Station, factory: FakeFactory, clock: FakeClock, moment: str
) -> None:
    broken = {moment: Failed("DeviceMissing", "plug the camera in")}
    await station.supervisor.apply({MAIN: factory.wanted(**broken)})
    await clock.pass_(0.1)
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.FAILED, "DeviceMissing")
    assert status.message == "plug the camera in"
    before = len(factory.made)
    await clock.pass_(60)
    assert len(factory.made) > before or moment == "build"
    assert station.status(MAIN).restarts >= 4


@pytest.mark.parametrize("moment", ["build", "start", "tick"])
async def test_any_exception_of_a_role_is_told_and_hurts_nobody_else(
    station: Station, factory: FakeFactory, clock: FakeClock, moment: str
) -> None:
    broken = {moment: ZeroDivisionError("by zero")}
    await station.supervisor.apply({MAIN: factory.wanted(**broken), OTHER: factory.wanted()})
    await clock.pass_(0.1)
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.BACKOFF, "RoleCrashed")
    assert status.message == "ZeroDivisionError: by zero"
    assert station.state(OTHER) is State.RUNNING


@pytest.mark.parametrize("moment", ["build", "start", "tick"])
async def test_a_role_that_exits_ends_itself_and_not_the_agent(
    station: Station, factory: FakeFactory, clock: FakeClock, moment: str
) -> None:
    broken = {moment: SystemExit(3), "stop": SystemExit(3)}
    await station.supervisor.apply({MAIN: factory.wanted(**broken), OTHER: factory.wanted()})
    await clock.pass_(0.1)
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.BACKOFF, "RoleCrashed")
    assert "3" in str(status.message)
    assert station.state(OTHER) is State.RUNNING


async def test_a_failure_is_as_old_as_its_first_try(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await clock.pass_(100)

    async def fails(reason: str) -> datetime:
        factory.made[-1].host.fail(reason, "it says")
        await settle()
        assert station.state(MAIN) in (State.BACKOFF, State.FAILED)
        return station.status(MAIN).since

    first = await fails("ChildExited")
    assert first == clock.now()
    for _ in range(3):
        await clock.pass_(20)
        assert station.state(MAIN) is State.RUNNING
        assert station.status(MAIN).since > first
        assert await fails("ChildExited") == first
    await clock.pass_(80)
    assert await fails("NoSignal") == clock.now(), "it had run for a minute"
    await clock.pass_(20)
    assert await fails("NoSignal") == clock.now(), "what was named had been fixed: it ran"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "broken",
    [
        *({"tick": asyncio.CancelledError()}, {"tick": Mute()}, {"stall_seconds": "10"}),
        *({"start": Mute()}, {"start": "cancels itself"}),
        *({"start": Failed("Odd", ValueError("no text"))}, {"start": Failed(None, b"no text")}),  # type: ignore[arg-type]
    ],
    ids=repr,
)
async def test_whatever_a_role_does_it_is_that_instance_that_failed_and_the_others_tick_on(
    station: Station, factory: FakeFactory, clock: FakeClock, broken: Any
) -> None:
    other = factory.wanted(stall_seconds=5)
    await station.supervisor.apply({MAIN: factory.wanted(**broken), OTHER: other})
    for _ in range(20):
        await clock.pass_(0.1)
        assert encode(station.status(MAIN))
    assert {State.BACKOFF, State.FAILED} & set(station.seen[MAIN])
    assert all(message is None or isinstance(message, str) for message in station.messages)
    assert station.state(OTHER) is State.RUNNING
    await clock.pass_(10)
    assert station.status(OTHER).restarts >= 1  # it stalled: its ticks went on


async def test_a_task_of_a_role_that_dies_fails_its_running(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    async def work() -> None:
        raise KeyError("it")

    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: factory.wanted()})
    await settle()
    task = factory.made[0].host.task(work())
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.BACKOFF, "RoleCrashed")
    assert status.message == "KeyError: 'it'"
    assert task.done()
    lasting = factory.made[1].host.task(asyncio.sleep(3600), "wait")
    assert lasting.get_name() == "fake/other wait"
    await station.supervisor.apply({})
    await settle()
    assert lasting.cancelled()


async def test_a_fault_of_the_engine_ends_the_running_and_it_begins_anew(
    station: Station, factory: FakeFactory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    with monkeypatch.context() as patch:
        patch.setattr("fleet.agent.engine.instance.decide", lambda *_: 1 / 0)
        factory.made[0].host.fail("Odd", "it says")
        await settle()
    status = station.status(MAIN)
    assert (status.state, status.message) == (State.FAILED, "ZeroDivisionError: division by zero")
    await clock.pass_(2)
    assert station.state(MAIN) is State.RUNNING


@pytest.mark.parametrize("stop", [RuntimeError("no"), "cancels itself"], ids=repr)
async def test_a_stop_that_raises_does_not_keep_it(
    station: Station, factory: FakeFactory, stop: Any
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(stop=stop)})
    await settle()
    await station.supervisor.apply({})
    await settle()
    assert station.state(MAIN) is None


async def test_a_stop_that_hangs_keeps_it_for_a_minute_at_most(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(hang="stop")})
    await settle()
    await station.supervisor.apply({})
    await clock.pass_(STOP_SECONDS - 1)
    assert station.state(MAIN) is State.STOPPING
    await clock.pass_(2)
    assert station.state(MAIN) is None
    assert factory.made[0].calls == ["start", "stop", "stop cut short"]


@pytest.mark.parametrize("start", [Failed("DiskFull", "no space"), KeyError("it")], ids=repr)
async def test_a_role_is_stopped_after_every_start_that_began(
    station: Station, factory: FakeFactory, start: Exception
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(start=start)})
    await settle()
    assert factory.made[0].calls == ["start", "stop"]
    assert station.state(MAIN) in (State.BACKOFF, State.FAILED)


async def test_a_crash_loop_is_failed_and_a_new_config_tries_at_once(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(start=RuntimeError("no"))})
    await clock.pass_(8)
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.FAILED, "CrashLoop")
    made = len(factory.made)
    await clock.pass_(200)
    assert made < len(factory.made) <= made + 7  # at least half a minute between two
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    assert station.state(MAIN) is State.RUNNING


async def test_no_tick_comes_before_the_start_begins_nor_after_it_failed(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply(
        {MAIN: factory.wanted(start=Failed("DiskFull", "x"), tick=KeyError())}
    )
    for _ in range(50):
        station.supervisor._tick()
        await asyncio.sleep(0)
    assert station.status(MAIN).reason == "DiskFull"


async def test_without_progress_it_is_restarted_as_stalled(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(stall_seconds=15)})
    for _ in range(60):
        await clock.pass_(1)
        factory.made[0].host.progress()
    assert station.status(MAIN).restarts == 0
    await clock.pass_(17)
    assert factory.made[0].calls == ["start", "stop"]
    assert len(factory.made) == 2
    assert station.status(MAIN).restarts == 1
    assert "backoff" in station.seen[MAIN]


async def test_restarts_are_counted_and_those_of_the_last_hour_are_told(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    def told() -> tuple[int, int]:
        one = station.status(MAIN)
        return one.restarts, one.restarts_last_hour

    await station.supervisor.apply({MAIN: factory.wanted(stall_seconds=30)})
    await clock.pass_(32)
    assert told() == (1, 1)
    assert to_json(station.status(MAIN))["restarts_last_hour"] == 1
    clock.seconds += 3600
    assert told() == (1, 0)
    assert "restarts_last_hour" not in to_json(station.status(MAIN))


async def test_a_role_that_reports_progress_runs_from_the_first_on_that_it_reports(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(stall_seconds=15, silent=True)})
    await clock.pass_(5)
    assert station.state(MAIN) is State.STARTING
    factory.made[0].host.progress()
    assert station.state(MAIN) is State.RUNNING
    await clock.pass_(3)
    await station.supervisor.restart(MAIN)
    await clock.pass_(20)
    assert station.seen[MAIN].count("running") == 1
    assert station.status(MAIN).reason == "Stalled"
    assert factory.made[0].stall_advice in (station.status(MAIN).message or "")


async def test_a_status_says_which_revisions_settings_it_is_about(
    station: Station, factory: FakeFactory
) -> None:
    def of(key: Key) -> tuple[State, int | None]:
        status = station.status(key)
        return status.state, status.revision

    same = factory.wanted()
    await station.supervisor.apply({MAIN: factory.wanted(hang="stop"), OTHER: same}, revision=3)
    await settle()
    assert of(MAIN) == of(OTHER) == (State.RUNNING, 3)
    await station.supervisor.apply({MAIN: factory.wanted(n=4), OTHER: same}, revision=4)
    assert of(MAIN) == (State.RUNNING, 3)  # it has not heard of it yet
    assert of(OTHER) == (State.RUNNING, 4)
    await settle()
    assert of(MAIN) == (State.STOPPING, 3)
    await station.supervisor.apply({MAIN: factory.wanted(n=5), OTHER: same}, revision=5)
    await settle()
    assert of(MAIN) == (State.STOPPING, 3)
    factory.made[0].hold.set()
    await settle()
    assert of(MAIN) == (State.RUNNING, 5)
    broken = Unrunnable("InvalidConfiguration", "wrong")
    await station.supervisor.apply({MAIN: broken}, revision=6)
    await settle()
    assert of(MAIN) == (State.FAILED, 6)


async def test_settings_taken_live_and_settings_taken_back_belong_to_the_newest_revision(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()}, revision=1)
    await settle()
    live = factory.wanted(live=True)
    await station.supervisor.apply({MAIN: live}, revision=2)
    assert station.status(MAIN).revision == 1
    await station.supervisor.apply({MAIN: factory.wanted(n=3)}, revision=3)
    await station.supervisor.apply({MAIN: live}, revision=4)
    await settle()
    assert station.status(MAIN).revision == 4
    assert factory.made[0].calls == ["start", "update"]


async def test_a_start_without_progress_stalls_too(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(stall_seconds=5, hang="start")})
    await clock.pass_(5.3)
    assert factory.made[0].calls == ["start", "start cut short", "stop"]
    assert station.status(MAIN).restarts == 1


async def test_a_step_of_the_wall_clock_makes_nothing_stall(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(stall_seconds=15)})
    await settle()
    before = station.status(MAIN)
    by = clock.wall.replace(year=1999) - clock.wall
    clock.wall += by
    await clock.pass_(2)
    assert station.status(MAIN) == evolve(before, since=before.since + by)


async def test_completed_work_is_not_done_again_unless_asked(
    station: Station, factory: FakeFactory, clock: FakeClock
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    factory.made[0].host.complete("the file came to its end")
    await clock.pass_(1000)
    status = station.status(MAIN)
    assert (status.state, status.message) == (State.COMPLETED, "the file came to its end")
    assert len(factory.made) == 1
    await station.supervisor.restart(MAIN)
    await settle()
    assert station.state(MAIN) is State.RUNNING


async def test_a_note_is_shown_while_it_runs_and_taken_back(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    before = station.status(MAIN)
    factory.made[0].host.note("NoSound", "the microphone is gone")
    status = station.status(MAIN)
    assert (status.state, status.reason, status.since) == (
        State.RUNNING,
        "NoSound",
        before.since,
    )
    factory.made[0].host.note(None)
    assert station.status(MAIN) == before


async def test_only_the_first_word_about_an_end_counts_and_none_after_it(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    host = factory.made[0].host
    host.fail("DiskFull", "no space is left")
    host.fail("ChildExited", "ffmpeg ended")
    await settle()
    assert station.status(MAIN).reason == "DiskFull"
    host.fail("Late", "the role did not notice")
    host.note("Late")
    await settle()
    assert station.status(MAIN).reason == "DiskFull"


async def test_a_restart_by_hand_ends_a_running_and_begins_another(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    await station.supervisor.restart(MAIN)
    await settle()
    assert [role.calls for role in factory.made] == [["start", "stop"], ["start"]]
    with pytest.raises(NoSuchInstance, match="fake/main"):
        await station.supervisor.restart(OTHER)


async def test_what_runs_keeps_what_it_was_built_from_until_it_is_restarted_and_says_so(
    station: Station, factory: FakeFactory
) -> None:
    newer, newest = FakeFactory(), FakeFactory()
    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: newer.wanted()})
    await settle()
    await station.supervisor.apply({MAIN: newer.wanted(), OTHER: newer.wanted()})
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.RUNNING, "RoleFileChanged")
    assert "fleet restart b1 fake/main" in str(status.message)
    assert station.status(OTHER).reason is None
    factory.made[0].host.note("NoSound", "nothing is heard")
    assert station.status(MAIN).reason == "NoSound", "what the role says comes first"
    await station.supervisor.restart(MAIN)
    await settle()
    assert [role.calls for role in factory.made] == [["start", "stop"]]
    assert station.status(MAIN).reason is None
    await station.supervisor.apply({MAIN: newest.wanted(live=True), OTHER: newer.wanted()})
    await settle()
    assert [role.calls for role in newest.made] == [["start"]], "new settings go to no old code"


async def test_completed_work_is_not_done_again_for_a_changed_role_file(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    newer = FakeFactory()
    await station.supervisor.apply({MAIN: newer.wanted()})
    factory.made[0].host.complete("all done")
    await settle()
    assert station.state(MAIN) is State.COMPLETED
    assert newer.made == []


async def test_what_cannot_run_is_shown_as_failed_until_it_can(
    station: Station, factory: FakeFactory
) -> None:
    broken = Unrunnable("InvalidConfiguration", "/n: expected a whole number")
    await station.supervisor.apply({MAIN: broken, OTHER: factory.wanted()})
    await settle()
    status = station.status(MAIN)
    assert (status.state, status.reason) == (State.FAILED, "InvalidConfiguration")
    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: factory.wanted()})
    await settle()
    assert station.state(MAIN) is State.RUNNING
    await station.supervisor.apply({MAIN: broken, OTHER: factory.wanted()})
    await settle()
    assert station.state(MAIN) is State.FAILED
    assert len(factory.made) == 2


async def test_commands_can_be_called_exactly_while_the_role_runs(
    station: Station, factory: FakeFactory
) -> None:
    find = station.supervisor.command
    with pytest.raises(UnknownCommand):
        find("fake", None, "say")
    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: factory.wanted(hang="start")})
    await settle()
    assert await find("fake", "main", "say").handler(Text("hello")) == Text("HELLO")
    assert find("fake", None, "say")
    with pytest.raises(UnknownCommand, match="did you mean 'say'"):
        find("fake", "main", "sya")
    with pytest.raises(NoSuchInstance, match="fake/other does not run"):
        find("fake", "other", "say")
    factory.made[1].hold.set()
    await settle()
    with pytest.raises(NoSuchInstance, match="main, other"):
        find("fake", None, "say")
    factory.made[1].host.deregister("say")
    with pytest.raises(UnknownCommand, match="fake/other"):
        find("fake", "other", "say")
    await station.supervisor.apply({})
    await settle()
    with pytest.raises(UnknownCommand):
        find("fake", None, "say")


async def test_stopping_the_station_stops_all_and_shows_them_stopped(
    station: Station, factory: FakeFactory
) -> None:
    await station.supervisor.apply({MAIN: factory.wanted(), OTHER: factory.wanted(hang="start")})
    await settle()
    await station.supervisor.stop()
    assert factory.made[0].calls == ["start", "stop"]
    assert station.state(MAIN) is station.state(OTHER) is State.STOPPED
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    assert len(factory.made) == 2
