"""The store as a file and on a real PostgreSQL: what was committed is there, nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from attrs import evolve

from fleet.manager.conference.hours import Override
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Outcome, Phase, Rollout, RolloutTarget
from fleet.manager.rollouts.revisions import issue
from fleet.manager.store import (
    CALLED,
    AppliedFile,
    BadStore,
    Deed,
    Issue,
    KeptPerson,
    KeptSignIn,
    ManagerStore,
    PeopleChange,
    Writing,
)
from fleet.manager.store.ledger import Ledger
from fleet.model import (
    GONE,
    SHORT_OF_CPU,
    Ack,
    Config,
    Error,
    InForce,
    PresenceState,
    Result,
    Roles,
    Segment,
    SegmentCheck,
    SegmentStream,
)
from fleet.operations.recordings import CutMark
from fleet.wire import decode
from tests.manager.conftest import Place
from tests.manager.postgres import Postgres

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
ROLES: Roles = {"record": {"main": {"size": 1}}}
FACTS = Facts("hall1-cam", "hall1", "cam", "tripod", "192.0.2.7")


def made(station: str, revision: int, roles: Roles = ROLES) -> tuple[Issue, Config]:
    return issue(station, revision, roles, FACTS, at=AT, by="ann", message="try")


def ack(revision: int | None, at: datetime = AT) -> Ack:
    return Ack(revision, "A", at, Result.ACCEPTED, None, InForce(revision or 0, {}))


@pytest.fixture
def store(place: Place) -> ManagerStore:
    return place.open()


def test_every_wait_for_a_server_has_an_end_and_its_url_may_have_options(
    postgres: Postgres,
) -> None:
    store = ManagerStore.at(f"{postgres.database()}&options=-csearch_path%3Dpublic")
    with store._database.reading() as connection:
        found = {
            name: connection.execute(sa.text(f"show {name}")).scalar()
            for name in ("lock_timeout", "statement_timeout", "search_path")
        }
    store.close()
    assert found == {"lock_timeout": "3s", "statement_timeout": "10s", "search_path": "public"}


def test_what_was_issued_is_wanted_with_the_very_same_bytes(
    store: ManagerStore, place: Place
) -> None:
    one, config = made("cam1", 7)
    store.write(Writing([one], {"cam1": FACTS}, AppliedFile(AT, "ann", "f.toml", None, "text")))
    store.close()
    known = place.open().load()["cam1"]
    assert known.payload == one.payload
    assert decode(one.payload, Config) == config
    assert (known.highest, known.facts, known.retired, known.answered) == (7, FACTS, False, False)


def test_facts_alone_make_a_station_known(store: ManagerStore) -> None:
    store.write(Writing(facts={"cam1": FACTS}))
    known = store.load()["cam1"]
    assert (known.payload, known.highest, known.facts) == (None, 0, FACTS)


def test_a_later_revision_replaces_what_is_wanted(store: ManagerStore) -> None:
    for revision in (1, 2, 9):
        store.write(Writing([made("cam1", revision)[0]], {"cam1": FACTS}))
    known = store.load()["cam1"]
    assert known.highest == 9
    assert known.payload == made("cam1", 9)[0].payload


def test_a_number_used_twice_is_refused_and_nothing_of_it_is_kept(store: ManagerStore) -> None:
    store.write(Writing([made("cam1", 1)[0]]))
    with pytest.raises(BadStore, match="could not be written"):
        store.write(Writing([made("cam2", 1)[0], made("cam1", 1, {})[0]], {"cam2": FACTS}))
    known = store.load()
    assert list(known) == ["cam1"]
    assert known["cam1"].payload == made("cam1", 1)[0].payload


def test_an_ack_of_a_revision_of_this_store_is_an_answer(store: ManagerStore) -> None:
    for station in ("answered", "foreign", "empty", "unreadable"):
        store.write(Writing([made(station, 3)[0]]))
    acks = [
        ("answered", AT, ack(3)),
        ("foreign", AT, ack(12)),
        ("empty", AT, ack(0)),
        ("unreadable", AT, ack(None)),
    ]
    store.history.note(acks, [("answered", AT, "online", "A")])
    assert [name for name, known in store.load().items() if known.answered] == ["answered"]


def test_old_acks_and_presence_go_but_the_last_ack_stays(store: ManagerStore, place: Place) -> None:
    store.write(Writing([made("cam1", 1)[0]]))
    old = AT - timedelta(days=40)
    store.history.note([("cam1", old, ack(1)), ("cam1", old, ack(1)), ("cam2", AT, ack(0))], [])
    store.history.note([], [("cam1", old, "lost", "A"), ("cam1", AT, "online", None)])
    store.history.prune(AT - timedelta(days=30))
    assert store.load()["cam1"].answered
    assert place.query("select count(*) from ack") == [(2,)]
    assert place.query("select state from presence") == [("online",)]


def test_what_a_station_says_again_that_it_was_told_is_written_once(store: ManagerStore) -> None:
    one = Deed(AT, CALLED, "ann", "station restart", "cam1")
    other = evolve(one, by="ben")
    store.history.note([], [], [one, one])
    store.history.note([], [], [other, one, evolve(one, station="cam2")])
    assert [it.by for it in store.history.past("cam1", 10)] == ["ann", "ben"]
    assert [it.station for it in store.history.past(None, 10)] == ["cam1", "cam1", "cam2"]


def test_what_stations_tell_pushes_out_nothing_that_the_manager_knows(
    store: ManagerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.manager.store.history._MOST_DEEDS", 2)
    store.do(Deed(AT, "stop", "ann", "record/main", "cam1"))
    store.history.note(
        [], [], [Deed(AT, CALLED, "x", f"drill {number}", "cam1") for number in range(9)]
    )
    store.history.prune(AT)
    assert [it.text for it in store.history.past("cam1", 20)] == [
        "record/main",
        "drill 7",
        "drill 8",
    ]


def test_a_store_is_opened_again_as_it_was(place: Place) -> None:
    for revision in (1, 2, 3):
        store = place.open()
        store.check(AT)
        store.write(Writing([made("cam1", revision)[0]]))
        store.close()
    assert place.open().load()["cam1"].highest == 3


def test_a_store_of_a_newer_release_is_refused_with_what_to_do(place: Place) -> None:
    place.open().close()
    place.query("update alembic_version set version_num = '9999'")
    with pytest.raises(BadStore, match="newer fleet-manager"):
        place.open()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadStore, match="cannot be written: Not a directory"):
        ManagerStore.in_directory(tmp_path / "file" / "state")


async def test_the_ledger_is_in_step_with_its_store(place: Place) -> None:
    ledger = await Ledger.open(place.open)
    await ledger.write([made("cam1", 1)], [("cam1", FACTS)])
    ledger.note_ack("cam1", ack(1), answers=True)
    for number in range(1200):
        ledger.note_presence(f"other{number}", PresenceState.ONLINE, "A")
    before = {station: ledger[station] for station in ledger}
    await ledger.close()
    again = await Ledger.open(place.open)
    assert {station: again[station] for station in again} == before
    assert again["cam1"].answered
    assert again["nobody"].config is None
    await again.close()


async def test_people_and_who_is_signed_in_are_as_they_were_left(place: Place) -> None:
    ledger = await Ledger.open(place.open)
    ann = KeptPerson("ann", "admin", "scrypt$1", AT, "ann")
    bob = KeptPerson("bob", "room:hall1", None, AT, "ann")
    deeds = [Deed(AT, "user", "ann", "bob is room:hall1")]
    await ledger.let_in.change_people(PeopleChange([ann, bob], [], [], deeds))
    for token, name in (("a", "ann"), ("b", "bob"), ("c", "bob")):
        await ledger.let_in.sign_in(KeptSignIn(token * 64, name, AT), [])
    await ledger.let_in.sign_out("c" * 64)
    await ledger.let_in.change_people(
        PeopleChange([evolve(ann, rights="viewer")], ["bob"], ["bob"], [])
    )
    then = (ledger.let_in.people, ledger.let_in.signed_in)
    await ledger.close()
    again = await Ledger.open(place.open)
    assert (again.let_in.people, again.let_in.signed_in) == then
    assert list(again.let_in.people.values()) == [evolve(ann, rights="viewer")]
    assert set(again.let_in.signed_in) == {"a" * 64}
    (told,) = await again.history.past(None, 10)
    assert (told.kind, told.by, told.text) == ("user", "ann", "bob is room:hall1")
    await again.close()


async def test_what_the_store_refuses_is_not_wanted(place: Place) -> None:
    ledger = await Ledger.open(place.open)
    await ledger.write([made("cam1", 1)])
    with pytest.raises(BadStore):
        await ledger.write([made("cam1", 1, {})])
    config = ledger["cam1"].config
    assert config is not None
    assert config.roles == ROLES
    await ledger.close()


def test_a_store_of_the_release_before_is_brought_up_with_all_that_is_in_it(
    place: Place, old_store: Callable[[str], None]
) -> None:
    old_store("0001")
    store = place.open()
    known = store.load()
    assert known["cam1"].highest == 2
    assert known["cam1"].facts == Facts("hall1-cam", "hall1", "cam", "tripod", "192.0.2.7")
    assert known["cam1"].answered
    payload = known["cam1"].payload
    assert payload is not None
    assert decode(payload, Config).roles["record"]["main"]["segment_seconds"] == 60
    assert (known["cam2"].highest, known["slides1"].payload) == (13, None)
    assert [one.kind for one in store.history.past("cam1", 50)].count("revision") == 2
    applied = store.conference()
    assert applied is not None
    assert "Hall 1" in applied.text
    store.write(Writing([made("cam1", 3)[0]]))
    assert place.open().load()["cam1"].highest == 3


def test_a_rollout_comes_back_as_it_was_written(store: ManagerStore, place: Place) -> None:
    target = RolloutTarget("cam1", FACTS, ROLES, None, replaces="old", replaced=4)
    waiting = RolloutTarget("cam2", FACTS, ROLES, 7, Facts("before"))
    rollout = Rollout(
        1, AT, "ann", "why", (target, waiting), 1, 2.5, True, kind="apply", file="f.toml"
    )
    store.write(Writing(rollout=rollout))
    assert place.open().rollout() == rollout
    begun = evolve(target, revision=1, outcome=Outcome.BEGUN)
    rollout = evolve(rollout.with_targets([begun]), phase=Phase.STOPPED, why="stopped by ben")
    store.write(
        Writing(
            [made("cam1", 1)[0]],
            {"cam1": FACTS},
            rollout=rollout,
            targets=frozenset(["cam1"]),
            replaced={"cam1": "cam2"},
        )
    )
    again = place.open()
    assert again.rollout() == rollout
    assert again.rollout(5) is None
    assert again.load()["cam1"].replaced_by == "cam2"
    assert again.befores(1) == {"cam1": (None, 1)}
    assert [(one.kind, one.revision, one.by) for one in again.history.past(None, 9)] == [
        ("apply", 1, "ann")
    ]


def test_a_step_of_a_rollout_and_its_revisions_are_written_together_or_not_at_all(
    store: ManagerStore,
) -> None:
    target = RolloutTarget("cam1", FACTS, ROLES, None)
    store.write(Writing([made("cam1", 1)[0]], rollout=Rollout(1, AT, "ann", None, (target,))))
    found = store.rollout()
    assert found is not None
    done = evolve(found, phase=Phase.DONE)
    with pytest.raises(BadStore):
        store.write(Writing([made("cam1", 1)[0]], rollout=done, targets=frozenset()))
    found = store.rollout()
    assert found is not None
    assert found.phase is Phase.RUNNING


def test_history_has_who_when_and_why_and_what_came_of_it(store: ManagerStore) -> None:
    for revision in (1, 2):
        store.write(Writing([made("cam1", revision)[0]]))
    refused = Error("BlockedRole", "record is blocked here")
    later = AT + timedelta(seconds=5)
    answer = Ack(2, "A", later, Result.REJECTED, refused, InForce(1, {}))
    store.history.note(
        [("cam1", later, answer)], [("cam1", later + timedelta(seconds=1), "lost", None)]
    )
    past = store.history.past("cam1", 3)
    assert [(one.kind, one.revision, one.by, one.text) for one in past] == [
        ("revision", 2, "ann", "try"),
        ("rejected", 2, None, "record is blocked here"),
        ("lost", None, None, None),
    ]
    earlier = store.history.before("cam1", 2)
    assert earlier is not None
    assert earlier.revision == 1
    assert store.history.before("cam1", 1) is None
    assert store.history.revisions({"cam1": 2, "cam2": 9}).keys() == {"cam1"}


def test_a_retired_station_keeps_its_history_and_its_numbers(
    store: ManagerStore, place: Place
) -> None:
    store.write(Writing([made("cam1", 4)[0]], {"cam1": FACTS}))
    store.retire("cam1", AT, "ann")
    store.retire("never-heard", AT + timedelta(seconds=1), "ben")
    known = place.open().load()["cam1"]
    assert (known.retired, known.payload, known.highest) == (True, None, 4)
    store.write(Writing([made("cam1", 5)[0]]))
    assert not place.open().load()["cam1"].retired
    retired = store.history.past("cam1", 9)[-1]
    assert (retired.kind, retired.at, retired.by) == ("retired", AT, "ann")
    assert [(one.kind, one.station, one.by) for one in store.history.past(None, 9)] == [
        ("retired", "cam1", "ann"),
        ("retired", "never-heard", "ben"),
    ]
    assert [one.station for one in store.history.past(None, 1)] == ["never-heard"]


def test_what_was_said_of_a_room_is_kept_until_it_is_taken_back(
    store: ManagerStore, place: Place
) -> None:
    said = Override("talk", "hall1", "on", "ann", AT, AT + timedelta(hours=1))
    forever = Override("station", "cam1", "on", "ben", AT, None)
    store.say("talk", "hall1", evolve(said, state="off"))
    store.say("talk", "hall1", said)
    store.say("station", "cam1", forever)
    assert set(place.open().said()) == {said, forever}
    store.say("talk", "hall1", None)
    assert place.open().said() == [forever]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://x/y", "postgresql\\+psycopg://"),
        ("nonsense", "takes a URL such as"),
        ("postgresql+psycopg://ann:hunter2@/fleet?host=/nowhere", "cannot be used"),
    ],
)
def test_a_server_that_cannot_be_used_is_a_sentence_without_the_password(
    url: str, why: str
) -> None:
    with pytest.raises(BadStore, match=why) as caught:
        ManagerStore.at(url)
    assert "hunter2" not in str(caught.value)


def test_a_segment_is_one_row_however_often_it_is_told_and_of_the_last_index(
    store: ManagerStore,
) -> None:
    def told(of: int, index: str = "old", **more: Any) -> tuple[str, Segment]:
        begin = AT + timedelta(minutes=3 * of)
        one = Segment(
            index=index,
            number=of,
            file=f"hall_1/100%-{of}.ts",
            room="hall1",
            role="record",
            instance="main",
            begin=begin,
            end=begin + timedelta(minutes=3),
            bytes=1,
            streams=(SegmentStream("video", "h264", None, None, 9),),
            frames=9,
            checksum=None,
            gap=None,
            ended="full",
        )
        return "cam1", evolve(one, **more)

    checked, short = SegmentCheck(AT), SegmentCheck(AT, skipped=SHORT_OF_CPU)
    store.recordings.save(
        [told(1), told(2, check=short), told(3, check=checked), told(1, check=checked)]
    )
    store.recordings.save([told(3)])
    everything = store.recordings.between(AT, AT + timedelta(days=1))
    assert everything == [told(1, check=checked), told(2, check=short), told(3)]
    assert list(store.recordings.known("cam1", told(2)[1].begin)) == [
        ("old", 1, True, False),
        ("old", 2, False, False),
        ("old", 3, False, False),
    ]
    # The first is on the disk no more; the second has another number; another has the same begin.
    same_begin = told(9, begin=told(3)[1].begin)
    store.recordings.save([same_begin])
    anew = [told(2, "anew", number=1), told(3, "anew", number=2)]
    store.recordings.save(anew)
    later = store.recordings.between(AT, AT + timedelta(days=1))
    assert sorted(one.file for _, one in later) == sorted(
        one.file for _, one in [told(1), *anew, same_begin]
    )
    assert {(one.file, one.index) for _, one in later} >= {(one.file, "anew") for _, one in anew}
    assert store.recordings.between(AT + timedelta(minutes=4), AT + timedelta(minutes=7)) == [
        anew[0]
    ]
    # What is gone: as the station says, or of an index that it has no more.
    went = told(3, "anew", number=2, check=SegmentCheck(AT, skipped=GONE))
    store.recordings.save([went])
    spans = [(AT, AT + timedelta(minutes=8)), (went[1].begin, went[1].end)]
    assert store.recordings.recorders() == ["cam1"]
    assert list(store.recordings.known("cam1", went[1].end)) == [
        ("anew", 1, False, False),
        ("anew", 2, True, True),
    ]
    name = went[1].file
    assert store.recordings.gone("cam1", None, spans) == [("anew", 2, name)]
    assert store.recordings.gone("cam1", "anew", spans[:1]) == [("old", 1, told(1)[1].file)]
    assert store.recordings.gone("cam1", "anew", []) == []
    store.recordings.forget("cam1", [("anew", 2), ("old", 1)])
    assert store.recordings.gone("cam1", None, spans) == []
    assert len(store.recordings.between(AT, AT + timedelta(days=1))) == len(later) - 2
    mark = CutMark("hall1", "cut", AT, "ann", AT)
    store.recordings.mark(mark)
    store.recordings.forget_marks(spans[1:])
    assert store.recordings.marks(AT, AT + timedelta(minutes=1)) == [mark]
    store.recordings.forget_marks(spans)
    assert store.recordings.marks(AT, AT + timedelta(minutes=1)) == []
