"""`examples/conference.toml` as it stands, real in all five rooms, but for devices and addresses.

Fifteen agents and five mixers take all of two cores, so `make long` tries it alone.
"""

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.processes import ROOT, Mosquitto, Programs, run, until
from tests.roles.media import numbers, public
from tests.roles.mixing import own_address, two_ports

ROOMS: Final = range(1, 6)
_TEST: Final = '{type = "test"}'
_SMALL: Final = 'size = "160x90", rate = 5, listen = "127.0.0.1"'


def here(text: str, storage: Path) -> str:
    """The file with test pictures, and addresses and ports of this machine."""
    text = re.sub(r'\{type = "(v4l2|alsa)", device = "[^"]*"\}', _TEST, text)
    text = re.sub(r'^address = "[^"]*"', 'address = "127.0.0.1"', text, flags=re.MULTILINE)
    text = text.replace("/mnt/storage", str(storage))
    text = text.replace("ingest.main = {", f"ingest.main = {{{_SMALL}, ")
    small = "".join(f"mix.main.{one.strip()}\n" for one in _SMALL.split(","))
    text = text.replace("mix.main.audio", f"{small}mix.main.audio")
    taken: set[int] = set()

    def ports(many: int) -> int:
        """The first of so many that nothing here has."""
        while True:
            first = two_ports()
            if taken.isdisjoint(range(first, first + many)):
                taken.update(range(first, first + many))
                return first

    for room in ROOMS:
        for seat in ("cam", "slides"):
            port = f"roles.ingest.main.port = {ports(1)}\n"
            text = _beside(text, f"hall{room}-{seat}", port)
        control = f"{own_address().rpartition('.')[0]}.{100 + room}"
        own = f'mix.main.port = {ports(2)}\nroles.mix.main.control_listen = "{control}"\n'
        text = _beside(text, f"hall{room}-mix", f"roles.{own}")
    return text


def _beside(text: str, station: str, line: str) -> str:
    """With one more line in a station's table."""
    head = f"[stations.{station}]\n"
    assert text.count(head) == 1
    return text.replace(head, head + line)


@pytest.mark.whole
@pytest.mark.timeout(400)
async def test_five_rooms_are_mixed_recorded_copied_and_checked(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    storage, file = tmp_path / "storage", tmp_path / "conference.toml"
    storage.mkdir()
    file.write_text(here((ROOT / "examples/conference.toml").read_text(), storage))
    ids = re.findall(r'^id = "(b827[0-9a-f]+)"', file.read_text(), re.MULTILINE)
    assert len(ids) == 15
    env = programs.environment()

    async def fleet(*words: str, ends: tuple[int, ...] = (0,)) -> str:
        argv = ("--broker", broker.url, *words)
        done = await asyncio.to_thread(run, "fleet", *argv, env=env, timeout=180)
        assert done.returncode in ends, done.stdout + done.stderr
        return done.stdout

    programs.manager(broker)
    agents = [programs.agent(broker, id_) for id_ in ids]
    for agent in agents:
        await agent.says("connected, as station")
    await fleet("apply", "--yes", str(file), ends=(0, 1))
    await fleet("wait", "--timeout", "150")

    async def mixing(room: int) -> bool:
        try:
            shown: Any = json.loads(await fleet("cut", f"hall{room}", "--json"))
        except AssertionError:
            return False
        return all(shown["sources"].values())

    for room in ROOMS:
        deadline = time.monotonic() + 60
        while not await mixing(room):
            assert time.monotonic() < deadline, f"the mixer of hall{room} has not both sources"
        await fleet("cut", f"hall{room}", "--composite", "fullscreen", "--a", "slides")
    programs_of = [tmp_path / id_ / "recordings" for id_ in ids[2::3]]
    await until(lambda: all(map(_grown, programs_of)), what="a recording of each program")
    began = time.monotonic()
    looked = json.loads(await fleet("check", "--json", ends=(0, 3)))
    print(f"fleet check of five rooms: {time.monotonic() - began:.1f} s")
    wrong = [one for one in looked["troubles"] if one["look"] in ("mixer", "recording", "copies")]
    assert wrong == []
    for agent in agents:
        agent.terminate()
    assert [await agent.ended(60) for agent in agents] == [0] * 15
    for place in programs_of:
        files = [one for one in public(place) if one.is_file()]
        assert files
        for one in files:
            times = sorted(numbers(one))
            assert len(times) > 20
            assert times == list(range(times[0], times[0] + 5 * len(times), 5)), one


def _grown(recordings: Path) -> bool:
    return sum(one.stat().st_size for one in recordings.rglob("*.ts")) > 100_000
