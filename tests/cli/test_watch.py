"""`fleet watch`: what happens is told once, as it happens, whatever restarts meanwhile."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from fleet.cli.happenings import happenings
from fleet.model import PresenceState, Problem, State
from fleet.operations.stations import InstanceReport, StationStatus
from tests.cli.conftest import FLEET, Fleet, Play, rejection
from tests.manager.station import PretendStation
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger

File = Callable[..., Path]
CAM, SLIDES = ("hall1-cam", "cam1"), ("hall1-slides", "slides1")


class Watch:
    """A running `fleet watch`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def says(self, text: str, timeout: float = 60) -> str:
        """The next line with `text` in it."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(timeout):
                while True:
                    line = (await self.process.stdout.readline()).decode()
                    assert line, f"it ended: {self.lines}"
                    self.lines.append(line.rstrip())
                    if text in line:
                        return line.rstrip()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not said: {self.lines}") from None

    async def interrupt(self) -> tuple[int, str]:
        """Ctrl-C: exit code and what stands on stderr after the first line."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            _, err = await self.process.communicate()
        return self.process.returncode or 0, err.decode()


@asynccontextmanager
async def watching(fleet: Fleet, *args: str) -> AsyncIterator[Watch]:
    process = await asyncio.create_subprocess_exec(
        *(str(FLEET), "watch", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=fleet.environment({}),
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            first = (await process.stderr.readline()).decode()
        assert first.startswith("watching"), first
        yield Watch(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_each_thing_that_happens_is_a_line_until_ctrl_c(
    fleet: Fleet, play: Play, file: File, stranger: Stranger
) -> None:
    await play("cam1")
    async with watching(fleet) as watch:
        await fleet("apply", "--yes", file(CAM))
        for text in ("hall1-cam  wanted: 1, by anonymous", "accepted 1", "record/main running"):
            await watch.says(text)
        slides = await play("slides1", obedient=False)
        await watch.says("slides1  is new here")
        apply = asyncio.create_task(fleet("apply", "--yes", file(CAM, SLIDES)))
        config = await slides.config()
        await watch.says("hall1-slides  wanted: 1")
        await slides.ack(config["revision"], "rejected", rejection())
        line = await watch.says("rejected 1")
        assert line.endswith("record/main /segment_seconds: expected 1 to 86400, got 0")
        assert (await apply).code == 1
        await slides.presence("lost")
        await watch.says("lost (was online)")
        for boot in ("one", "other", "one"):
            await PretendStation(stranger, "double", boot).come_online()
        await watch.says("conflict: two boxes, host-one and host-other, use this id")
        assert await watch.interrupt() == (0, "")
    assert all(len(line.split()[0].split(":")) == 3 for line in watch.lines)
    # Once and only once.
    assert sum("accepted 1" in line for line in watch.lines) == 1


async def test_json_lines_of_one_room_have_what_scripts_need(
    fleet: Fleet, play: Play, file: File
) -> None:
    station = await play("cam1")
    await play("elsewhere")
    await fleet("apply", "--yes", file(CAM))
    async with watching(fleet, "hall1", "--json") as watch:
        other = await play("another")
        await other.status()
        await station.status("backoff")
        said: dict[str, Any] = json.loads(await watch.says("backoff"))
        assert await watch.interrupt() == (0, "")
    expected: dict[str, Any] = {
        "kind": "instance",
        "id": "cam1",
        "name": "hall1-cam",
        "room": "hall1",
    }
    expected |= {"role": "record", "instance": "main", "state": "backoff", "revision": None}
    assert expected.items() <= said.items()
    assert said["text"] == "record/main backoff (was running)"
    assert said["at"].endswith("Z")
    assert len(watch.lines) == 1


async def test_a_restart_of_manager_and_broker_is_told_and_survived(
    fleet: Fleet,
    play: Play,
    file: File,
    manager: Program,
    programs: Programs,
    broker: Mosquitto,
) -> None:
    station = await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    async with watching(fleet) as watch:
        manager.kill()
        await watch.says("the manager went away")
        programs.manager(broker)
        await watch.says("a manager is online again")
        await station.status("backoff")
        await watch.says("record/main backoff")
        broker.stop()
        await watch.says("the broker is away, trying again")
        broker.start()
        await watch.says("the broker is back")
        assert await watch.interrupt() == (0, "")


@pytest.mark.parametrize(
    ("name", "said"), [("hall1-cma", "did you mean hall1-cam?"), ("x", "fleet status shows all")]
)
async def test_a_name_nobody_has_is_an_error(
    fleet: Fleet, play: Play, file: File, name: str, said: str
) -> None:
    await play("cam1")
    await fleet("apply", "--yes", file(CAM))
    found = await fleet("watch", name)
    assert found.code == 2
    assert said in found.err


AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
RUNNING = InstanceReport(State.RUNNING, AT, 0, None, None)
STATION = StationStatus(
    *("cam1", "hall1-cam", "hall1", PresenceState.ONLINE, 7, 7, True, ()),
    {"record": {"main": RUNNING}},
    "ann",
)
PROBLEM = Problem("BlockedRole", "record", None, None, "no")


def with_main(one: InstanceReport, **more: Any) -> StationStatus:
    return evolve(STATION, roles={"record": {"main": one}}, **more)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (STATION, []),
        (evolve(STATION, wanted=8, by="ben"), ["wanted: 8, by ben"]),
        (evolve(STATION, wanted=8, by=None), ["wanted: 8"]),
        (evolve(STATION, wanted=None, by=None), ["nothing is wanted any more"]),
        (evolve(STATION, wanted=8, running=8), ["wanted: 8, by ann", "accepted 8"]),
        (
            evolve(STATION, wanted=8, problems=(PROBLEM, PROBLEM)),
            ["wanted: 8, by ann", *["rejected 8: BlockedRole record: no"] * 2],
        ),
        (
            with_main(evolve(RUNNING, state=State.UNKNOWN), presence=PresenceState.LOST),
            ["lost (was online)"],
        ),
        (
            with_main(evolve(RUNNING, since=AT + timedelta(seconds=9))),
            ["record/main running, begun again"],
        ),
        (
            with_main(evolve(RUNNING, restarts=9, restarts_last_hour=2)),
            ["record/main running again, 2 restarts in the last hour"],
        ),
        (
            with_main(evolve(RUNNING, state=State.FAILED, reason="DiskFull", message="0 B")),
            ["record/main failed (DiskFull: 0 B) (was running)"],
        ),
        (evolve(STATION, roles={}), ["record/main is gone"]),
        (evolve(STATION, note="conflict: two"), ["conflict: two"]),
        (
            evolve(STATION, name="hall2-cam", room="hall2"),
            ["was called hall1-cam in the room hall1"],
        ),
    ],
)
def test_differences_become_lines(after: StationStatus, expected: list[str]) -> None:
    assert [one.text for one in happenings([STATION], [after], AT)] == expected


def test_what_a_running_instance_says_comes_and_goes_in_words() -> None:
    well, hushed, dark = (
        with_main(evolve(RUNNING, reason=reason, message=message))
        for reason, message in ((None, None), ("NoSound", "no cable"), ("NoPicture", "no lens"))
    )
    looks = [well, hushed, dark, well]
    said = [one.text for was, now in pairwise(looks) for one in happenings([was], [now], AT)]
    assert said == [
        "record/main running (NoSound: no cable)",
        "record/main running (NoPicture: no lens) (was NoSound)",
        "record/main running, no longer NoPicture",
    ]


def test_stations_come_and_go() -> None:
    (came,) = happenings([], [STATION], AT)
    (went,) = happenings([STATION], [], AT)
    assert (came.kind, came.text) == ("station", "is new here: online")
    assert (went.kind, went.id) == ("station", "cam1")
