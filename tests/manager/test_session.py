"""A real manager on a real broker; stations are played by a stranger."""

import asyncio
import re
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.manager.station import PretendStation, apply, ask, conference, registration
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger

ROLES = {"record": {"main": {"source": {"type": "test"}, "segment_seconds": 180}}}


async def url(manager: Program) -> str:
    await manager.says("serving http://")
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    return found[1]


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=60) as response:  # noqa: S310 (our own)
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


async def status_of(stranger: Stranger, station: str) -> dict[str, object]:
    reply = await ask(stranger, "status")
    return next(one for one in reply["result"]["stations"] if one["id"] == station)


async def test_what_is_applied_reaches_a_station_and_is_seen_to_run(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    manager = programs.manager(broker)
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    result = await apply(stranger, conference(("hall1-cam", "cam1")))
    assert result["revisions"] == {"cam1": 1}
    config = await station.config()
    assert config == {
        "revision": 1,
        "at": config["at"],
        "by": "tester",
        "roles": ROLES,
        "name": "hall1-cam",
        "room": "hall1",
        "signature": config["signature"],
    }
    assert not (await status_of(stranger, "cam1"))["in_sync"]
    await station.obey(config)
    shown = await status_of(stranger, "cam1")
    assert shown["in_sync"]
    assert (shown["name"], shown["room"], shown["wanted"]) == ("hall1-cam", "hall1", 1)
    code, metrics = get(f"{await url(manager)}/metrics")
    assert code == 200
    assert 'fleet_station_up{room="hall1",station="cam1"} 1.0' in metrics
    assert get(f"{await url(manager)}/healthz")[0] == 200
    manager.terminate()
    assert await manager.ended() == 0
    last = stranger.latest("fleet/v1/manager/presence")
    assert last["state"] == "offline"
    for line in manager.log().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING) ", line), line


async def test_an_unreadable_answer_gets_the_config_again(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    programs.manager(broker)
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    await apply(stranger, conference(("hall1-cam", "cam1")))
    first = await station.config(1)
    await station.obey(first)
    mark = stranger.mark()
    await station.ack(None, "rejected", {"type": "InvalidConfiguration", "message": "unreadable",
                                         "problems": []})  # fmt: skip
    again = await station.config(1, after=mark)
    assert again == first
    assert stranger.on(station.topic("config"))[0].payload == (
        stranger.on(station.topic("config"))[-1].payload
    )


async def test_a_new_room_alone_is_a_new_revision_and_changes_no_instance(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    programs.manager(broker)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    moved = (
        conference(("hall1-cam", "cam1"))
        .replace("hall1]", "hall2]")
        .replace('room = "hall1"', 'room = "hall2"')
    )
    plan = (await ask(stranger, "plan", text=moved, name="f"))["result"]
    assert plan["changes"] == []
    assert [one["detail"] for one in plan["stations"]] == ["room hall1 -> hall2"]
    assert (await apply(stranger, moved))["revisions"] == {"cam1": 2}
    assert (await apply(stranger, moved))["revisions"] == {}
    where = moved.replace('room = "hall2"', 'room = "hall2"\nwhere = "left"')
    assert (await apply(stranger, where))["revisions"] == {}, "where it stands does not travel"


async def test_more_registrations_than_a_default_broker_queues_are_all_known(
    brokers: Callable[[str], Mosquitto], programs: Programs
) -> None:
    broker = brokers("listener {port} 127.0.0.1\nallow_anonymous true\n")
    most = 1500  # such a broker queues 1,000 for a subscriber at QoS 1
    async with Stranger(broker.port, "fleet/v1/manager/#") as stranger:
        for number in range(most):
            topic = f"fleet/v1/station/s{number}/registration"
            sent = stranger.publish(topic, registration("A"), retain=True)
            if number % 100 == 99:
                await sent
        await sent
        programs.manager(broker)
        reply = await ask(stranger, "status")
    assert len(reply["result"]["stations"]) == most


@pytest.mark.parametrize("kind", ["registration", "presence", "status", "ack", "telemetry"])
async def test_garbage_is_counted_logged_with_its_topic_and_changes_nothing(
    broker: Mosquitto, stranger: Stranger, programs: Programs, kind: str
) -> None:
    manager = programs.manager(broker)
    station = PretendStation(stranger, "cam1")
    await station.come_online()
    before = await status_of(stranger, "cam1")
    await station.say(kind, b'{"boot": 5}', retain=False)
    await manager.says(
        f"ignored a message on fleet/v1/station/cam1/{kind}: .*/boot: expected a string"
    )
    assert await status_of(stranger, "cam1") == before
    _, metrics = get(f"{await url(manager)}/metrics")
    assert f'fleet_mqtt_undecodable_total{{kind="{kind}"}} 1.0' in metrics


async def test_killed_while_applying_it_never_forgets_what_it_sent_nor_sends_needlessly(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    names = [(f"st{number}", f"st{number}") for number in range(20)]
    stations = [PretendStation(stranger, id_) for _, id_ in names]
    manager = programs.manager(broker)
    for station in stations:
        await station.come_online()
    sent: dict[str, dict[int, bytes]] = {}
    for round_ in range(6):
        await ask(stranger, "status")
        request = {"text": conference(*names, seconds=100 + round_), "name": "f", "message": None}
        stranger.publish("fleet/v1/manager/request/tester/apply", request, correlation=b"x")
        await asyncio.sleep(0.03 * round_)
        manager.kill()
        mark = stranger.mark()
        manager = programs.manager(broker)
        await stranger.expect(
            "fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark
        )
        reply = (await ask(stranger, "status"))["result"]["stations"]
        wanted = {one["id"]: one["wanted"] for one in reply if one["wanted"]}
        for station in stations:
            for message in stranger.on(station.topic("config")):
                revision = message.json["revision"]
                known = sent.setdefault(station.id, {}).setdefault(revision, message.payload)
                assert message.payload == known, "one number always means the same bytes"
                assert revision <= wanted[station.id], "what was sent had been committed"
            if station.id in wanted:
                await station.obey(await station.config(wanted[station.id]))
    manager.kill()
    mark = stranger.mark()
    programs.manager(broker)
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    assert (await ask(stranger, "status"))["result"]["in_sync"]
    assert not [m for m in stranger.heard[mark:] if m.topic.endswith("/config")]


async def test_healthz_says_what_is_wrong(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    manager = programs.manager(broker)
    await ask(stranger, "status")
    address = f"{await url(manager)}/healthz"
    assert get(address) == (200, "ok\n")
    broker.stop()
    await until(lambda: get(address)[0] == 503)
    assert "broker" in get(address)[1]
    broker.start()
    await until(lambda: get(address)[0] == 200)


async def test_it_ends_at_once_with_no_broker(broker: Mosquitto, programs: Programs) -> None:
    broker.stop()
    manager = programs.manager(broker)
    await manager.says("no connection to the broker")
    manager.terminate()
    assert await manager.ended() == 0


async def test_what_keeps_it_from_starting_is_a_sentence_and_status_1(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, expected in (
            (("--http", f"127.0.0.1:{port}"), "cannot listen on 127.0.0.1:.*in use.*--http"),
            (("--http", "nonsense"), "--http takes HOST:PORT"),
            (("--broker", "http://x"), "expected mqtt://HOST:PORT"),
            (("--state-dir", f"{tmp_path}/file/x"), "cannot be written: Not a directory"),
            (("--password-file", f"{tmp_path}/none"), "password file .*none cannot be read"),
        ):
            manager = programs.manager(broker, *arguments)
            assert await manager.ended() == 1
            last = manager.log().splitlines()[-1]
            assert re.match(f"fleet-manager: .*{expected}", last), last


async def test_a_manager_with_an_empty_store_adopts_what_runs(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    station = PretendStation(stranger, "cam1")
    station.revision, station.roles = 12, ROLES
    await station.come_online()
    programs.manager(broker)
    await station.ack()
    config = await station.config()
    assert (config["revision"], config["by"], config["roles"]) == (13, "adopted", ROLES)
