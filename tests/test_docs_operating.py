"""docs/operating.md: every command is run, and answers what the page says."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from fleet.version import __version__
from tests.manager.boxes import Boxes, rollout_ends
from tests.manager.station import PretendStation, ask, conference
from tests.processes import ROOT, Mosquitto, Programs
from tests.stranger import Heard, Stranger
from tests.wire.sides import now

PAGE = ROOT / "docs/operating.md"
CAM, SLIDES = ("hall1-cam", "b827eb0000a1"), ("hall1-slides", "b827eb0000a2")
FILES = {
    "conference.toml": conference(CAM, SLIDES),
    "louder.toml": conference(CAM, SLIDES, seconds=60),
    "replaced.toml": conference(("hall1-cam", "b827eb0000b7"), SLIDES, seconds=60),
}
OF_RECORD = {"role": "record", "role_instance": "main"}
OF_FILE = {"role": "record", "instance": "main", "file": "x.ts", "size": "1280x720", "rate": 25.0}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d| UTC| CES?T)")


@frozen
class Command:
    """One `$ fleet …` of the page and the lines that follow it."""

    line: str
    answer: str


def commands(page: str) -> Iterator[Command]:
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for one in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, answer = one.partition("\n")
            yield Command(line, answer)


def timeless(text: str) -> str:
    return _TIME.sub("<time>", text)


async def answer(command: Command, programs: Programs, broker: Mosquitto) -> str:
    """What a person would see."""
    program, *args = shlex.split(command.line)
    number = len(programs.started)
    env = {"FLEET_BROKER": broker.url, "PYTHONUNBUFFERED": "1"}
    started = programs.start(program, *args, name=f"answer-{number}", **env)
    await started.ended()
    return started.log()


async def asked(box: PretendStation, after: int) -> Heard:
    """The next time that somebody asks the box to look."""
    mine = re.compile(rf"fleet/v1/station/{box.id}/command/[^/]+/station/look")

    def found() -> Heard | None:
        return next((one for one in box.stranger.heard[after:] if mine.fullmatch(one.topic)), None)

    while (message := found()) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return message


async def look(box: PretendStation, grows: bool) -> None:
    """Answer whoever asks the box to look, as one that records does."""
    measured = {
        "fleet_station_disk_free_bytes": (5e11, {}),
        "fleet_recording_bitrate_bits_per_second": (3e6, OF_RECORD),
    }
    families = [
        {"name": name, "type": "gauge", "help": "", "samples": [[name, labels, value]]}
        for name, (value, labels) in measured.items()
    ]
    at = {"boot": box.boot, "at": now()}
    await box.register(agent=__version__)
    await box.say("telemetry", {**at, "families": families}, retain=False)
    file = dict.fromkeys(("role", "instance", "file", "problem", "size", "rate")) | OF_FILE
    file |= {"grows": grows, "closed": True, "whole": True, "seconds": 180.0, "pictures": 4500}
    heard = 0
    while True:
        message = await asked(box, heard)
        heard = box.stranger.heard.index(message) + 1
        caller = message.topic.split("/")[5]
        answer = {"clock": now(), "files": [file | {"peaks": [-20.0]}], "lists": []}
        reply = {"result": answer, "error": None}
        box.stranger.publish(box.topic(f"reply/{caller}"), reply, correlation=message.correlation)


@pytest.mark.long
async def test_every_command_answers_what_the_page_says(
    broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    programs.manager(broker)
    await ask(stranger, "status")
    boxes = Boxes(stranger)
    await boxes.add("b827eb0000a1", "b827eb0000a2", "b827eb0000b7")
    looking = [
        asyncio.create_task(look(boxes.stations[id_], grows=id_ == CAM[1]))
        for id_ in (CAM[1], SLIDES[1])
    ]
    told = []
    old = boxes.stations["b827eb0000a1"]
    try:
        for command in commands(PAGE.read_text()):
            if "retire" in command.line:
                await old.presence("offline")
            elif "adopt" in command.line:
                old.epoch += 1
                await old.come_online()
            told.append((command, await answer(command, programs, broker)))
            if "replaced" in command.line:
                await rollout_ends(stranger)
                await old.config(4)
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        await boxes.end()
    assert [(one.line, timeless(said)) for one, said in told] == [
        (one.line, timeless(one.answer)) for one, _ in told
    ]
