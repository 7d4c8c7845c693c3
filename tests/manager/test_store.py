"""The store on a real SQLite: what was committed is there, and nothing else."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.manager.ledger import Ledger
from fleet.manager.revisions import issue
from fleet.manager.store import BadStore, Conference, Issue, Store, Writing
from fleet.manager.wanted import Facts
from fleet.model import Ack, Config, InForce, PresenceState, Result, Roles
from fleet.wire import decode

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
ROLES: Roles = {"record": {"main": {"size": 1}}}
FACTS = Facts("hall1-cam", "hall1", "cam", "tripod", "192.0.2.7")


def made(station: str, revision: int, roles: Roles = ROLES) -> tuple[Issue, Config]:
    return issue(station, revision, roles, FACTS, at=AT, by="ann", message="try")


def ack(revision: int | None, at: datetime = AT) -> Ack:
    return Ack(revision, "A", at, Result.ACCEPTED, None, InForce(revision or 0, {}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.in_directory(tmp_path)
    yield store
    store.close()


def test_what_was_issued_is_wanted_with_the_very_same_bytes(store: Store, tmp_path: Path) -> None:
    one, config = made("cam1", 7)
    store.write(Writing([one], {"cam1": FACTS}, Conference(AT, "ann", "f.toml", None, "text")))
    store.close()
    known = Store.in_directory(tmp_path).load()["cam1"]
    assert known.payload == one.payload
    assert decode(one.payload, Config) == config
    assert (known.highest, known.facts, known.retired, known.answered) == (7, FACTS, False, False)


def test_facts_alone_make_a_station_known(store: Store) -> None:
    store.write(Writing(facts={"cam1": FACTS}))
    known = store.load()["cam1"]
    assert (known.payload, known.highest, known.facts) == (None, 0, FACTS)


def test_a_later_revision_replaces_what_is_wanted(store: Store) -> None:
    for revision in (1, 2, 9):
        store.write(Writing([made("cam1", revision)[0]], {"cam1": FACTS}))
    known = store.load()["cam1"]
    assert known.highest == 9
    assert known.payload == made("cam1", 9)[0].payload


def test_a_number_used_twice_is_refused_and_nothing_of_it_is_kept(store: Store) -> None:
    store.write(Writing([made("cam1", 1)[0]]))
    with pytest.raises(BadStore, match="could not be written"):
        store.write(Writing([made("cam2", 1)[0], made("cam1", 1, {})[0]], {"cam2": FACTS}))
    known = store.load()
    assert list(known) == ["cam1"]
    assert known["cam1"].payload == made("cam1", 1)[0].payload


def test_an_ack_of_a_revision_of_this_store_is_an_answer(store: Store) -> None:
    for station in ("answered", "foreign", "empty", "unreadable"):
        store.write(Writing([made(station, 3)[0]]))
    acks = [
        ("answered", ack(3)),
        ("foreign", ack(12)),
        ("empty", ack(0)),
        ("unreadable", ack(None)),
    ]
    store.note(acks, [("answered", AT, "online", "A")])
    assert [name for name, known in store.load().items() if known.answered] == ["answered"]


def test_old_acks_and_presence_go_but_the_last_ack_stays(store: Store, tmp_path: Path) -> None:
    store.write(Writing([made("cam1", 1)[0]]))
    old = AT - timedelta(days=40)
    store.note([("cam1", ack(1, old)), ("cam1", ack(1, old)), ("cam2", ack(0))], [])
    store.note([], [("cam1", old, "lost", "A"), ("cam1", AT, "online", None)])
    store.prune(AT - timedelta(days=30))
    assert store.load()["cam1"].answered
    with sqlite3.connect(tmp_path / "manager.sqlite") as connection:
        assert connection.execute("select count(*) from ack").fetchone() == (2,)
        assert connection.execute("select state from presence").fetchall() == [("online",)]
    connection.close()


def test_a_store_is_opened_again_as_it_was(tmp_path: Path) -> None:
    for revision in (1, 2, 3):
        store = Store.in_directory(tmp_path)
        store.check()
        store.write(Writing([made("cam1", revision)[0]]))
        store.close()
    store = Store.in_directory(tmp_path)
    assert store.load()["cam1"].highest == 3
    store.close()


def test_a_damaged_store_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "manager.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(BadStore, match=r"manager\.sqlite is damaged .*backup"):
        Store.in_directory(tmp_path)


def test_a_damaged_page_is_found_at_the_start(tmp_path: Path) -> None:
    store = Store.in_directory(tmp_path)
    store.write(Writing([made(f"cam{number}", 1)[0] for number in range(300)]))
    store.close()
    path = tmp_path / "manager.sqlite"
    content = bytearray(path.read_bytes())
    content[20_000:40_000] = b"\xff" * 20_000
    path.write_bytes(content)
    with pytest.raises(BadStore, match="is damaged"):
        Store.in_directory(tmp_path)


def test_a_store_of_a_newer_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    Store.in_directory(tmp_path).close()
    with sqlite3.connect(tmp_path / "manager.sqlite") as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    connection.close()
    with pytest.raises(BadStore, match="newer fleet-manager"):
        Store.in_directory(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadStore, match="cannot be written: Not a directory"):
        Store.in_directory(tmp_path / "file" / "state")


async def test_the_ledger_is_in_step_with_its_store(tmp_path: Path) -> None:
    ledger = await Ledger.open(lambda: Store.in_directory(tmp_path))
    await ledger.write([made("cam1", 1)], [("cam1", FACTS)])
    ledger.note_ack("cam1", ack(1), answers=True)
    for number in range(1200):
        ledger.note_presence(f"other{number}", PresenceState.ONLINE, "A")
    before = {station: ledger[station] for station in ledger}
    await ledger.close()
    again = await Ledger.open(lambda: Store.in_directory(tmp_path))
    assert {station: again[station] for station in again} == before
    assert again["cam1"].answered
    assert again["nobody"].config is None
    await again.close()


async def test_what_the_store_refuses_is_not_wanted(tmp_path: Path) -> None:
    ledger = await Ledger.open(lambda: Store.in_directory(tmp_path))
    await ledger.write([made("cam1", 1)])
    with pytest.raises(BadStore):
        await ledger.write([made("cam1", 1, {})])
    config = ledger["cam1"].config
    assert config is not None
    assert config.roles == ROLES
    await ledger.close()
