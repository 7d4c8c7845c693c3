"""`fleet logs`, of a real agent whose children say what they are told."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import define

from tests.cli.conftest import FLEET, Fleet
from tests.cli.drill import STATION, drilled
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger
from tests.wire.sides import Boss


@define
class Talker:
    """A station that runs say/a and say/b; what is written to `a` and `b` they say."""

    boss: Boss
    agent: Program
    start: Callable[[], Program]
    a: Path
    b: Path

    def say(self, path: Path, *lines: str) -> None:
        with path.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))


@pytest.fixture
async def talker(
    broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path
) -> Talker:
    boss, agent = await drilled(broker, stranger, programs, tmp_path)
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    for path in (a, b):
        path.touch()
    await boss.push(1, {"say": {"a": {"file": str(a)}, "b": {"file": str(b)}}})
    return Talker(boss, agent, lambda: programs.agent(broker, STATION), a, b)


async def has(fleet: Fleet, *lines: str) -> None:
    """Wait until the station has these last lines."""

    async def there() -> bool:
        found = await fleet("logs", STATION, "-n", "1000")
        return set(lines) <= {line.partition(" ")[2] for line in found.lines}

    async with asyncio.timeout(60):
        while not await there():
            pass


class Following:
    """`fleet logs -f` that goes on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out, self.err = process.stdout, process.stderr

    async def until(self, text: str) -> list[str]:
        """The lines up to one that holds `text`."""
        lines: list[str] = []
        async with asyncio.timeout(60):
            while not lines or text not in lines[-1]:
                line = await self.out.readline()
                assert line, f"it ended: {lines}"
                lines.append(line.decode().rstrip("\n"))
        return lines

    async def told(self, text: str) -> None:
        """Wait for a message."""
        async with asyncio.timeout(60):
            while text not in (line := (await self.err.readline()).decode()):
                assert line, f"it ended without saying {text!r}"


Follow = Callable[..., Awaitable[Following]]


@pytest.fixture
async def follow(fleet: Fleet) -> AsyncIterator[Follow]:
    started: list[asyncio.subprocess.Process] = []

    async def start(*args: str) -> Following:
        process = await asyncio.create_subprocess_exec(
            FLEET,
            *("logs", STATION, "-f", *args),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=fleet.environment({}),
        )
        started.append(process)
        return Following(process)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_last_lines_of_each_instance_plain_and_as_json(
    fleet: Fleet, talker: Talker
) -> None:
    talker.say(talker.a, "one", "two", "three \x1b[2J[bold]")
    talker.say(talker.b, "vier")
    await has(fleet, "say/a: two", "say/b: vier")
    found = await fleet("logs", STATION, "-n", "2")
    assert (found.code, found.err) == (0, "")
    expected = ["say/a: two", "say/a: three ?[2J[bold]", "say/b: vier"]
    assert [line.partition(" ")[2] for line in found.lines] == expected
    for line in found.lines:
        age = datetime.now(UTC) - datetime.fromisoformat(line.split()[0])
        assert timedelta(0) <= age < timedelta(minutes=5), line
    found = await fleet("logs", STATION, "say/a", "-n", "2")
    assert [line.partition(" ")[2] for line in found.lines] == ["two", "three ?[2J[bold]"]
    found = await fleet("logs", STATION, "say", "-n", "1", "--json")
    said = [json.loads(line) for line in found.lines]
    assert all(one.pop("at").endswith("Z") for one in said)
    assert said == [
        {"role": "say", "instance": "a", "text": "three \x1b[2J[bold]"},
        {"role": "say", "instance": "b", "text": "vier"},
    ]


async def test_what_is_not_there_is_said(fleet: Fleet, talker: Talker) -> None:
    nothing = [f"say/{name} has written nothing so far" for name in "ab"]
    async with asyncio.timeout(60):
        while (found := await fleet("logs", STATION)).err.splitlines() != nothing:
            pass
    assert (found.code, found.out) == (0, "")
    found = await fleet("logs", STATION, "say/c")
    assert (found.code, found.out) == (1, "")
    assert "NoSuchInstance: say/c" in found.err
    assert "say/a, say/b" in found.err
    assert (await fleet("logs", STATION, "a/b/c")).code == 2
    assert (await fleet("logs", STATION, "-n", "1001")).code == 2
    talker.agent.terminate()
    await talker.boss.stranger.expect(
        talker.boss.topic("presence"), lambda p: p["state"] == "offline"
    )
    for more in ((), ("-f",)):
        found = await fleet("logs", STATION, *more)
        assert (found.code, found.out) == (4, "")
        assert "cam1 is offline" in found.err


async def test_following_shows_every_line_once_and_ends_cleanly(
    talker: Talker, follow: Follow
) -> None:
    async def count() -> None:
        for number in range(40):  # fewer than an instance may say at once
            talker.say(talker.a, f"line {number}")
            await asyncio.sleep(0.05)
        talker.say(talker.a, "end")

    counting = asyncio.create_task(count())
    following = await follow("say/a", "-n", "1000")
    lines = await following.until("end")
    await counting
    assert [line.partition(" ")[2] for line in lines] == [
        *(f"line {number}" for number in range(40)),
        "end",
    ]
    following.process.send_signal(signal.SIGINT)
    out, err = await following.process.communicate()
    assert (following.process.returncode, out, err) == (0, b"", b"")


async def test_following_says_how_many_lines_were_left_out(talker: Talker, follow: Follow) -> None:
    following = await follow("say/a", "--json")
    talker.say(talker.a, "here")
    (*_, first) = await following.until("here")
    assert json.loads(first)["text"] == "here"
    talker.say(talker.a, *(f"noise {number}" for number in range(2000)))
    await following.told("of this station left out")


async def test_following_goes_on_when_the_station_and_the_broker_were_away(
    talker: Talker, follow: Follow, broker: Mosquitto
) -> None:
    following = await follow("say/b")
    talker.say(talker.b, "before")
    await following.until("before")
    talker.agent.terminate()
    await following.told("cam1 is offline")
    await until(lambda: not talker.agent.running, what="the end of the agent")
    talker.start()
    await following.told("cam1 is online again")
    broker.stop()
    await following.told("the connection to the broker was lost")
    broker.start()
    await following.told("cam1 is online again")
    talker.say(talker.b, "after")
    await following.until("after")
