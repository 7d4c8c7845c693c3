"""What a station needs, and when it is looked at again; the clock is a number."""

from datetime import UTC, datetime

import pytest

from fleet.manager.rollouts.convergence import Convergence, Need, need
from fleet.manager.rollouts.revisions import next_revision
from fleet.manager.stations.inventory import HeardStation
from fleet.model import MAX_REVISION, Ack, Config, Error, InForce, PresenceState, Result, Roles

AT = datetime(2026, 2, 1, tzinfo=UTC)
WORK: Roles = {"record": {"main": {"size": 1}}}
OTHER: Roles = {"record": {"main": {"size": 2}}}
ONLINE, OFFLINE = PresenceState.ONLINE, PresenceState.OFFLINE


def wanted(revision: int, roles: Roles = WORK) -> Config:
    return Config(revision, AT, "ann", roles)


def heard(
    revision: int | None = 0,
    in_force: int = 0,
    roles: Roles | None = None,
    *,
    rejected: bool = False,
    conflict: bool = False,
) -> HeardStation:
    result = Result.REJECTED if rejected else Result.ACCEPTED
    error = Error("InvalidConfiguration", "no") if rejected else None
    roles = roles if roles is not None else (WORK if in_force else {})
    ack = Ack(revision, "A", AT, result, error, InForce(in_force, roles))
    return HeardStation(ack=ack, conflict=conflict)


NEEDS = {
    "a station never heard of waits": (None, wanted(1), 1, False, Need.NOTHING),
    "nothing is wanted and nothing runs": (heard(), None, 0, False, Need.NOTHING),
    "it accepted what is wanted": (heard(3, 3), wanted(3), 3, True, Need.NOTHING),
    "it rejected what is wanted": (heard(3, 2, rejected=True), wanted(3), 3, True, Need.NOTHING),
    "it is behind": (heard(2, 2), wanted(3), 3, True, Need.PUSH),
    "it never had a config": (heard(), wanted(3), 3, False, Need.PUSH),
    "it could not read what it got": (
        heard(None, 2, rejected=True),
        wanted(3),
        3,
        True,
        Need.PUSH,
    ),
    "it has sent no ack": (HeardStation(), wanted(1), 1, False, Need.PUSH),
    "it has sent no ack and nothing is wanted": (HeardStation(), None, 0, False, Need.NOTHING),
    "it runs what nobody wanted": (heard(12, 12), None, 0, False, Need.ADOPT),
    "it rejected something and runs what nobody wanted": (
        heard(13, 12, rejected=True),
        None,
        0,
        False,
        Need.ADOPT,
    ),
    "two boxes use its id": (heard(2, 2, conflict=True), wanted(3), 3, True, Need.NOTHING),
    "the store was rolled back": (heard(9, 9), wanted(3), 3, True, Need.ADOPT_AHEAD),
    "it is ahead and the store never heard of it": (
        heard(9, 9),
        wanted(3),
        3,
        False,
        Need.REISSUE,
    ),
    "it rejected a revision the store does not know": (
        heard(9, 3, rejected=True),
        wanted(3),
        3,
        True,
        Need.REISSUE,
    ),
    "it runs something else under the same number": (
        heard(1, 1, OTHER),
        wanted(1),
        1,
        False,
        Need.REISSUE_SAME,
    ),
    "it does so though it has answered before": (
        heard(1, 1, OTHER),
        wanted(1),
        1,
        True,
        Need.REISSUE_SAME,
    ),
}


@pytest.mark.parametrize(
    ("station", "config", "highest", "answered", "expected"), NEEDS.values(), ids=NEEDS
)
def test_need(
    station: HeardStation | None,
    config: Config | None,
    highest: int,
    answered: bool,
    expected: Need,
) -> None:
    assert need(station, config, highest, answered) is expected


def test_what_somebody_else_sent_or_a_retired_station_runs_is_not_adopted() -> None:
    assert need(heard(12, 12), None, 0, False, foreign=True) is Need.NOTHING


def test_a_station_that_this_manager_heard_agree_is_not_ahead_by_an_old_store() -> None:
    assert need(heard(9, 9), wanted(3), 3, True, settled=True) is Need.REISSUE
    assert need(heard(9, 9), wanted(3), 3, True, foreign=True) is Need.REISSUE


def test_a_rejection_is_looked_at_again_once_the_station_has_changed() -> None:
    rejected = heard(3, 2, rejected=True)
    assert need(rejected, wanted(3), 3, True, again=True) is Need.PUSH
    assert need(heard(3, 3), wanted(3), 3, True, again=True) is Need.NOTHING


@pytest.mark.parametrize(
    ("highest", "station", "expected"),
    [
        (0, None, 1),
        (4, None, 5),
        (4, heard(9, 7), 10),
        (4, heard(None, 7), 8),
        (12, heard(9, 7), 13),
        (0, heard(MAX_REVISION, 0), None),
    ],
)
def test_a_number_is_one_above_all_that_is_known(
    highest: int, station: HeardStation | None, expected: int | None
) -> None:
    assert next_revision(highest, station.ack if station else None) == expected


def test_an_ack_that_differs_is_answered_at_once_but_not_twice_in_a_second() -> None:
    convergence = Convergence()
    convergence.ack("s", Need.PUSH, 100.0)
    assert convergence.due(100.0) == ["s"]
    assert convergence.act("s", ONLINE, Need.PUSH, 100.0)
    convergence.pushed("s", 100.0)
    convergence.ack("s", Need.PUSH, 100.1)
    assert convergence.due(100.9) == []
    assert convergence.due(101.0) == ["s"]


def test_an_ack_that_agrees_ends_it() -> None:
    convergence = Convergence()
    convergence.pushed("s", 100.0)
    convergence.ack("s", Need.NOTHING, 100.1)
    assert convergence.due(1000.0) == []


def test_a_live_ack_is_answered_before_presence_says_online() -> None:
    convergence = Convergence()
    convergence.ack("s", Need.PUSH, 100.0)
    assert convergence.act("s", OFFLINE, Need.PUSH, 100.0)


def test_who_sends_no_ack_gets_it_after_5_seconds_then_every_30_while_online() -> None:
    convergence, station = Convergence(), HeardStation(state=ONLINE)
    convergence.online("s", station, Need.PUSH, 100.0)
    convergence.online("s", station, Need.PUSH, 103.0)
    assert convergence.due(104.9) == []
    assert convergence.due(105.0) == ["s"]
    assert convergence.act("s", ONLINE, Need.PUSH, 105.0)
    convergence.pushed("s", 105.0)
    assert convergence.due(134.9) == []
    assert convergence.due(135.0) == ["s"]
    assert not convergence.act("s", OFFLINE, Need.PUSH, 135.0)
    assert convergence.due(1000.0) == []


def test_a_config_that_just_went_out_does_not_make_a_newcomer_wait_longer() -> None:
    convergence = Convergence()
    convergence.pushed("s", 100.0)
    convergence.online("s", HeardStation(state=ONLINE), Need.PUSH, 101.0)
    assert convergence.due(106.0) == ["s"]


def test_a_station_is_adopted_once_a_minute_at_most() -> None:
    convergence = Convergence()
    convergence.ack("s", Need.ADOPT, 100.0)
    assert convergence.act("s", ONLINE, Need.ADOPT, 100.0)
    convergence.reset()
    convergence.ack("s", Need.ADOPT, 110.0)
    assert not convergence.act("s", ONLINE, Need.ADOPT, 110.0)
    assert convergence.due(159.9) == []
    assert convergence.due(160.0) == ["s"]
    assert convergence.act("s", ONLINE, Need.ADOPT, 160.0)


def test_a_station_that_says_it_differently_gets_a_number_a_minute_at_most() -> None:
    convergence = Convergence()
    convergence.ack("s", Need.REISSUE_SAME, 100.0)
    assert convergence.act("s", ONLINE, Need.REISSUE_SAME, 100.0)
    convergence.ack("s", Need.REISSUE_SAME, 101.0)
    assert not convergence.act("s", ONLINE, Need.REISSUE_SAME, 101.0)
    assert convergence.due(159.9) == []
    assert convergence.due(160.0) == ["s"]


def test_a_station_that_is_always_ahead_cannot_spin_us() -> None:
    convergence, times, now = Convergence(), 0, 100.0
    while now < 110.0:
        convergence.ack("s", Need.REISSUE, now)
        for station in convergence.due(now):
            if convergence.act(station, ONLINE, Need.REISSUE, now):
                convergence.pushed(station, now)
                times += 1
        now += 0.01
    assert times <= 11
