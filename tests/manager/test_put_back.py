"""A store put back from a copy, and configs that somebody else sent: what runs is not undone."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleet.manager.rollouts.inherited import STALE, too_old
from fleet.manager.store import AppliedFile, LastUse, ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.manager.store.signing import Signer, Signing
from fleet.model import MAX_REVISION
from tests.manager.boxes import Boxes, ignore, obey, reject, rollout, rollout_ends, status_of
from tests.manager.conftest import Place
from tests.manager.station import PretendStation, apply, ask, conference
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
TWO = (("one", "a"), ("two", "b"))
OTHER = {"record": {"main": {"source": {"type": "test"}, "segment_seconds": 77}}}


class Copies:
    """Starts and ends the manager of one place, whose store is copied and put back."""

    def __init__(self, place: Place, broker: Mosquitto, programs: Programs, s: Stranger) -> None:
        self.place, self.broker, self.programs, self.stranger = place, broker, programs, s
        self.manager: Program

    async def start(self) -> None:
        mark = self.stranger.mark()
        self.manager = self.programs.manager(self.broker, *self.place.arguments)
        await self.stranger.expect(
            "fleet/v1/manager/presence", lambda p: p["state"] == "online", 60, after=mark
        )

    async def end(self) -> None:
        self.manager.terminate()
        assert await self.manager.ended() == 0

    async def copy(self) -> None:
        """As docs/operating.md says it; a database only once nobody uses it."""
        self.marked = (self.place.directory / "manager.written").read_bytes()
        if self.place.url is None:
            path = self.place.directory / "manager.sqlite"
            source, copy = sqlite3.connect(path), sqlite3.connect(path.with_name("copy"))
            source.backup(copy)
            source.close()
            copy.close()
        else:
            await self.end()
            self.copied = self.place.copy()
            await self.start()

    def put_back(self) -> None:
        """With all that lies beside it."""
        (self.place.directory / "manager.written").write_bytes(self.marked)
        if self.place.url is None:
            path = self.place.directory / "manager.sqlite"
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            path.with_name("copy").rename(path)
        else:
            self.place.url = self.copied


@pytest.fixture
def copies(place: Place, broker: Mosquitto, programs: Programs, stranger: Stranger) -> Copies:
    return Copies(place, broker, programs, stranger)


async def test_a_store_put_back_goes_on_with_no_rollout_of_then_and_what_runs_is_kept(
    copies: Copies, stranger: Stranger, boxes: Boxes
) -> None:
    await copies.start()
    await boxes.add("a", "b")
    await apply(stranger, conference(*TWO))
    await rollout_ends(stranger)
    boxes.behaviour["a"] = ignore
    await ask(stranger, "apply", text=conference(*TWO, seconds=60), name="f", batch=1)
    await until(lambda: len(boxes.given("a")) == 2)
    await copies.copy()
    await rollout(stranger, stop=True)
    boxes.behaviour["a"] = obey
    if copies.place.url is None:  # else the broker alone can know that something was done since
        await apply(stranger, conference(*TWO, seconds=99))
        await rollout_ends(stranger)
    runs = {id_: box.roles for id_, box in boxes.stations.items()}
    await copies.end()

    copies.put_back()
    await copies.start()
    found = await rollout_ends(stranger)
    assert (found["number"], found["phase"]) == (2, "stopped")
    assert "put back to an earlier state" in found["why"]
    await in_sync(stranger, "a" if copies.place.url is None else "b", "b")
    assert boxes.stations["b"].roles == runs["b"]
    if copies.place.url is None:
        assert boxes.stations["a"].roles == runs["a"]
    (told,) = (await ask(stranger, "status"))["result"]["findings"]
    assert (told["kind"], told["command"]) == ("StorePutBack", "fleet apply FILE")
    await apply(stranger, conference(*TWO))
    assert (await ask(stranger, "status"))["result"]["findings"] == []


async def test_a_store_put_back_empties_no_box_that_it_knows_as_replaced(
    copies: Copies, stranger: Stranger, boxes: Boxes
) -> None:
    await copies.start()
    await boxes.add("old")
    await boxes.add("new", behaviour=ignore)
    await apply(stranger, conference(("cam", "old")))
    await rollout_ends(stranger)
    await apply(stranger, conference(("cam", "new")))
    await until(lambda: boxes.given("new"))
    await copies.copy()
    await rollout(stranger, stop=True)
    boxes.behaviour["new"] = obey
    await apply(stranger, conference(("cam", "old")))  # the other one had a broken fan
    await until(lambda: any(one["roles"] == {} for one in boxes.given("new")))
    await rollout_ends(stranger)
    await copies.end()

    copies.put_back()
    await copies.start()
    async with asyncio.timeout(60):
        while (await in_sync(stranger, "old"))["old"]["note"] is not None:
            pass
    assert boxes.stations["old"].roles, "it records on"
    assert all(one["roles"] for one in boxes.given("old"))


async def in_sync(stranger: Stranger, *stations: str) -> Any:
    """The status once these stations are in sync."""
    async with asyncio.timeout(60):
        while True:
            shown = await status_of(stranger)
            if all(shown[one]["in_sync"] for one in stations):
                return shown
            await asyncio.sleep(0.05)


def test_a_rollout_that_nobody_led_on_for_long_is_not_gone_on_with() -> None:
    assert too_old(LastUse(None, newer=False), AT) is None
    assert too_old(LastUse(AT, newer=False), AT + STALE / 2) is None
    said = too_old(LastUse(AT, newer=False), AT + timedelta(minutes=30))
    assert said == "no manager led it on for 30 minutes"
    said = too_old(LastUse(AT, newer=False), AT + timedelta(hours=9))
    assert said == "no manager led it on for 9 hours"


async def test_a_store_is_known_for_an_old_one_by_its_marker_or_by_how_often_it_was_written(
    tmp_path: Path,
) -> None:
    store = ManagerStore.in_directory(tmp_path)
    store.say("talk", "hall1", None)
    store.close()
    file, marker = tmp_path / "manager.sqlite", tmp_path / "manager.written"
    copy, beside = file.read_bytes(), marker.read_bytes()
    store = ManagerStore.in_directory(tmp_path)
    store.retire("cam1", AT, "ann")
    store.close()
    file.write_bytes(copy)
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    assert ledger.older == "the store was put back to an earlier state"
    await ledger.close()
    marker.write_bytes(beside)
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    found = []
    for written in (1, 2):
        await ledger.compare(written)
        found.append(ledger.older is not None)
    await ledger.write((), conference=AppliedFile(AT, "ann", "f", None, ""))
    assert [*found, ledger.older is not None] == [False, True, False]
    await ledger.close()


@pytest.fixture
async def manager(broker: Mosquitto, stranger: Stranger, programs: Programs) -> Program:
    program = programs.manager(broker)
    await ask(stranger, "status", 60)
    return program


@pytest.mark.usefixtures("manager")
async def test_something_else_under_the_same_number_is_not_in_sync_and_gets_another(
    stranger: Stranger, boxes: Boxes
) -> None:
    await boxes.add("cam1", behaviour=ignore)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    box = boxes.stations["cam1"]
    await until(lambda: boxes.given("cam1"))
    wanted = boxes.given("cam1")[-1]
    box.revision, box.roles = 1, OTHER
    await box.ack()
    await box.status()
    await until(lambda: len(boxes.given("cam1")) == 2)
    again = boxes.given("cam1")[-1]
    assert (again["revision"], again["roles"]) == (2, wanted["roles"])
    shown = (await status_of(stranger))["cam1"]
    assert (shown["in_sync"], shown["wanted"]) == (False, 2)
    await box.obey(again)
    await in_sync(stranger, "cam1")


@pytest.mark.usefixtures("manager")
async def test_a_rejection_does_not_outlive_its_cause(stranger: Stranger, boxes: Boxes) -> None:
    await boxes.add("cam1", behaviour=reject)
    box = boxes.stations["cam1"]
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await rollout_ends(stranger)
    topic = box.topic("config")
    sent = len(stranger.on(topic))
    await box.register()  # nothing has changed
    await ask(stranger, "status")
    assert len(stranger.on(topic)) == sent
    box.boot = "boot-2"  # the agent is started anew, and ffmpeg is there now
    mark = stranger.mark()
    await box.come_online(interval=60)
    problem = {"type": "BlockedRole", "role": "record", "instance": None, "path": None}
    error = {"type": "BlockedRole", "message": "blocked", "problems": [problem | {"message": "x"}]}
    await box.ack(1, "rejected", error)
    again = await box.config(1, after=mark)
    await box.obey(again)
    await in_sync(stranger, "cam1")


@pytest.mark.usefixtures("manager")
async def test_what_somebody_else_sends_a_station_does_not_become_what_is_wanted(
    stranger: Stranger, boxes: Boxes, broker: Mosquitto
) -> None:
    await boxes.add("cam1")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await rollout_ends(stranger)
    box = boxes.stations["cam1"]
    wanted = box.roles
    foreign = {"revision": 99, "at": None, "by": None, "roles": OTHER}
    await stranger.publish(box.topic("config"), foreign, retain=True)
    await until(lambda: box.revision == 100)
    assert box.roles == wanted
    async with Stranger(broker.port, box.topic("config")) as late:
        kept = await late.expect(box.topic("config"))
    assert (kept["revision"], kept["roles"]) == (100, wanted)
    events = (await ask(stranger, "history", station="cam1"))["result"]["events"]
    assert "adopted" not in {one["by"] for one in events}


@pytest.mark.usefixtures("manager")
async def test_a_station_at_the_highest_number_is_reached_again_by_what_is_advised(
    stranger: Stranger,
) -> None:
    box = PretendStation(stranger, "cam1")
    highest = {"revision": MAX_REVISION, "at": None, "by": None, "roles": OTHER}
    await stranger.publish(box.topic("config"), highest, retain=True)
    box.revision, box.roles = MAX_REVISION, OTHER
    await box.come_online(interval=60)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    (target,) = (await rollout_ends(stranger))["targets"]
    assert "delete decision.json in its state directory" in target["why"]
    await until(lambda: stranger.on(box.topic("config"))[-1].payload == b"")
    box.revision, box.roles, box.boot = 0, {}, "boot-2"  # its agent, begun anew as advised
    await box.come_online(interval=60)
    async with asyncio.timeout(60):
        while (await status_of(stranger))["cam1"]["running"] != 0:
            pass
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await box.obey(await box.config(1))
    await in_sync(stranger, "cam1")


@pytest.mark.usefixtures("manager")
async def test_what_somebody_else_sends_a_station_of_which_nothing_is_wanted_is_not_adopted(
    stranger: Stranger,
) -> None:
    box = PretendStation(stranger, "cam1")
    await box.come_online(interval=60)
    foreign = {"revision": 5, "at": None, "by": None, "roles": OTHER}
    await stranger.publish(box.topic("config"), foreign, retain=True)
    await box.obey(foreign)
    shown = (await status_of(stranger))["cam1"]
    assert (shown["wanted"], shown["in_sync"]) == (None, False)
    adopted = await ask(stranger, "adopt", station="cam1")
    assert adopted["error"] is None, adopted
    assert adopted["result"]["revision"] == 6


async def test_what_somebody_else_sent_while_no_manager_was_there_is_not_adopted(
    broker: Mosquitto, stranger: Stranger, boxes: Boxes, programs: Programs, manager: Program
) -> None:
    await boxes.add("new", "old")
    await apply(stranger, conference(("hall1-a", "new"), ("hall1-b", "old")))
    await rollout_ends(stranger)
    new, old = boxes.stations["new"], boxes.stations["old"]
    wanted, old.signature = new.roles, None  # its agent is of a release that gives none back
    manager.terminate()
    assert await manager.ended() == 0
    edited = json.loads(stranger.on(new.topic("config"))[-1].payload)
    edited |= {"revision": 9, "roles": OTHER}  # as people do in MQTT Explorer
    for box in (new, old):
        await stranger.publish(box.topic("config"), edited, retain=True)
    await until(lambda: new.revision == old.revision == 9)
    old.signature = None
    await old.ack()
    await stranger.publish(new.topic("config"), b"", retain=True)
    programs.manager(broker)
    await until(lambda: new.revision == old.revision == 10)
    assert new.roles == old.roles == wanted
    events = (await ask(stranger, "history"))["result"]["events"]
    assert "adopted" not in {one["by"] for one in events}


def test_a_config_is_known_by_whose_key_has_signed_it_for_which_station() -> None:
    ours, theirs = Signing.by("a"), Signing.by("b")
    signature = ours.sign("cam1", 3, OTHER)
    assert Signing.by("a").signer("cam1", 3, OTHER, signature) is Signer.US
    assert theirs.signer("cam1", 3, OTHER, signature) is Signer.ANOTHER_STORE
    assert ours.signer("cam2", 3, OTHER, signature) is Signer.NOBODY
    assert ours.signer("cam1", 4, OTHER, signature) is Signer.NOBODY
    assert ours.signer("cam1", 3, {"record": {}}, signature) is Signer.NOBODY
    for no in (None, "", "x", f"{ours.name}.", f"{ours.name}.é"):
        assert ours.signer("cam1", 3, OTHER, no) is Signer.NOBODY


async def test_a_restarted_manager_looks_again_at_what_was_rejected(
    broker: Mosquitto, stranger: Stranger, boxes: Boxes, programs: Programs, manager: Program
) -> None:
    await boxes.add("cam1", behaviour=reject)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await rollout_ends(stranger)
    manager.kill()
    await stranger.publish("fleet/v1/station/cam1/config", b"", retain=True)
    mark = stranger.mark()
    programs.manager(broker)
    again = await boxes.stations["cam1"].config(1, 60, after=mark)
    assert again["revision"] == 1


async def test_what_is_applied_after_the_store_was_lost_wins_over_what_a_station_ran_before(
    broker: Mosquitto, stranger: Stranger, programs: Programs, manager: Program, boxes: Boxes
) -> None:
    await apply(stranger, conference(("hall1-cam", "other")))
    manager.terminate()
    assert await manager.ended() == 0
    (programs.directory / "manager/manager.sqlite").write_bytes(bytes(8192))
    mark = stranger.mark()
    programs.manager(broker)
    await stranger.expect(
        "fleet/v1/manager/presence", lambda p: p["state"] == "online", 60, after=mark
    )
    await apply(stranger, conference(("hall1-cam", "cam1")))
    box = PretendStation(stranger, "cam1")
    box.revision, box.roles = 40, OTHER
    await box.come_online(interval=60)
    await box.ack()
    config = await box.config(41)
    assert config["roles"] != OTHER
