"""Parts die at random while configs are applied; it ends as it was wanted, and all is recorded.

Agents are killed, halted or told to let go, broker, manager and recorders are killed or halted, the
store is locked or put back to an earlier state with all that lies beside it, files of an agent are
zeros when it begins, and what the broker keeps is cleared or is what it was before. `--rounds` and
`--seed` say how often and which; the seed is told where it fails.
"""

import asyncio
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.processes import PATIENCE, Mosquitto, Program, Programs, until
from tests.stranger import Heard, Stranger

KINDS = (
    *("broker", "manager", "store", "put back", "zeros", "cleared", "said before"),
    *(*("kill", "halt", "hang up") * 2, "recorder"),
    *("halt broker", "halt manager", "halt recorder"),
)
RETAINED = ("config", "stops", "ack", "status", "registration", "presence", "store")
RECORD = """roles.record.main.source = {type = "test", size = "160x90", rate = 5}
roles.record.main.segment_seconds = 20"""
STATIONS = ("box-a", "box-b")
CUT_SECONDS = 6.0
"""What a recorder that was killed loses at most, on a busy machine: what it had not written yet,
the pause before the next, and its start."""

TICKER = """
import sys
from attrs import frozen
from fleet.roles import ChildRole, RoleFactory, register_factory

@frozen
class Settings:
    number: int

class Ticker(ChildRole[Settings]):
    def argv(self) -> list[str]:
        return ["sleep", str(1_000_000 + self.settings.number)]

class TickerFactory(RoleFactory[Settings]):
    role = Ticker
    settings = Settings

register_factory("tick", TickerFactory())
"""


def conference(wanted: dict[str, dict[str, int]]) -> str:
    """Station -> instance -> number, as a conference file."""
    lines = ["[rooms.hall]"]
    for station, instances in wanted.items():
        lines.append(f'[stations.{station}]\nid = "{station}"\nroom = "hall"')
        lines.append(RECORD)
        lines += [f"roles.tick.{name}.number = {number}" for name, number in instances.items()]
    return "\n".join(lines) + "\n"


def running(programs: Programs, station: str) -> list[int]:
    """The numbers of the children that run on a station, whoever started them."""
    marker = str(programs.directory / station)
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, IndexError):  # it ends while it is looked at
            if process.name() == "sleep" and marker in process.environ().get("FLEET_CHILD", ""):
                found.append(int(process.cmdline()[1]) - 1_000_000)
    return sorted(found)


def recorders(programs: Programs, station: str) -> list[psutil.Process]:
    """Those that write a recording on a station, whoever started them."""
    marker, found = str(programs.directory / station), []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            told = process.environ().get("FLEET_CHILD", "") if process.name() == "ffmpeg" else ""
            if marker in told and '"role":"record"' in told:
                found.append(process)
    return found


def copied(directory: Path, to: Path) -> None:
    """Copy a store as docs/operating.md has it, with what lies beside it."""
    to.mkdir()
    for one in directory.iterdir():
        if one.name == "manager.sqlite":
            with (
                closing(sqlite3.connect(one)) as source,
                closing(sqlite3.connect(to / one.name)) as copy,
            ):
                source.backup(copy)
        elif not one.name.startswith("manager.sqlite"):
            shutil.copy(one, to)


def garble(directory: Path, chance: random.Random) -> None:
    """Have one of the files that an agent keeps, and no child writes to, hold zeros."""
    found = sorted(one for one in directory.rglob("*") if one.is_file() and "logs" not in one.parts)
    if found:
        file = chance.choice(found)
        file.write_bytes(bytes(file.stat().st_size))


async def recorded(directory: Path) -> float:
    """Seconds of all recordings there, as they play."""
    seconds = 0.0
    for file in await asyncio.to_thread(lambda: sorted(directory.rglob("*.ts"))):
        argv = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]
        run = partial(
            subprocess.run, [*argv, str(file)], capture_output=True, text=True, check=True
        )
        seconds += float((await asyncio.to_thread(run)).stdout)
    return seconds


class Fleet:
    """The parts, each of which can be killed and started again."""

    def __init__(
        self,
        programs: Programs,
        broker: Mosquitto,
        roles: Path,
        chance: random.Random,
        stranger: Stranger,
        halted: float,
    ) -> None:
        self.programs, self.broker, self.chance = programs, broker, chance
        self.stranger, self.halted = stranger, halted
        self.settings = f'roles_dir = "{roles}"\ninterval = 5\n'
        self.agents: dict[str, Program] = {}
        self.restarting = asyncio.Lock()
        self.cut: dict[str, float] = dict.fromkeys(STATIONS, CUT_SECONDS)
        """Seconds that a station may lack."""
        self.manager = self.start_manager()
        for station in STATIONS:
            self.start_agent(station)

    def start_manager(self) -> Program:
        return self.programs.manager(self.broker)

    def start_agent(self, station: str) -> None:
        recordings = self.programs.directory / station / "recordings"
        settings = f'recordings = "{recordings}"\n' + self.settings
        self.agents[station] = self.programs.agent(self.broker, station, settings)

    async def fault(self, kind: str, station: str) -> None:
        """Have one thing happen; what it ends is started again at once."""
        agent = self.agents[station]
        match kind:
            case "broker":
                self.broker.stop()
                self.broker.start()
            case "manager":
                async with self.restarting:
                    self.manager.kill()
                    self.manager = self.start_manager()
            case "store":
                with suppress(sqlite3.Error), closing(self.store()) as store:
                    store.execute("begin exclusive")
                    await asyncio.sleep(1)
            case "put back":
                copy = self.kept.with_name("copy")
                async with self.restarting:
                    await asyncio.to_thread(copied, self.kept, copy)
                    await asyncio.sleep(self.chance.random())
                    self.manager.kill()
                    await asyncio.to_thread(shutil.rmtree, self.kept)
                    await asyncio.to_thread(shutil.move, copy, self.kept)
                    self.manager = self.start_manager()
            case "zeros":
                agent.kill()
                await asyncio.to_thread(garble, self.state(station), self.chance)
                self.start_agent(station)
            case "kill":
                agent.kill()
                self.start_agent(station)
            case "halt":
                agent.signal(signal.SIGSTOP)
                await asyncio.sleep(1)
                agent.signal(signal.SIGCONT)
            case "hang up":
                # Before that it dies of it, or goes on where whoever started this ignores it.
                await until(lambda: agent.catches(signal.SIGHUP), what="an agent that listens")
                agent.signal(signal.SIGHUP)
                assert await agent.ended() == 0
                self.start_agent(station)
            case "recorder":
                for one in recorders(self.programs, station):
                    one.kill()
                    self.cut[station] += CUT_SECONDS
            case "cleared":
                kept = sorted({message.topic for message in self._retained()})
                for topic in self.chance.sample(kept, len(kept)):
                    await self.stranger.publish(topic, b"", retain=True)
            case "said before":
                before = self._said_before()
                for message in self.chance.sample(before, min(5, len(before))):
                    await self.stranger.publish(message.topic, message.payload, retain=True)
            case "halt broker":
                await self.halt([psutil.Process(self.broker.pid)])
            case "halt manager":
                async with self.restarting:
                    await self.halt([psutil.Process(self.manager.pid)])
            case "halt recorder":
                self.cut[station] += CUT_SECONDS + await self.halt(
                    recorders(self.programs, station)
                )

    async def halt(self, processes: list[psutil.Process]) -> float:
        """Have them stand still for a while; for how long."""
        seconds = self.chance.random() * self.halted
        for one in processes:
            with suppress(psutil.Error):
                one.suspend()
        await asyncio.sleep(seconds)
        for one in processes:
            with suppress(psutil.Error):
                one.resume()
        return seconds

    def _retained(self) -> list[Heard]:
        """What the broker has kept at any time."""
        return [
            one
            for one in self.stranger.heard
            if one.payload and "request" not in one.topic and one.topic.endswith(RETAINED)
        ]

    def _said_before(self) -> list[Heard]:
        """The same, but of who is there now: words of an earlier start are another box's."""
        retained = self._retained()
        now = {one.topic: one.json.get("boot") for one in retained}
        return [one for one in retained if one.json.get("boot") == now[one.topic]]

    def store(self) -> sqlite3.Connection:
        return sqlite3.connect(self.kept / "manager.sqlite", timeout=0.1)

    @property
    def kept(self) -> Path:
        """The manager's state directory."""
        return self.programs.directory / "manager"

    def state(self, station: str) -> Path:
        """The state directory of an agent."""
        return self.programs.directory / station / "state"

    async def settles(self, station: str, expected: list[int], who: str) -> None:
        """Wait until exactly these children run."""
        await until(lambda: running(self.programs, station) == expected, what=f"{who}: {expected}")

    async def rollout_ends(self) -> None:
        """Wait for what goes on in the manager without a terminal: it refuses another."""
        async with asyncio.timeout(90):
            while True:
                code, said = await self.fleet("rollout", "--json")
                if code == 0 and (json.loads(said)["rollout"] or {}).get("phase") != "running":
                    return

    async def fleet(self, *args: str) -> tuple[int, str]:
        """The operator's command: exit status and output."""
        program = self.programs.start(
            "fleet", *args, name=f"fleet-{len(self.programs.started)}", FLEET_BROKER=self.broker.url
        )
        return await program.ended(2 * PATIENCE), program.log()


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_whatever_dies_what_was_wanted_last_is_what_runs_and_all_is_recorded(
    broker: Mosquitto,
    programs: Programs,
    stranger: Stranger,
    tmp_path: Path,
    long: bool,
    pytestconfig: pytest.Config,
) -> None:
    rounds = pytestconfig.getoption("--rounds") or (20 if long else 2)
    seed = pytestconfig.getoption("--seed")
    print(f"--seed {seed} --rounds {rounds}")
    chance = random.Random(seed)
    roles = tmp_path / "roles"
    roles.mkdir()
    (roles / "tick.py").write_text(TICKER)
    fleet = Fleet(programs, broker, roles, chance, stranger, 20.0 if long else 2.0)
    file = tmp_path / "conference.toml"
    begun: float | None = None

    for number in range(1, rounds + 1):
        wanted = {
            station: {
                name: chance.choice((1, number))
                for name in chance.sample("xyz", chance.randint(1, 3))
            }
            for station in STATIONS
        }
        file.write_text(conference(wanted))
        applying = asyncio.create_task(fleet.fleet("apply", "--yes", str(file)))
        faults = []
        kinds = chance.sample(KINDS, chance.randint(1, 3))
        which = f"round {number} ({', '.join(kinds)})"
        for kind in kinds:
            await asyncio.sleep(chance.random() * 0.6)
            faults.append(asyncio.create_task(fleet.fault(kind, chance.choice(STATIONS))))
            if kind in ("kill", "zeros", "hang up", "halt"):
                await faults[-1]  # one agent's end after the other
        await asyncio.gather(*faults)
        await applying  # it may have failed with what it talked to: then it is typed again
        for _ in range(5):
            code, said = await fleet.fleet("apply", "--yes", str(file))
            if code == 0:
                break
            await fleet.rollout_ends()
        assert code == 0, f"{which}: {said}"
        code, said = await fleet.fleet("wait", "--timeout", "60")
        assert code == 0, f"{which}: {said}"
        code, said = await fleet.fleet("status", "--json")
        shown = {one["id"]: one for one in json.loads(said)["stations"]}
        for station, instances in wanted.items():
            assert shown[station]["wanted"] == shown[station]["running"], which
            await fleet.settles(station, sorted(instances.values()), f"{which}: {station}")
            await until(
                lambda: len(recorders(programs, station)) == 1,  # noqa: B023
                what=f"{which}: {station} recording once",
            )
        begun = begun or time.monotonic()

    assert begun is not None
    least = time.monotonic() - begun
    for station in STATIONS:
        revisions = _in_force(stranger, station)
        assert revisions == sorted(revisions), f"{station} went back: {revisions}"
        assert revisions[-1] >= rounds / 2, f"{station} was hardly ever changed"
    for agent in fleet.agents.values():
        agent.signal(signal.SIGTERM)
        assert await agent.ended() == 0
    assert [running(programs, station) for station in STATIONS] == [[], []]
    for station in STATIONS:
        assert recorders(programs, station) == []
        lost = least - await recorded(tmp_path / station / "recordings")
        assert lost <= fleet.cut[station], f"{station}: {lost} s are missing"


def _in_force(stranger: Stranger, station: str) -> list[int]:
    """The revisions in force as the station said it live, in order; not what others said again."""
    said = dict.fromkeys(
        heard.payload
        for heard in stranger.heard
        if heard.topic == f"fleet/v1/station/{station}/ack" and heard.payload and not heard.retain
    )
    return [json.loads(ack)["in_force"]["revision"] for ack in said]
