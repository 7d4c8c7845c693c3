"""A stop by hand: it outlives restarts of everything, is shown, is no alarm, and ends by itself."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from fleet.manager.findings import Judgement
from fleet.manager.findings.station import station_findings
from fleet.manager.health import stand
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.state import Readings, ReportedState, RoomUse, StationState
from fleet.manager.stations.stops import Stops, as_said, to_run
from fleet.manager.stopping import StopPusher
from fleet.manager.store import Deed, ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.model import (
    Ack,
    InForce,
    PresenceState,
    Result,
    Roles,
    State,
    Status,
    StopByHand,
)
from fleet.operations.health import Standing
from fleet.operations.stations import InstanceReport, StationStatus
from fleet.topics import Topics
from tests.manager.boxes import Boxes, status_of
from tests.manager.conftest import Place
from tests.manager.station import apply, ask, conference
from tests.manager.test_said import metrics
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

AT = datetime(2026, 2, 1, 9, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BUSY = RoomUse(in_use=True, talk=True)
HELD = InstanceReport(State.STOPPED, AT, 0, "Stopped", "stopped by ann")
RECORDS: Roles = {"record": {"main": {}, "other": {}}}


def stop(instance: str = "main", until: datetime | None = None) -> StopByHand:
    return StopByHand("record", instance, "ann", None, AT, until)


def test_a_station_with_something_stopped_is_in_sync_and_nothing_is_wrong_with_it() -> None:
    runs = InstanceReport(State.RUNNING, AT, 0, None, None)
    said = Status("b", AT, 2, {"record": {"main": HELD, "other": runs}}, (stop(),))
    ack = Ack(2, "b", AT, Result.ACCEPTED, None, InForce(2, RECORDS))
    assert stand(RECORDS, 2, ReportedState(PresenceState.ONLINE, ack, said)) == (
        Standing.IN_SYNC,
        None,
    )
    roles = {"record": {"main": HELD, "other": runs}}
    assert to_run(RECORDS, roles) == {"record": {"other": {}}}
    status = StationStatus("b", "cam", "hall1", PresenceState.ONLINE, 2, 2, True, (), roles)
    state = StationState(status, None, None, to_run(RECORDS, roles), Readings.none())
    assert list(station_findings(state, BUSY, Judgement(AT))) == []
    # An agent that stopped for any other reason is an alarm, as ever.
    other = {"record": {"main": evolve(HELD, reason=None), "other": runs}}
    state = evolve(state, status=evolve(status, roles=other), wanted=to_run(RECORDS, other))
    assert [one.finding.text for one in station_findings(state, BUSY, Judgement(AT))] == [
        "record/main does not run"
    ]


def test_of_each_instance_the_last_stop_counts_until_it_is_over() -> None:
    stops = Stops()
    stops.take_all([("b", stop(until=AT + MINUTE)), ("c", stop("other"))])
    assert stops.of("b", AT) == (stop(until=AT + MINUTE),)
    assert stops.of("b", AT + MINUTE) == ()
    assert list(stops) == ["b", "c"], "b has to be told that nothing is stopped any more"
    stops.take("c", [stop("other", AT)])
    assert stops.of("c", AT) == ()
    # What only the station knows of is shown, but not what the store knows to be over.
    said = evolve(stop("main"), why="x" * 200)
    (shown,) = stops.shown("c", [stop("other"), said], AT)
    assert shown.text().endswith("xx (the station says)"), "it may name whom it likes"
    assert (shown, len(shown.why or "")) == (as_said(as_said(said)), 200)


def test_of_what_an_older_store_has_stopped_the_station_knows_better() -> None:
    stops = Stops()
    ended, later = stop("ended"), stop("later", until=AT + 9 * MINUTE)
    stops.take_all([("b", ended), ("b", stop("later")), ("b", stop()), ("c", stop())])
    stops.doubt(AT + MINUTE)
    new = evolve(stop("new"), at=AT + 2 * MINUTE)  # typed before the station was heard
    stops.take("b", [new])
    now = AT + 3 * MINUTE
    said = as_said(later)
    assert stops.corrected("b", [stop(), later], now) == [evolve(ended, until=now), said]
    stops.take("b", stops.corrected("b", [stop(), later], now))
    stops.trust("b")
    assert stops.of("b", now) == (said, stop(), new)
    assert (stops.is_doubted("b"), stops.is_doubted("c")) == (False, True)


async def test_a_station_is_told_no_stop_of_an_older_store_before_it_said_what_it_stopped(
    tmp_path: Path,
) -> None:
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    await ledger.stop("b", [stop()])
    await ledger.compare(ledger.written + 1)
    inventory, told = Inventory(), []

    class Told:
        async def publish(self, topic: str, payload: bytes, *, retain: bool) -> int:
            told.append(json.loads(payload)["stops"])
            return 0

    pusher = StopPusher(Topics(), ledger, inventory)
    pusher.connect(Told())  # type: ignore[arg-type]
    await pusher.work()
    assert told == []
    inventory.hear("b", Status("boot", AT, 0, {}, ()), retained=False, now=0.0)
    await pusher.work()
    assert told == [[]]
    assert ledger.stops.of("b", datetime.now(UTC)) == ()
    await ledger.close()


def test_the_store_keeps_the_last_of_each_instance_and_who_did_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, deed = place.open(), Deed(AT, "stop", "ann", "record/main", "b")
    store.stop("b", [stop(), stop("other", AT + MINUTE)], deed)
    store.stop("b", [stop(until=AT)], evolve(deed, kind="start", by="ben"))
    assert sorted(place.open().stops(), key=str) == sorted(
        [("b", stop(until=AT)), ("b", stop("other", AT + MINUTE))], key=str
    )
    assert [(one.kind, one.by) for one in store.history.past("b", 10)] == [
        ("stop", "ann"),
        ("start", "ben"),
    ]
    store.retire("b", AT, "ann")
    assert store.stops() == []


async def _stop(stranger: Stranger, caller: str = "ann", **arguments: Any) -> Any:
    asked = {"station": "hall1-cam", "role": "record", **arguments}
    return await ask(stranger, "stop", caller=caller, **asked)


def online(said: Any) -> bool:
    return bool(said["state"] == "online")


def is_stopped(said: Any) -> bool:
    one = said["roles"].get("record", {}).get("main", {})
    return bool(one.get("state") == "stopped" and one.get("reason") == "Stopped")


def runs(said: Any) -> bool:
    return bool(said["roles"].get("record", {}).get("main", {}).get("state") == "running")


async def test_it_outlives_restarts_of_agent_manager_and_broker_and_ends_by_itself(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    status = "fleet/v1/station/cam1/status"
    presence = "fleet/v1/station/cam1/presence"
    manager = programs.manager(broker)
    agent = programs.agent(broker, "cam1", "interval = 10.0\n")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await stranger.expect(status, runs)

    asked = await _stop(stranger)
    assert "This ends 1 recording: hall1-cam record/main" in asked["result"]["question"]
    assert runs(stranger.latest(status)), "who is asked has stopped nothing yet"
    done = await _stop(stranger, sure=True, why="\x1b[2Jrain")
    assert done["result"]["instances"][0]["state"] == "stopped"
    assert done["result"]["waits"] is None
    shown = (await status_of(stranger))["cam1"]
    # How much this machine has to do, nobody can say.
    assert {one["kind"] for one in shown["findings"]} <= {"Load"}
    assert shown["roles"]["record"]["main"]["message"] == "stopped by ann: ?[2Jrain"
    figures = await metrics(manager)
    labels = 'role="record",role_instance="main",room="hall1",station="cam1"'
    assert f"fleet_instance_wanted{{{labels}}} 0.0" in figures, "no alert is about it"
    assert f"fleet_instance_stopped_by_hand{{{labels}}} 1.0" in figures
    assert 'fleet_station_in_sync{room="hall1",station="cam1"} 1.0' in figures

    # A new config, killed programs and an empty broker change nothing about it.
    await apply(stranger, conference(("hall1-cam", "cam1"), seconds=77))
    await stranger.expect(status, lambda said: said["revision"] == 2 and is_stopped(said))
    agent.kill()
    manager.kill()
    broker.stop()
    broker.start()
    mark = stranger.mark()
    agent = programs.agent(broker, "cam1")
    await stranger.expect(status, is_stopped, after=mark)
    mark = stranger.mark()
    manager = programs.manager(broker)
    told = await stranger.expect("fleet/v1/station/cam1/stops", after=mark)
    assert [(one["by"], one["until"]) for one in told["stops"]] == [("ann", None)]
    assert is_stopped(stranger.latest(status))

    # Who clears it is answered; who starts it, named.
    mark = stranger.mark()
    await asyncio.sleep(1)  # a station is told at most once a second
    await stranger.publish("fleet/v1/station/cam1/stops", b"", retain=True)
    await stranger.expect("fleet/v1/station/cam1/stops", lambda said: said is not None, after=mark)
    started = await ask(
        stranger, "start", caller="ben", station="hall1-cam", role="record", instance="main"
    )
    assert started["result"]["instances"][0]["state"] == "running"
    again = await ask(stranger, "start", station="hall1-cam", role="record")
    assert "nobody has stopped record on hall1-cam" in again["error"]["message"]

    # One with an end is over also while neither manager nor broker is there.
    await _stop(stranger, sure=True, seconds=8, caller="cleo")
    assert is_stopped(stranger.latest(status))
    (told,) = stranger.latest("fleet/v1/station/cam1/stops")["stops"]
    manager.kill()
    broker.stop()
    left = datetime.fromisoformat(told["until"]) - datetime.now(UTC)
    await asyncio.sleep(max(0, left.total_seconds()))
    mark = stranger.mark()
    broker.start()
    await stranger.expect(presence, online, after=mark)
    await stranger.expect(status, runs, after=mark)
    assert agent.running
    mark = stranger.mark()
    programs.manager(broker)
    await stranger.expect("fleet/v1/manager/presence", online, after=mark)
    history = await ask(stranger, "history", station="hall1-cam")
    did = [
        (one["kind"], one["by"])
        for one in history["result"]["events"]
        if one["kind"] in ("stop", "start")
    ]
    assert did == [("stop", "ann"), ("start", "ben"), ("stop", "cleo")]


async def test_a_release_that_cannot_and_a_station_that_is_away_are_told_apart(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes
) -> None:
    programs.manager(broker)
    await boxes.add("cam1")
    await apply(stranger, conference(("hall1-cam", "cam1")))
    await stranger.expect("fleet/v1/station/cam1/status", runs)
    old = await _stop(stranger, sure=True)
    assert "cannot keep anything stopped" in old["error"]["message"]
    unknown = await _stop(stranger, role="stream")
    assert "there is no stream on hall1-cam (there are: record/main)" in unknown["error"]["message"]
    await boxes.stations["cam1"].presence("offline")
    away = await _stop(stranger, sure=True)
    assert away["error"] is None
    assert "hall1-cam is offline: it is stopped there once it is back" in away["result"]["waits"]
    for _ in range(100):  # ten seconds of somebody's thumb
        await _stop(stranger, sure=True)
    told = await stranger.expect("fleet/v1/station/cam1/stops", lambda said: said["stops"])
    assert len(told["stops"]) == 1, "the last of an instance takes the place of the others"


async def test_what_is_stopped_is_bounded(
    broker: Mosquitto, stranger: Stranger, programs: Programs, boxes: Boxes
) -> None:
    programs.manager(broker)
    await boxes.add("cam1")
    many = "".join(f'r{n} = {{source = {{type = "test"}}}}\n' for n in range(101))
    text = (
        '[rooms.hall1]\n[stations.cam]\nid = "cam1"\nroom = "hall1"\n[stations.cam.roles.record]\n'
        + many
    )
    await apply(stranger, text)
    await boxes.stations["cam1"].presence("offline")
    refused = await _stop(stranger, station="cam", sure=True)
    assert "101 instances of cam would be stopped, 100 can be" in refused["error"]["message"]
    long = await _stop(stranger, station="cam", instance="r1", sure=True, why="x" * 201)
    assert long["error"]["type"] == "InvalidArguments"
    assert not [one for one in stranger.heard if one.topic.endswith("/stops")]
