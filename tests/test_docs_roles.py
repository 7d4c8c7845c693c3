"""Every example in docs/roles.md runs in a real agent, and does what the page says of it."""

import re
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fleet.roles import Child, Host
from tests.processes import ROOT, Mosquitto, Programs, free_port, until
from tests.stranger import Stranger
from tests.wire.sides import Boss, config

STATION = "station1"
PAGE = (ROOT / "docs" / "roles.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def example(name: str) -> str:
    """The block that begins with `# name`."""
    (text,) = [text for _, text in BLOCKS if text.startswith(f"# {name}\n")]
    return text


def block(language: str) -> str:
    """The one block of a language that has no name."""
    (text,) = [text for lang, text in BLOCKS if lang == language and not text.startswith("# ")]
    return text


@pytest.mark.parametrize("cls", [Host, Child])
def test_all_that_a_role_is_given_is_told(cls: type) -> None:
    told = PAGE.partition("\n## All that a role is given\n")[2].partition("\n## ")[0]
    table = told.partition(f"`{'self.host' if cls is Host else 'Child'}` has:\n")[2]
    table = table.strip().partition("\n\n")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(?:await )?(\w+)[`(]", cell)}
    public = {*vars(cls), *cls.__annotations__}
    assert named == {name for name in public if not name.startswith("_")}


class Station:
    """An agent with the examples, and a stranger who plays its manager."""

    def __init__(self, stranger: Stranger) -> None:
        self.boss = Boss(stranger, STATION)
        self.registration: Any = None
        self._revision = 0

    async def runs(self, role: str, **settings: Any) -> Any:
        """Want one instance, `main`, and wait until it runs; its status."""
        self._revision += 1
        await self.boss.push(self._revision, {role: {"main": settings}})
        return self.latest(role)

    async def fails(self, role: str, **settings: Any) -> Any:
        """Want one instance, `main`, and wait until it has failed; its status."""
        self.boss.since = self.boss.stranger.mark()
        await self.wants({role: {"main": settings}})
        status = await self.boss.stranger.expect(
            self.boss.topic("status"),
            lambda s: s["roles"][role]["main"]["state"] == "failed",
            after=self.boss.since,
        )
        return status["roles"][role]["main"]

    async def wants(self, roles: dict[str, Any]) -> Any:
        """Its ack of a config with these roles."""
        self._revision += 1
        return await self.boss.ask(config(self._revision, roles))

    async def call(self, role: str, command: str, **arguments: Any) -> Any:
        """The reply to a command."""
        _, reply = await self.boss.command(role, command, arguments)
        return reply

    def latest(self, role: str) -> Any:
        return self.boss.stranger.latest(self.boss.topic("status"))["roles"][role]["main"]


@pytest.fixture
async def station(
    tmp_path: Path, broker: Mosquitto, programs: Programs, stranger: Stranger
) -> Station:
    """Runs all examples that are a single file."""
    roles_dir = tmp_path / "roles"
    roles_dir.mkdir()
    for language, text in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python" and name:
            (roles_dir / name[1]).write_text(text)
    programs.agent(broker, STATION, f'roles_dir = "{roles_dir}"\n')
    found = Station(stranger)
    await found.boss.online()
    found.registration = stranger.latest(found.boss.topic("registration"))
    return found


async def test_a_role_in_about_30_lines(station: Station, tmp_path: Path) -> None:
    assert len([line for line in example("clock.py").splitlines() if line.strip()]) <= 35
    file = tmp_path / "clock.txt"
    first = await station.runs("clock", file=str(file))
    await until(lambda: file.exists() and re.fullmatch(r"\d{4}", file.read_text()))
    second = await station.runs("clock", file=str(file), digits=6)
    await until(lambda: re.fullmatch(r"\d{6}", file.read_text()))
    assert first["since"] == second["since"], "new settings are taken live"
    elsewhere = tmp_path / "later" / "clock.txt"
    failed = await station.fails("clock", file=str(elsewhere))
    assert not file.exists(), "it was stopped, and started with the new file"
    assert failed["reason"] == "NotWritable"
    assert str(elsewhere) in failed["message"]
    elsewhere.parent.mkdir()
    await until(elsewhere.exists, what="its recovery")
    await station.runs("clock", file=str(elsewhere))
    await station.wants({})
    await until(lambda: not elsewhere.exists(), what="the end of the file")


async def test_its_settings_come_from_the_conference_file(station: Station) -> None:
    settings = tomllib.loads(block("toml"))["stations"]["hall1-mix"]["roles"]["clock"]["main"]
    described = station.registration["factories"]["clock"]["settings"]
    assert settings.keys() <= described["properties"].keys()
    assert described["properties"]["digits"]["maximum"] == 6


async def test_what_is_wrong_with_settings_is_said_in_these_words(station: Station) -> None:
    ack = await station.wants({"clock": {"main": {"digits": 9, "fil": "x"}}})
    problems = ack["error"]["problems"]
    said = [re.split(r"\s+", line, maxsplit=1) for line in block("text").splitlines()]
    assert sorted([p["path"], p["message"]] for p in problems) == sorted(said)


async def test_a_role_with_a_command(station: Station) -> None:
    await station.runs("banner")
    assert (await station.call("banner", "show", text="Lunch"))["result"] == {"lines": 1}
    assert (await station.call("banner", "show", text="a\nb\nc"))["error"] == {
        "type": "CommandFailed",
        "message": "3 lines do not fit, 2 do",
        "problems": [],
    }
    assert (await station.call("banner", "show", txt=""))["error"]["type"] == "InvalidArguments"
    assert (await station.call("banner", "hide"))["error"]["type"] == "UnknownCommand"
    await station.wants({})
    gone = await station.call("banner", "show", text="Lunch")
    assert gone["error"]["type"] in ("UnknownCommand", "NoSuchInstance")


async def test_a_role_that_is_one_child_process(station: Station, tmp_path: Path) -> None:
    port = free_port()
    await station.runs("share", port=port)
    recordings = tmp_path / STATION / "recordings"
    recordings.mkdir(exist_ok=True)
    (recordings / "talk.ts").write_text("a talk")
    assert await until(lambda: fetched(f"http://127.0.0.1:{port}/talk.ts")) == b"a talk"


def fetched(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 (our own)
            body: bytes = answer.read()
            return body
    except OSError:
        return None


async def test_an_ffmpeg_role_starts_with_its_first_output(station: Station) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        await station.runs("tone", port=listener.getsockname()[1])
        assert listener.recv(188)[:1] == b"G", "MPEG-TS, and no later than it is said to run"


async def test_build_and_commands_by_hand(station: Station) -> None:
    await station.runs("lamp", pin=7)
    assert (await station.call("lamp", "switch", on=True))["result"] == {"on": True}


async def test_a_role_in_its_own_package(
    tmp_path: Path, broker: Mosquitto, programs: Programs, stranger: Stranger
) -> None:
    package = tmp_path / "fleet-tally"
    package.mkdir()
    for name in ("pyproject.toml", "fleet_tally.py"):
        (package / name).write_text(example(name))
    site = tmp_path / "site"
    offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    pip = [sys.executable, "-m", "pip", "install", *offline, "--target", str(site), str(package)]
    subprocess.run(pip, check=True)  # noqa: ASYNC221 (nothing else runs yet)
    programs.agent(broker, STATION, PYTHONPATH=str(site))
    station = Station(stranger)
    await station.boss.online()
    await station.runs("tally")
    assert (await station.call("tally", "light", lit=True))["result"] == {"lit": True}
    await stranger.expect(
        station.boss.topic("telemetry"),
        lambda t: any(
            family["name"] == "conference_tally_lit" and family["samples"][0][2] == 1
            for family in t["families"]
        ),
        timeout=60,
    )


async def test_every_example_is_one_of_those_above(station: Station) -> None:
    names = {m[1] for _, text in BLOCKS if (m := re.match(r"# (\w+\.(?:py|toml))\n", text))}
    assert names == {
        *("clock.py", "banner.py", "share.py", "tone.py", "lamp.py"),
        *("fleet_tally.py", "pyproject.toml"),
    }
    assert station.registration["broken_roles"] == {}
