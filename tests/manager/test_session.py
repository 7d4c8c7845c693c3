"""A real manager on a real broker; stations are played by a stranger."""

import re
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

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
        with urllib.request.urlopen(address, timeout=5) as response:
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
