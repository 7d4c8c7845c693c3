"""A store that is locked, full, hung, gone or damaged: said as it is, and nothing is lost."""

import asyncio
import logging
import os
import shutil
import sqlite3
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet.manager.conference.hours import Override
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Rollout, RolloutTarget
from fleet.manager.rollouts.revisions import issue
from fleet.manager.store import BadStore, Issue, ManagerStore, StoreAway, Writing, thread
from fleet.manager.store.ledger import Ledger
from fleet.manager.store.remembered import MOST, Remembered
from fleet.model import Ack, Config, InForce, PresenceState, Result, Roles
from tests.manager.conftest import Place
from tests.manager.postgres import Postgres
from tests.processes import PATIENCE, until

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
ROLES: Roles = {"record": {"main": {"size": 1}}}


def made(station: str, revision: int, roles: Roles = ROLES) -> tuple[Issue, Config]:
    return issue(station, revision, roles, Facts(), at=AT, by="ann", message=None)


def ack(revision: int) -> Ack:
    return Ack(revision, "A", AT, Result.ACCEPTED, None, InForce(revision, {}))


@pytest.mark.parametrize(
    "content", ["garbage", "zeros", "half", "page", "directory", "other", "pipe"]
)
def test_a_damaged_store_is_set_aside_and_an_empty_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    store = ManagerStore.in_directory(tmp_path)
    store.write(Writing([made(f"cam{number}", 1)[0] for number in range(300)]))
    store.close()
    path = tmp_path / "manager.sqlite"
    whole = path.read_bytes()
    damaged = {
        "garbage": b"garbage" * 1000,
        "zeros": bytes(len(whole)),
        "half": whole[: len(whole) // 2],
        "page": whole[:20_000] + b"\xff" * 20_000 + whole[40_000:],
        "other": b"\x00../../etc\n\xfe" * 999,
        "directory": b"",
        "pipe": b"",
    }[content]
    if not damaged:
        path.unlink()
        path.mkdir() if content == "directory" else os.mkfifo(path)
    else:
        path.write_bytes(damaged)
    store = ManagerStore.in_directory(tmp_path)
    assert store.load() == {}
    store.write(Writing([made("cam1", 7)[0]]))
    store.close()
    (aside,) = tmp_path.glob("manager.sqlite.damaged-*")
    assert not damaged or aside.read_bytes() == damaged
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    assert aside.name in caplog.text
    assert ManagerStore.in_directory(tmp_path).load()["cam1"].highest == 7
    assert len(caplog.records) == 1, "said once"


def test_an_empty_file_is_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "manager.sqlite").touch()
    assert ManagerStore.in_directory(tmp_path).load() == {}


def test_what_lies_beside_the_store_says_nothing_where_it_is_damaged(tmp_path: Path) -> None:
    store = ManagerStore.in_directory(tmp_path)
    store.write(Writing([made("cam1", 1)[0]]))
    for content in (b"", bytes(64), b"\xff\xfe", b"99999999999999999999999999999999999999999"):
        (tmp_path / "manager.written").write_bytes(content)
        assert content[:1] == b"9" or not store.last_use().newer
    for make in (Path.mkdir, os.mkfifo):
        (tmp_path / "manager.written").unlink()
        make(tmp_path / "manager.written")
        assert not store.last_use().newer
        store.write(Writing([made("cam1", store.load()["cam1"].highest + 1)[0]]))


@pytest.mark.parametrize("beside", ["-wal", "-shm"])
@pytest.mark.parametrize("content", [b"", bytes(4096), b"\xff/../" * 999, None])
def test_what_sqlite_keeps_beside_the_store_may_hold_anything(
    tmp_path: Path, beside: str, content: bytes | None
) -> None:
    store = ManagerStore.in_directory(tmp_path)
    store.write(Writing([made("cam1", 3)[0]]))
    store.close()
    path = tmp_path / f"manager.sqlite{beside}"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    store = ManagerStore.in_directory(tmp_path)
    assert store.load().keys() == (set() if content is None else {"cam1"})
    store.write(Writing([made("cam1", 4)[0]]))
    store.close()


async def test_whatever_rows_hold_the_store_is_read_as_far_as_it_can_be(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = place.open()
    target = RolloutTarget("cam1", Facts(), ROLES, None)
    store.write(Writing([made("cam1", 1)[0]], rollout=Rollout(4, AT, "ann", None, (target,))))
    store.say("room", "hall1", Override("room", "hall1", "on", "ann", AT, None))
    place.query("update rollout set at = '??'")
    place.query("update said set since = ''")
    place.query("update keeper set alive = 'never'")
    place.query("insert into conference values (1, '', 'ann', 'f', null, '???')")
    if place.url is None:
        place.query("update station set name = cast(x'ff00fe' as text)")
    ledger = await Ledger.open(place.open)
    assert ledger.rollout is not None
    assert (ledger.rollout.number, ledger.running) == (4, None)
    assert ledger["cam1"].highest == 1
    assert "rollout 4 cannot be read" in caplog.text
    assert "what was said of rooms cannot be read" in caplog.text
    assert "the conference file applied last cannot be read" in caplog.text
    await ledger.close()


def test_a_config_that_the_store_garbled_is_said_and_what_runs_is_adopted(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    store = place.open()
    store.write(Writing([made("cam1", 1)[0], made("cam2", 1)[0]]))
    place.query("update revision set config = '???' where station = 'cam1'")

    async def read() -> None:
        ledger = await Ledger.open(place.open)
        assert (ledger["cam1"].config, ledger["cam1"].highest) == (None, 1)
        assert ledger["cam2"].config is not None
        await ledger.close()

    asyncio.run(read())
    assert "what is wanted of cam1 cannot be read" in caplog.text


async def test_a_locked_store_refuses_a_change_in_time_and_history_resumes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await Ledger.open(place.open)
    await ledger.write([made("cam1", 1)])
    keeper = asyncio.create_task(ledger.keep())
    with place.locked():
        for number in range(3):
            ledger.note_presence(f"cam{number}", PresenceState.LOST, None)
        with pytest.raises(StoreAway, match="is locked"):
            await ledger.write([made("cam1", 2)])
        config = ledger["cam1"].config
        assert config is not None
        assert config.revision == 1
        said = await ledger.keeper.ailing()
        assert said is not None
        assert "locked" in said
    await ledger.write([made("cam1", 2)])
    assert await ledger.keeper.ailing() is None
    await until(lambda: place.query("select station from presence where station = 'cam2'"))
    keeper.cancel()
    await ledger.close()


@pytest.mark.parametrize("wholly", [True, False], ids=["server", "backend"])
async def test_a_stopped_server_is_given_up_on_and_used_again_when_it_runs(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, wholly: bool
) -> None:
    url = postgres.database()
    ledger = await Ledger.open(lambda: ManagerStore.at(url))
    await ledger.write([made("cam1", 1)])
    monkeypatch.setattr(thread, "LONGEST", 1.0)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with postgres.stopped(wholly=wholly):
        with pytest.raises(StoreAway, match="does not answer"):
            await ledger.write([made("cam1", 2)])
        assert ticks > 3, "nobody else waited"
        ledger.note_presence("cam1", PresenceState.LOST, None)
        keeper = asyncio.create_task(ledger.keep())
        if wholly:
            assert await ledger.keeper.ailing() is not None
        else:
            await until(lambda: ledger.keeper.trouble is None, what="another backend")
        monkeypatch.setattr(thread, "LONGEST", 15.0)
    await until(lambda: ledger.keeper.trouble is None, what="the server")
    keeper.cancel()
    assert ledger["cam1"].highest == 1, "who was told that it failed does not see it come about"
    await ledger.write([made("cam1", 2)])
    assert [one.kind for one in await ledger.history.past("cam1", 9)] == [
        "revision",
        "revision",
        "lost",
    ]
    ticking.cancel()
    await ledger.close()


async def test_a_change_whose_answer_got_lost_is_seen_in_the_store(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit went through, and then nobody said so."""
    store = place.open()
    ledger = await Ledger.open(lambda: store)
    write, over = store.write, threading.Event()

    def write_and_hang(writing: Writing) -> None:
        write(writing)
        over.wait(PATIENCE)

    monkeypatch.setattr(thread, "LONGEST", 2.0)
    monkeypatch.setattr(store, "write", write_and_hang)
    with pytest.raises(StoreAway, match="does not answer"):
        await ledger.write([made("cam1", 1)])
    assert ledger["cam1"].highest == 0
    with pytest.raises(StoreAway, match="has not answered for"):
        await ledger.write([made("cam1", 1)])
    monkeypatch.setattr(thread, "LONGEST", 15.0)
    monkeypatch.setattr(store, "write", write)
    over.set()
    keeper = asyncio.create_task(ledger.keep())
    await until(lambda: ledger["cam1"].highest == 1)
    with pytest.raises(BadStore):
        await ledger.write([made("cam1", 1, {})])
    await ledger.write([made("cam1", 2)])
    keeper.cancel()
    await ledger.close()


async def test_a_change_that_never_had_its_turn_is_never_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place.open()
    ledger = await Ledger.open(lambda: store)
    over = threading.Event()
    monkeypatch.setattr(thread, "LONGEST", 1.0)
    hanging = asyncio.create_task(ledger.keeper.run(over.wait, PATIENCE))
    await asyncio.sleep(0)
    with pytest.raises(StoreAway):
        await ledger.write([made("cam1", 1)])
    with pytest.raises(StoreAway):
        await hanging
    monkeypatch.setattr(thread, "LONGEST", 15.0)
    over.set()
    found = None
    while found is None:
        with suppress(StoreAway):  # until the thread is free again
            found = await ledger.keeper.run(store.load)
    assert found == {}
    await ledger.close()


def test_a_store_that_was_moved_or_exchanged_takes_nothing_that_would_be_lost(
    tmp_path: Path,
) -> None:
    store = ManagerStore.in_directory(tmp_path / "manager")
    (tmp_path / "manager").rename(tmp_path / "gone")
    for _ in range(2):
        with pytest.raises(StoreAway, match="is gone"):
            store.write(Writing([made("cam1", 1)[0]]))
    with pytest.raises(StoreAway, match="is gone"):
        store.check(AT)
    (tmp_path / "gone").rename(tmp_path / "manager")
    store.write(Writing([made("cam1", 1)[0]]))
    path = tmp_path / "manager/manager.sqlite"
    path.rename(tmp_path / "older")
    path.write_bytes((tmp_path / "older").read_bytes())
    with pytest.raises(StoreAway, match="another file lies in the place"):
        store.write(Writing([made("cam1", 2)[0]]))


@pytest.mark.parametrize("exchanged", [True, False])
def test_what_sqlite_writes_first_may_be_taken_away_and_nothing_committed_is_lost(
    tmp_path: Path, exchanged: bool
) -> None:
    """What comes after a kill is what lies on the disk: so the files are looked at as they are."""
    store = ManagerStore.in_directory(tmp_path)
    store.write(Writing([made("cam1", 1)[0]]))
    log_file = tmp_path / "manager.sqlite-wal"
    log_file.unlink()
    if exchanged:
        log_file.write_bytes(b"")
    with pytest.raises(StoreAway, match="try again"):
        store.write(Writing([made("cam1", 2)[0]]))
    store.write(Writing([made("cam1", 3)[0]]))
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path, killed)
    assert ManagerStore.in_directory(killed).load()["cam1"].highest == 3
    with sqlite3.connect(killed / "manager.sqlite") as found:
        assert found.execute("select revision from revision").fetchall() == [(1,), (3,)]
    found.close()


def test_a_server_that_takes_nothing_for_now_is_away_and_is_used_again(
    postgres: Postgres,
) -> None:
    store = ManagerStore.at(postgres.database())
    engine = sa.create_engine(store.place, isolation_level="AUTOCOMMIT")

    def read_only(word: str) -> None:
        with engine.connect() as connection:
            name = connection.execute(sa.text("SELECT current_database()")).scalar_one()
            connection.execute(
                sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = {word}")
            )
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    read_only("on")
    with pytest.raises(StoreAway, match="read-only"):
        store.check(AT)
    read_only("off")
    store.check(AT)
    store.close()
    engine.dispose()


_WORDS = {
    "XX000": "is damaged",
    "XX001": "is damaged",
    "53100": "is full",
    "53200": "cannot be written",
    "57P01": "cannot be written",
    "57P02": "cannot be written",
    "57P03": "cannot be written",
    "40001": "cannot be written",
    "42501": "does not let us",
    "58030": "cannot be written",
    "25P03": "cannot be written",
}


async def test_whatever_the_server_says_in_a_transaction_is_waited_for_and_none_of_it_is_kept(
    postgres: Postgres,
) -> None:
    """The server itself says so, from a trigger; the last one has its connection cut."""
    url = postgres.database()
    ledger = await Ledger.open(lambda: ManagerStore.at(url))
    await ledger.write([made("cam1", 1)])
    steps = {f"raise exception using errcode = '{code}'": said for code, said in _WORDS.items()}
    steps["perform pg_terminate_backend(pg_backend_pid())"] = "cannot be written"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        for number, (step, said) in enumerate(steps.items()):
            server.exec_driver_sql(
                "create or replace function refuse() returns trigger language plpgsql as "
                f"$$ begin {step}; return new; end $$"
            )
            if not number:
                server.exec_driver_sql(
                    "create trigger refuse before update on keeper for each row "
                    "execute function refuse()"
                )
            with pytest.raises(StoreAway, match=said):
                await ledger.write([made("cam1", 2)])
            assert said in (await ledger.keeper.ailing() or "")
        server.exec_driver_sql("drop trigger refuse on keeper")
    engine.dispose()
    assert await ledger.keeper.ailing() is None
    await ledger.write([made("cam1", 2)])
    await ledger.close()


async def test_what_waits_is_bounded_and_the_newest_stays() -> None:
    kept: list[str] = []

    async def write(
        acks: object, presences: list[tuple[str, datetime, str, str | None]], called: object
    ) -> None:
        kept.extend(one[0] for one in presences)

    remembered = Remembered(write)  # type: ignore[arg-type]
    for number in range(MOST + 10):
        remembered.presence(f"s{number}", "lost", None)
    await remembered.flush()
    assert (kept[0], kept[-1], len(kept)) == ("s10", f"s{MOST + 9}", MOST)


async def test_what_another_program_did_to_the_store_is_read_before_anything_is_changed(
    place: Place,
) -> None:
    ledger = await Ledger.open(place.open)
    await ledger.write([made("cam1", 1)])
    place.open().write(Writing([made("cam1", 2)[0], made("cam2", 1)[0]]))
    refused = pytest.raises(StoreAway, match=r"another program changed the store .* try again")
    with refused:
        await ledger.write([made("cam1", 3)])
    await ledger.write([made("cam1", 4)])
    assert (ledger["cam1"].highest, ledger["cam2"].highest, ledger.older) == (4, 1, None)
    place.query("delete from revision where station = 'cam2'")
    place.query("update keeper set written = 1")
    with refused:
        await ledger.retire("cam1", AT, "ann")
    await ledger.retire("cam1", AT, "ann")
    assert (ledger["cam1"].retired, ledger["cam2"].highest) == (True, 0)
    assert ledger.older is not None
    await ledger.close()


async def test_history_has_our_time_whatever_a_station_s_clock_says(place: Place) -> None:
    ledger = await Ledger.open(place.open)
    await ledger.write([made("cam1", 1)])
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    ledger.note_ack("cam1", ack(1), answers=True)  # by a station whose clock says AT
    *_, answered = await ledger.history.past("cam1", 9)
    assert answered.kind == "accepted"
    assert began <= answered.at <= datetime.now(UTC)
    await ledger.close()


def test_a_migration_that_is_cut_short_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import alembic.op

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(alembic.op, "bulk_insert", fail)
        with pytest.raises(RuntimeError):
            ManagerStore.in_directory(tmp_path)
    with sqlite3.connect(tmp_path / "manager.sqlite") as connection:
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    connection.close()
    assert ManagerStore.in_directory(tmp_path).load() == {}
