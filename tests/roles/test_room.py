"""The rooms in examples/ as they stand, but for devices, addresses and what fits one machine."""

import asyncio
import json
import re
import time
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.manager.conference import known
from fleet.media.began import began
from tests.manager.boxes import Boxes
from tests.processes import ROOT, Mosquitto, Program, Programs, argv_of, free_port, run
from tests.roles.media import BARS, bars, joined, loudness, numbers, pictures, public, unbroken
from tests.roles.mixing import own_address, two_ports
from tests.stranger import Stranger

WIDTH, HEIGHT = 192, 108
FACTORY: Any = {"instances": 0, "settings": {}, "commands": {}}
TEST = '{type = "test"}'
SMALL = f'size = "{WIDTH}x{HEIGHT}"\nvideo_bitrate = 400_000\nlisten = "127.0.0.1"'


class Here:
    """A room's devices, addresses and ports, as this machine has them."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._ingests = [f"{SMALL}\nport = {free_port()}" for _ in range(2)]
        self._mixer = f'{SMALL}\nport = {two_ports()}\ncontrol_listen = "{own_address()}"'

    def one_room(self, text: str) -> str:
        """`examples/room.toml`."""
        ingests = iter(self._ingests)
        text = re.sub(r"roles\.ingest\.main\]\n", lambda it: f"{it[0]}{next(ingests)}\n", text)
        text = text.replace("roles.mix.main]\n", f"roles.mix.main]\n{self._mixer}\n")
        return self._anywhere(text)

    def five_rooms(self, text: str) -> str:
        """`examples/conference.toml`, where profiles say what a seat does; hall1 is that room."""
        inline = (", ".join(one.splitlines()) for one in self._ingests)
        text = re.sub(r"ingest\.main = \{", lambda it: f"{it[0]}{next(inline)}, ", text)
        mixer = "".join(f"mix.main.{one}\n" for one in self._mixer.splitlines())
        text = text.replace("mix.main.audio", f"{mixer}mix.main.audio")
        return self._anywhere(re.sub("b827eb00001([123])", r"b827eb0000a\1", text))

    def _anywhere(self, text: str) -> str:
        text = re.sub(r'\{type = "(v4l2|alsa)", device = "[^"]*"\}', TEST, text)
        text = re.sub(r' address = "[^"]*"', ' address = "127.0.0.1"', text)
        text = re.sub(r'^address = "[^"]*"', 'address = "127.0.0.1"', text, flags=re.MULTILINE)
        return text.replace("/mnt/storage", str(self._storage))


class Room:
    """Three real agents, a manager, and an operator's `fleet`."""

    def __init__(self, broker: Mosquitto, programs: Programs) -> None:
        self.broker, self.programs = broker, programs

    async def apply(self, file: Path) -> None:
        """Have all do what a file says; a busy machine takes longer than a rollout waits."""
        await self.fleet("apply", "--yes", str(file), ends=(0, 1))
        await self.fleet("wait", "--timeout", "60")

    async def fleet(self, *words: str, ends: tuple[int, ...] = (0,)) -> str:
        """What it says, where it ends well."""
        argv = ("--broker", self.broker.url, *words)
        done = await asyncio.to_thread(
            run, "fleet", *argv, env=self.programs.environment(), timeout=90
        )
        assert done.returncode in ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    async def shown(self) -> Any:
        """What the mixer shows, however it answers."""
        try:
            return json.loads(await self.fleet("cut", "hall1", "--json"))
        except AssertionError:
            return {"sources": {}}

    async def mixing(self) -> float:
        """Wait until both sources are in the mix; when that was."""
        deadline = time.time() + 60
        while not all((await self.shown())["sources"].values() or [False]):
            assert time.time() < deadline, "the mixer has not both sources"
        return time.time()


def at_work(*agents: Program) -> set[psutil.Process]:
    """What captures, mixes, records and meters for them; what looks around for a moment is not."""
    found = set()
    for child in (child for agent in agents for child in psutil.Process(agent.pid).children()):
        with suppress(psutil.NoSuchProcess):
            if child.name() in ("ffmpeg", "python3"):
                found.add(child)
    return found


def geometry(picture: bytes) -> str:
    """Whether the colour bars fill the picture, or are there twice, small, beside each other."""
    if bars(picture, WIDTH, HEIGHT) == BARS:
        return "fullscreen"
    half = [picture[y * WIDTH * 3 : y * WIDTH * 3 + WIDTH * 3 // 2] for y in range(HEIGHT)]
    other = [picture[y * WIDTH * 3 + WIDTH * 3 // 2 : (y + 1) * WIDTH * 3] for y in range(HEIGHT)]
    middle = slice(HEIGHT // 4, HEIGHT * 3 // 4)
    small = [bars(b"".join(one[middle]), WIDTH // 2, HEIGHT // 2) for one in (half, other)]
    return "side_by_side" if small == [BARS, BARS] else "?"


@pytest.mark.long
async def test_a_room_is_mixed_recorded_and_copied_whatever_becomes_of_its_mixer_or_comes_beside_it(
    stranger: Stranger, broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    """Stations that obey play four more rooms, applied while the one is at work."""
    storage = tmp_path / "storage"
    storage.mkdir()
    here, file = Here(storage), tmp_path / "conference.toml"
    file.write_text(here.one_room((ROOT / "examples/room.toml").read_text()))
    room = Room(broker, programs)
    manager = programs.manager(broker)
    boxes = {seat: f"b827eb0000a{n}" for n, seat in enumerate(("cam", "slides", "mix"), 1)}
    agents = {seat: programs.agent(broker, id_) for seat, id_ in boxes.items()}
    await manager.says("connected")
    await room.apply(file)
    await room.mixing()
    begun = time.time()

    cut = time.time()
    said = await room.fleet("cut", "hall1", "--composite", "fullscreen", "--a", "cam")
    done = time.time()
    assert said.strip() == "hall1: live; fullscreen of cam, sound of cam"
    status = json.loads(await room.fleet("status", "--json", ends=(0, 3)))
    shown = {
        (role, one["state"], one["live"])
        for station in status["stations"]
        for role, instances in station["roles"].items()
        for one in instances.values()
    }
    others = ("ingest", "monitor", "record", "stream", "sync")
    assert shown == {("mix", "running", True), *((role, "running", None) for role in others)}
    played = Boxes(stranger)
    await played.add(*(f"b827eb0000{r}{n}" for r in range(2, 6) for n in (1, 2, 3)))
    for box in played.stations.values():
        await box.register(factories=dict.fromkeys(known.factories(), FACTORY))
    await asyncio.sleep(max(0, done + 3 - time.time()))  # something to look at

    (mixer,) = [
        one
        for one in psutil.Process(agents["mix"].pid).children()
        if any(word.endswith("/voctocore.py") for word in argv_of(one))
    ]
    killed = time.time()
    mixer.kill()
    back = await room.mixing()
    shown = await room.shown()
    assert (shown["composite"], shown["a"], shown["live"]) == ("fullscreen", "cam", True)

    before = at_work(*agents.values())
    file.write_text(here.five_rooms((ROOT / "examples/conference.toml").read_text()))
    await room.apply(file)
    wanted = (await played.stations["b827eb000023"].config())["roles"]["mix"]["main"]
    assert wanted["live"] is False
    assert wanted["sources"]["slides"]["host"] == "127.0.0.1"
    assert at_work(*agents.values()) == before, "nothing was begun anew"
    await asyncio.sleep(max(0, max(killed + 6, back + 2) - time.time()))  # what came is looked at
    over = time.time()
    said = await room.fleet("cut", "hall1", "--composite", "picture_in_picture", "--a", "slides")
    assert said.strip() == "hall1: live; picture_in_picture of slides and cam, sound of cam"
    for words, shows in (
        (
            ("audio", "hall1", "slides"),
            "live; picture_in_picture of slides and cam, sound of slides",
        ),
        (("blank", "hall1"), "blank; picture_in_picture of slides and cam, sound of slides"),
        (("live", "hall1"), "live; picture_in_picture of slides and cam, sound of slides"),
    ):
        assert (await room.fleet(*words)).strip() == f"hall1: {shows}"
    await played.end()
    for agent in agents.values():
        agent.terminate()
    assert [await agent.ended() for agent in agents.values()] == [0, 0, 0]

    for seat in ("cam", "slides"):
        copies = public(tmp_path / boxes[seat] / "recordings/local-copy")
        whole = joined(copies, tmp_path / f"{seat}.ts")
        assert unbroken(whole), "the mixer's death is nothing to a local copy"
        assert len(numbers(whole)) > 25 * (back - begun)
    (program,) = [one for one in public(tmp_path / boxes["mix"] / "recordings") if one.is_file()]
    assert unbroken(program), "nor does a recording of the program end by it"
    seen = [geometry(one) for one in pictures(program, WIDTH, HEIGHT)]
    first = began(program).timestamp()

    def at(moment: float) -> int:
        return round((moment - first) * 25)

    runs = [(what, len(list(some))) for what, some in groupby(seen)]
    assert set(seen[at(begun) : at(cut) - 2]) <= {"side_by_side"}, runs
    assert cut < first + seen.index("fullscreen") / 25 < done + 2, runs
    assert set(seen[at(done + 2) + 1 : at(killed) - 2]) == {"fullscreen"}, runs
    assert set(seen[at(killed) : at(over) - 2]) <= {"fullscreen", "?"}, runs
    assert set(seen[at(max(killed + 5, back + 1)) : at(over) - 2]) == {"fullscreen"}, runs
    assert await asyncio.to_thread(loudness, program) == pytest.approx(-18, abs=1.5)
