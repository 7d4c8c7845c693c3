"""What somebody stops by hand stays stopped, whatever becomes of the agent, and ends by itself."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.config.store import StateDirectory
from fleet.agent.engine.reconcile import Held, Key, honour, reconcile
from fleet.agent.stopping import LOOK_SECONDS, StopKeeper
from fleet.model import (
    MAX_STOPS,
    STOPPED_BY_HAND,
    CommandFailed,
    State,
    StopByHand,
    StopList,
)
from fleet.wire import Undecodable, encode
from tests.agent.engine import FakeClock, FakeFactory, Station, settle

AT = datetime(2026, 2, 1, 9, 0, tzinfo=UTC)
MAIN = Key("fake", "main")


def stopped(instance: str = "main", until: datetime | None = None, **more: Any) -> StopByHand:
    said = StopByHand("fake", instance, "ann", "the beamer is changed", AT, until)
    return evolve(said, **more)


FACTORY = FakeFactory()
wanted = st.dictionaries(
    st.builds(Key, st.just("fake"), st.sampled_from("abc")),
    st.sampled_from("12").map(lambda text: FACTORY.wanted(text=text)),
)
stops = st.lists(
    st.builds(
        lambda name, minutes: stopped(name, minutes and AT + timedelta(minutes=minutes)),
        st.sampled_from("abcd"),
        st.sampled_from([None, -5, 5]),
    ),
    unique_by=lambda one: one.key,
)


@given(wanted, stops)
def test_what_is_wanted_runs_but_for_what_is_stopped_now(
    want: dict[Key, Any], held: list[StopByHand]
) -> None:
    found = honour(want, held, AT)
    assert found.keys() == want.keys()
    now = {Key(*one.key) for one in held if one.until is None or one.until > AT}
    for key, target in found.items():
        assert isinstance(target, Held) is (key in now)
        assert key in now or target == want[key]
    touched = {step.key for step in reconcile(want, found)}
    assert touched == now & want.keys(), "nothing else notices"


async def test_an_instance_is_stopped_and_says_who_did_it_until_it_is_started(
    tmp_path: Path,
) -> None:
    station, factory = Station(tmp_path, FakeClock()), FakeFactory()
    supervisor = station.supervisor
    other = Key("fake", "other")
    both = {MAIN: factory.wanted(), other: factory.wanted()}
    await supervisor.apply(both, revision=1)
    await settle()
    supervisor.keep_stopped([stopped()])
    await settle()
    one = supervisor.statuses()["fake"]["main"]
    assert (one.state, one.reason) == (State.STOPPED, STOPPED_BY_HAND)
    assert one.message == "stopped by ann: the beamer is changed"
    assert factory.made[0].calls == ["start", "stop"]
    assert factory.made[1].calls == ["start"], "nobody stopped the other"
    with pytest.raises(CommandFailed, match=r"stopped by ann.*fleet start b1 fake/main"):
        await supervisor.restart(MAIN)

    await supervisor.apply(both | {MAIN: factory.wanted(text="new")}, revision=2)
    await settle()
    one = supervisor.statuses()["fake"]["main"]
    assert (one.state, one.revision) == (State.STOPPED, 2), "a rollout waits for nobody's stop"
    supervisor.keep_stopped([])
    await settle()
    assert supervisor.statuses()["fake"]["main"].state is State.RUNNING
    assert factory.made[-1].settings == {"text": "new"}
    await supervisor.stop()


async def test_what_is_stopped_and_wanted_later_does_not_begin(tmp_path: Path) -> None:
    station, factory = Station(tmp_path, FakeClock()), FakeFactory()
    station.supervisor.keep_stopped([stopped()])
    assert station.supervisor.statuses() == {}
    await station.supervisor.apply({MAIN: factory.wanted()})
    await settle()
    assert station.supervisor.statuses()["fake"]["main"].state is State.STOPPED
    assert factory.made == []
    await station.supervisor.stop()


class Kept:
    """A keeper on a state directory; what it says is kept stopped."""

    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.store = StateDirectory(directory)
        self.said: list[Sequence[StopByHand]] = []
        self.keeper = StopKeeper(self.store, self.said.append, clock)
        self.keeper.begin()

    def killed(self) -> None:
        self.keeper.close()
        self.store.close()


async def test_it_outlives_the_agent_and_a_damaged_disk(tmp_path: Path) -> None:
    clock, said = FakeClock(), StopList(AT, (stopped(),))
    first = Kept(tmp_path, clock)
    await first.keeper.received(encode(said))
    first.killed()
    again = Kept(tmp_path, clock)
    assert again.said == [said.stops]
    again.killed()
    (tmp_path / "stops.json").write_bytes(b"\0" * 100)
    copied = Kept(tmp_path, clock)
    assert copied.said == [said.stops], "the copy serves"
    assert (tmp_path / "stops.json.damaged").exists()
    copied.killed()


async def test_it_ends_by_the_clock_of_the_station_with_nobody_there(tmp_path: Path) -> None:
    clock = FakeClock()
    until = clock.now() + timedelta(minutes=45)
    kept = Kept(tmp_path, clock)
    forever = stopped("other")
    await kept.keeper.received(encode(StopList(AT, (stopped(until=until), forever))))
    await clock.pass_(45 * 60 - 1)
    assert kept.said[-1:] == [(stopped(until=until), forever)]
    await clock.pass_(1)
    assert kept.said[-1:] == [(forever,)]
    kept.killed()

    late = Kept(tmp_path, clock)
    assert late.said == [(forever,)], "what was over meanwhile does not come back"
    late.killed()


async def test_a_box_whose_clock_is_behind_stops_nothing_anew_or_for_longer(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    now = clock.now()
    brief = stopped(at=now, until=now + timedelta(minutes=1))
    longer = stopped("other", at=now, until=now + timedelta(minutes=45))
    kept = Kept(tmp_path, clock)
    await kept.keeper.received(encode(StopList(now, (brief, longer))))
    await clock.pass_(60)
    async with asyncio.timeout(60):
        while True:
            if kept.store.stops() == (longer,):
                break
            await asyncio.sleep(0.01)
    kept.killed()

    clock.wall -= timedelta(days=365)
    behind = Kept(tmp_path, clock)
    assert behind.said == [(longer,)]
    await clock.pass_(45 * 60 - 1)
    assert behind.said[-1:] == [(longer,)]
    await clock.pass_(1)
    assert behind.said[-1:] == [()]
    behind.killed()


async def test_a_clock_that_is_set_forward_ends_it_within_a_minute(tmp_path: Path) -> None:
    clock = FakeClock()
    kept = Kept(tmp_path, clock)
    until = clock.now() + timedelta(days=20_000)  # a box without a clock begins in 1970
    await kept.keeper.received(encode(StopList(AT, (stopped(until=until),))))
    clock.wall += timedelta(days=20_001)
    await clock.pass_(LOOK_SECONDS)
    assert kept.said[-1] == ()
    kept.killed()


async def test_what_is_no_list_changes_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path, FakeClock())
    await kept.keeper.received(encode(StopList(AT, (stopped(),))))
    await kept.keeper.received(b"")
    many = [json.loads(encode(stopped(f"i{n}"))) for n in range(MAX_STOPS + 1)]
    for payload in (
        b"{",
        b"[]",
        json.dumps({"at": "2026-02-01T09:00:00Z", "stops": many}).encode(),
    ):
        with pytest.raises(Undecodable):
            await kept.keeper.received(payload)
    assert kept.said[-1] == (stopped(),)
    kept.killed()


def test_what_a_person_wrote_cannot_steer_a_terminal() -> None:
    assert (
        stopped(until=AT + timedelta(days=2))
        .text()
        .startswith("stopped by ann until Tue 09:00 UTC:")
    )
    assert "until 2026-02-21 09:00 UTC" in stopped(until=AT + timedelta(days=20)).text()
    nasty = stopped(why="\x1b[2Jgone\n\u202efine", by="ann\x1b")
    assert nasty.text() == "stopped by ann?: ?[2Jgone??fine"
