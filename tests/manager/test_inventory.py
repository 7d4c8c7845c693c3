"""What is heard of a station, folded into what is so; the clock is a number."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager.stations import inventory
from fleet.manager.stations.inventory import HeardStation, Inventory, StationWord
from fleet.model import (
    Ack,
    InForce,
    Presence,
    PresenceState,
    Registration,
    Status,
    Telemetry,
)

ONLINE, OFFLINE, LOST, UNKNOWN = PresenceState
AT = datetime(2026, 2, 1, tzinfo=UTC)


def presence(
    state: PresenceState, boot: str = "A", epoch: int = 1, interval: float = 10
) -> StationWord:
    return Presence(state, boot, epoch, AT, interval)


def status(boot: str = "A") -> StationWord:
    return Status(boot, AT, 1, {})


def ack(boot: str = "A") -> StationWord:
    return Ack(1, boot, AT, None, None, InForce.none())


def registration(boot: str = "A") -> StationWord:
    return Registration(boot, "1", f"host-{boot}", None, (), (), {}, {}, ())


def telemetry(boot: str = "A") -> StationWord:
    return Telemetry(boot, AT, ())


class Told:
    """A station that is told things at times of a clock that only the test moves."""

    def __init__(self) -> None:
        self.inventory = Inventory()
        self.inventory.broker_back(0)
        self.now = 0.0

    def live(self, *said: StationWord) -> "Told":
        for one in said:
            self.inventory.hear("s", one, retained=False, now=self.now)
        return self

    def kept(self, *said: StationWord) -> "Told":
        for one in said:
            self.inventory.hear("s", one, retained=True, now=self.now)
        return self

    def later(self, seconds: float) -> "Told":
        self.now += seconds
        self.inventory.tick(self.now)
        return self

    def presence(self) -> PresenceState:
        return self.inventory.presence("s")

    def conflict(self) -> bool:
        return self.heard.conflict

    @property
    def heard(self) -> HeardStation:
        return self.inventory.stations["s"]


CASES: dict[str, tuple[Callable[[Told], Told], PresenceState]] = {
    "nothing was heard": (lambda t: t, UNKNOWN),
    "a registration says nothing of presence": (lambda t: t.live(registration()), UNKNOWN),
    "it came online": (lambda t: t.live(presence(ONLINE)), ONLINE),
    "it said goodbye": (lambda t: t.live(presence(ONLINE), presence(OFFLINE)), OFFLINE),
    "its will fired": (lambda t: t.live(presence(ONLINE), presence(LOST)), LOST),
    "online is believed for 3 intervals": (lambda t: t.live(presence(ONLINE)).later(30), ONLINE),
    "and no longer": (lambda t: t.live(presence(ONLINE)).later(30.1), LOST),
    "the station says its own interval": (
        lambda t: t.live(presence(ONLINE, interval=1)).later(3.1),
        LOST,
    ),
    "a live status prolongs it": (
        lambda t: t.live(presence(ONLINE)).later(20).live(status()).later(30),
        ONLINE,
    ),
    "so does live telemetry": (
        lambda t: t.live(presence(ONLINE)).later(20).live(telemetry()).later(30),
        ONLINE,
    ),
    "a retained online is believed for 3 intervals": (
        lambda t: t.kept(presence(ONLINE)).later(30),
        ONLINE,
    ),
    "a retained online is not believed for longer": (
        lambda t: t.kept(presence(ONLINE)).later(30.1),
        LOST,
    ),
    "retained messages never prolong it": (
        lambda t: (
            t.live(presence(ONLINE)).later(20).kept(status(), ack(), registration()).later(11)
        ),
        LOST,
    ),
    "silence heals when it speaks again": (
        lambda t: t.live(presence(ONLINE)).later(31).live(status()),
        ONLINE,
    ),
    "silence does not heal by the online that fell silent, kept": (
        lambda t: t.live(presence(ONLINE)).later(31).kept(presence(ONLINE)),
        LOST,
    ),
    "silence heals by a newer online that was kept": (
        lambda t: t.live(presence(ONLINE)).later(31).kept(presence(ONLINE, epoch=2)),
        ONLINE,
    ),
    "offline stays offline whatever it still says": (
        lambda t: t.live(presence(ONLINE), presence(OFFLINE), status()).later(11).live(status()),
        OFFLINE,
    ),
    "offline does not become lost": (
        lambda t: t.live(presence(ONLINE), presence(OFFLINE)).later(100),
        OFFLINE,
    ),
    "the next online ends offline": (
        lambda t: t.live(presence(ONLINE), presence(OFFLINE), presence(ONLINE, "B")),
        ONLINE,
    ),
    "a late will of the connection before": (
        lambda t: t.live(presence(ONLINE, epoch=2), presence(LOST, epoch=1)),
        ONLINE,
    ),
    "a late will of the boot before": (
        lambda t: t.live(presence(ONLINE, "A"), presence(ONLINE, "B"), presence(LOST, "A")),
        ONLINE,
    ),
    "a late online of the connection before": (
        lambda t: t.live(presence(ONLINE, epoch=2), presence(LOST, epoch=2), presence(ONLINE)),
        LOST,
    ),
    "a will counts where no online is known": (lambda t: t.kept(presence(LOST)), LOST),
    "a goodbye counts where no online is known": (lambda t: t.kept(presence(OFFLINE)), OFFLINE),
    "a kept will of a later connection means that it came and went": (
        lambda t: t.live(presence(ONLINE)).kept(presence(LOST, epoch=2)),
        LOST,
    ),
    "the goodbye of a box that was replaced": (
        lambda t: t.live(presence(ONLINE, "A"), presence(ONLINE, "B"), presence(OFFLINE, "A")),
        ONLINE,
    ),
    "a state only a newer station knows changes nothing": (
        lambda t: t.live(presence(ONLINE), presence(UNKNOWN)),
        ONLINE,
    ),
    "a lost station's next heartbeat may have been on its way": (
        lambda t: t.live(presence(ONLINE), presence(LOST), status()),
        LOST,
    ),
    "heartbeats that go on say that an online was missed": (
        lambda t: t.live(presence(ONLINE), presence(LOST), status()).later(10).live(status()),
        ONLINE,
    ),
}


@pytest.mark.parametrize(("told", "expected"), CASES.values(), ids=CASES)
def test_presence(told: Callable[[Told], Told], expected: PresenceState) -> None:
    assert told(Told()).presence() is expected


def test_without_a_broker_everybody_is_unknown_and_silence_counts_from_its_return() -> None:
    told = Told().live(presence(ONLINE)).later(25)
    told.inventory.broker_gone()
    assert told.presence() is UNKNOWN
    told.later(1000)
    told.inventory.broker_back(told.now)
    assert told.presence() is ONLINE
    assert told.later(30).presence() is ONLINE
    assert told.later(1).presence() is LOST


def test_who_was_lost_by_silence_stays_lost_when_the_broker_returns() -> None:
    told = Told().live(presence(ONLINE)).later(31)
    told.inventory.broker_gone()
    told.inventory.broker_back(told.now)
    assert told.kept(presence(ONLINE)).presence() is LOST


def test_a_tick_names_those_for_whom_it_changed_something_once() -> None:
    told = Told().live(presence(ONLINE))
    told.inventory.hear("other", presence(OFFLINE), retained=False, now=0)
    assert told.inventory.tick(29) == []
    assert told.inventory.tick(31) == ["s"]
    assert told.inventory.tick(32) == []


def test_two_boots_heard_in_turn_are_two_boxes() -> None:
    told = Told().live(registration("A"), registration("B"))
    assert not told.conflict()
    told.later(29).live(status("A"))
    assert told.conflict()
    assert told.heard.hostnames == ("host-A", "host-B")


def test_a_restart_is_no_conflict() -> None:
    told = Told().live(registration("A"), presence(ONLINE, "A"), status("A"))
    told.live(registration("B"), ack("B"), status("B"), presence(ONLINE, "B"), status("B"))
    assert not told.conflict()


def test_a_late_will_and_retained_messages_are_no_conflict() -> None:
    told = Told().live(presence(ONLINE, "A"), presence(ONLINE, "B"))
    told.live(presence(LOST, "A")).kept(status("A"), registration("A"))
    assert not told.conflict()


def test_a_boot_that_comes_back_after_three_intervals_is_no_conflict() -> None:
    told = Told().live(presence(ONLINE, "A"))
    told.later(16).live(presence(ONLINE, "B")).later(16).live(status("A"))
    assert not told.conflict()


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_conflict_ends_when_one_box_is_left(goodbye: bool) -> None:
    told = Told().live(registration("A"), presence(ONLINE, "A"), presence(ONLINE, "B"), status("A"))
    assert told.conflict()
    if goodbye:
        told.live(presence(OFFLINE, "B"))
    else:
        told.later(20).live(status("A")).later(11).live(status("A"))
    assert not told.conflict()
    assert told.presence() is ONLINE
    assert told.heard.hostnames == ("host-A",)
    assert not told.live(status("A"), ack("A")).conflict()


def test_a_will_during_a_conflict_ends_neither_conflict_nor_presence() -> None:
    told = Told().live(presence(ONLINE, "A"), presence(ONLINE, "B"), status("A"))
    told.live(presence(LOST, "B"))
    assert told.conflict()
    assert told.presence() is ONLINE


@pytest.mark.parametrize("intervals", [(0.5, 0.5), (10, 0.5), (0.5, 10), (60, 1), (10, 3600)])
def test_two_boxes_are_told_whatever_their_intervals_until_one_is_gone(
    intervals: tuple[float, float],
) -> None:
    """Each throws the other off the broker, and comes back within 15 s."""
    told = Told()
    a, b = (presence(ONLINE, boot, interval=it) for boot, it in zip("AB", intervals, strict=True))
    told.live(registration("A"), a).later(7).live(registration("B"), b).later(14).live(a)
    assert told.conflict()
    for one in (b, a, b, a) * 3:
        assert told.later(14).live(one).conflict()
        assert told.presence() is ONLINE
    for _ in range(int(3 * max(intervals) / 10) + 5):
        told.later(10).live(status("A"))
    assert not told.conflict(), "B is gone"
    assert told.presence() is ONLINE
    assert told.heard.hostnames == ("host-A",)


def test_the_box_that_is_left_counts_by_its_own_interval() -> None:
    told = Told().live(presence(ONLINE, "A", interval=20), presence(ONLINE, "B", interval=1))
    told.live(status("A"), status("B"))
    for _ in range(4):
        told.later(20).live(status("A"))
    assert (told.conflict(), told.presence()) == (False, ONLINE)
    assert told.later(59).presence() is ONLINE
    assert told.later(2).presence() is LOST


def test_no_number_of_boots_fills_the_memory() -> None:
    told = Told().live(presence(ONLINE, "A"))
    for number in range(1000):
        told.live(status(f"boot-{number}"))
    assert len(told.heard.hostnames) <= 8


@pytest.mark.parametrize(
    ("told", "since"),
    [
        (lambda t: t.later(5).live(presence(ONLINE)), 5),
        (lambda t: t.live(presence(ONLINE)).later(5).live(presence(LOST)), 5),
        (lambda t: t.live(presence(ONLINE)).later(9).live(status()).later(31), 9),
        (lambda t: t.live(presence(ONLINE)).later(31).later(9).live(status()), 40),
        (lambda t: t.live(presence(ONLINE)).later(9).live(presence(ONLINE, epoch=2)), 0),
        (lambda t: t.kept(presence(LOST)), None),
        (lambda t: t.kept(presence(ONLINE)).later(31), None),
    ],
    ids=["online", "a will", "silence", "heard again", "another connection", "kept", "found dead"],
)
def test_presence_is_so_since_it_became_so_and_silence_since_it_was_last_heard(
    told: Callable[[Told], Told], since: float | None
) -> None:
    assert told(Told()).heard.since == since


def test_a_will_is_no_word_of_its_station() -> None:
    """Its moment is when the connection began, which may be days ago."""
    kept = Told().kept(Presence(LOST, "A", 1, AT + timedelta(hours=9), 10), status())
    assert kept.heard.said_at == AT
    assert Told().kept(presence(LOST)).heard.said_at is None
    gone = Told().kept(Presence(OFFLINE, "A", 1, AT + timedelta(hours=9), 10), status())
    assert gone.heard.said_at == AT + timedelta(hours=9)


SAID = st.one_of(
    st.builds(
        presence,
        st.sampled_from(PresenceState),
        st.sampled_from("ABC"),
        st.integers(0, 3),
        st.sampled_from([0.1, 10]),
    ),
    st.builds(status, st.sampled_from("ABC")),
    st.builds(ack, st.sampled_from("ABC")),
    st.builds(registration, st.sampled_from("ABC")),
    st.builds(telemetry, st.sampled_from("ABC")),
)
EVENTS = st.one_of(
    st.tuples(st.just("live"), SAID),
    st.tuples(st.just("kept"), SAID),
    st.tuples(st.just("later"), st.floats(0, 50)),
    st.just(("broker", None)),
)


@given(st.lists(EVENTS, max_size=40))
def test_no_order_of_messages_breaks_it_and_silence_always_ends_online(
    events: list[tuple[str, object]],
) -> None:
    told = Told().live(registration())
    for what, value in events:
        match what:
            case "live" | "kept":
                getattr(told, what)(value)
            case "later":
                told.later(value)  # type: ignore[arg-type]
            case _:
                told.inventory.broker_gone()
                told.inventory.broker_back(told.now)
        assert told.conflict() <= (len(told.heard.hostnames) > 1)
    told.later(31).later(31)
    assert told.presence() is not ONLINE
    assert not told.conflict()


def test_strangers_are_heard_up_to_a_number_and_those_of_whom_something_is_wanted_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inventory, "MOST_STRANGERS", 2)
    known = Inventory()
    assert [known.lets_in(id_, wanted=False) for id_ in ("a", "b", "a", "c", "d")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert known.turned_away == 2
    assert known.lets_in("c", wanted=True)
    known.forget("a")
    assert known.lets_in("d", wanted=False)
    assert not known.lets_in("a", wanted=False)


def test_one_that_was_cut_off_is_lost_at_once_and_back_when_it_is_heard() -> None:
    heard = HeardStation()
    heard.hear(presence(ONLINE), False, 100)
    heard.cut(105)
    assert (heard.state, heard.since) == (LOST, 105)
    heard.tick(106)
    assert heard.state is LOST
    heard.hear(presence(ONLINE, epoch=2), False, 110)
    assert (heard.state, heard.since) == (ONLINE, 110)
