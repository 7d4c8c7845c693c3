"""A real manager whose store is away: it answers always, says why, and takes up where it was."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.manager.conftest import Place
from tests.manager.postgres import Postgres
from tests.manager.station import PretendStation, apply, ask, conference
from tests.manager.test_session import get, url
from tests.processes import Mosquitto, Program, Programs
from tests.roles.disk import Disk
from tests.stranger import Stranger


async def page(manager: Program, path: str) -> tuple[int, str]:
    """An answer, which comes although the store does not."""
    address = await url(manager)
    return await asyncio.to_thread(get, f"{address}{path}")


async def says(manager: Program, path: str, text: str) -> None:
    """Wait until what is served at `path` has `text` in it."""
    async with asyncio.timeout(60):
        while text not in (found := await page(manager, path))[1]:
            assert found[0] in (200, 503)
            await asyncio.sleep(0.05)


async def lost(stranger: Stranger, manager: Program, station: str) -> None:
    """A station dies, and the metrics say so."""
    box = PretendStation(stranger, station)
    await box.come_online(interval=60)
    await says(manager, "/metrics", f'fleet_station_up{{room="",station="{station}"}} 1.0')
    await box.presence("lost")
    await says(manager, "/metrics", f'fleet_station_up{{room="",station="{station}"}} 0.0')


async def refused(stranger: Stranger, station: str) -> str:
    return str((await ask(stranger, "history", station=station))["error"])


async def has_history(stranger: Stranger, station: str) -> None:
    """Wait until the history of a station has both its ends."""
    kinds: list[str] = []
    async with asyncio.timeout(60):
        while kinds[-2:] != ["online", "lost"]:
            reply = await ask(stranger, "history", station=station)
            events: list[Any] = reply["result"]["events"]
            kinds = [one["kind"] for one in events]
            await asyncio.sleep(0.05)


async def test_locked_while_it_works_and_moved_away_it_answers_and_history_resumes(
    broker: Mosquitto, stranger: Stranger, programs: Programs, place: Place
) -> None:
    manager = programs.manager(broker, *place.arguments)
    await apply(stranger, conference(("hall1-cam", "cam1")))
    with place.locked():
        await says(manager, "/healthz", "locked")
        await lost(stranger, manager, "a")
        assert (await page(manager, "/rooms.json"))[0] == 200
        reply = await ask(stranger, "apply", text=conference(("x1", "x")), name="f")
        assert "is locked" in reply["error"]["message"]
        if place.url is None:
            place.directory.rename(place.directory.with_name("away"))
            await lost(stranger, manager, "b")
            assert (await page(manager, "/rooms.json"))[0] == 200
    if place.url is None:
        await says(manager, "/healthz", "is gone")
        reply = await ask(stranger, "apply", text=conference(("x1", "x")), name="f")
        assert "is gone" in reply["error"]["message"]
        place.directory.with_name("away").rename(place.directory)
    await says(manager, "/healthz", "ok\n")
    await has_history(stranger, "a")
    assert "there is no station 'x'" in await refused(stranger, "x"), "it never came about"


async def test_locked_at_its_start_it_answers_and_begins_when_it_can(
    broker: Mosquitto, stranger: Stranger, programs: Programs, place: Place
) -> None:
    place.open().close()
    with place.locked():
        manager = programs.manager(broker, *place.arguments)
        await says(manager, "/healthz", "is locked")
        assert (await page(manager, "/metrics"))[0] == 200
        assert (await page(manager, "/rooms.json"))[0] == 200
    await says(manager, "/healthz", "ok\n")
    await lost(stranger, manager, "a")
    await has_history(stranger, "a")


async def test_a_database_server_that_stands_still_holds_nobody_else_up(
    broker: Mosquitto, stranger: Stranger, programs: Programs, postgres: Postgres
) -> None:
    manager = programs.manager(broker, "--store", postgres.database())
    await ask(stranger, "status")
    with postgres.stopped():
        await says(manager, "/healthz", "the store does not answer")
        await lost(stranger, manager, "a")
        assert (await ask(stranger, "status"))["error"] is None
        assert (await page(manager, "/rooms.json"))[0] == 200
    await says(manager, "/healthz", "ok\n")
    await has_history(stranger, "a")
    with postgres.stopped():
        manager.terminate()
        assert await manager.ended() == 0


async def test_a_server_that_is_not_there_yet_is_waited_for(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    nowhere = f"postgresql+psycopg://fleet:hunter2@/fleet?host={tmp_path}"
    manager = programs.manager(broker, "--store", nowhere)
    await says(manager, "/healthz", "cannot be used")
    assert (await page(manager, "/metrics"))[0] == 200
    manager.terminate()
    assert await manager.ended() == 0
    assert "hunter2" not in manager.log()


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk("1m")
    yield made
    made.close()


async def test_a_full_disk_is_said_to_be_full_and_history_waits_for_room(
    broker: Mosquitto, stranger: Stranger, programs: Programs, disk: Disk
) -> None:
    inside = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", disk.path.parts[2]]
    command = [str(Path(sys.executable).with_name("fleet-manager")), "run", "--state-dir", "/mnt"]

    def start() -> Program:
        argv = [*inside, *command, "--broker", broker.url, "--http", "127.0.0.1:0"]
        log = programs.directory / f"manager-{len(programs.started)}.log"
        program = Program(argv, log, programs.environment(), "manager", cold=True)
        programs.started.append(program)
        return program

    manager = start()
    await apply(stranger, conference(("hall1-cam", "cam1")))
    disk.run("(dd if=/dev/zero of=/mnt/fill bs=4k status=none 2>/dev/null; true)")
    refused = None
    for seconds in range(60, 600):  # what room SQLite has kept for itself is used up first
        text = conference(("hall1-cam", "cam1"), seconds=seconds)
        reply = await ask(stranger, "apply", text=text + "#" * 20_000, name="f")
        if reply["error"] and "rollout" not in reply["error"]["message"]:
            refused = reply["error"]["message"]
            break
        await ask(stranger, "rollout", stop=True)
    assert refused is not None
    assert "is full: make room" in refused
    await says(manager, "/healthz", "is full")
    await lost(stranger, manager, "a")
    disk.run("rm /mnt/fill")
    await says(manager, "/healthz", "ok\n")
    await has_history(stranger, "a")
    manager.terminate()
    assert await manager.ended() == 0

    disk.run("(dd if=/dev/zero of=/mnt/fill bs=4k status=none 2>/dev/null; true)")
    mark = stranger.mark()
    manager = start()
    await says(manager, "/healthz", "is full")
    assert "damaged" not in manager.log()
    assert (await page(manager, "/metrics"))[0] == 200
    disk.run("rm /mnt/fill")
    await stranger.expect("fleet/v1/manager/presence", lambda p: p["state"] == "online", after=mark)
    await says(manager, "/healthz", "ok\n")
    await lost(stranger, manager, "b")
    await has_history(stranger, "b")
