"""A child that blurts a secret out: nobody who is not on the box reads it."""

import base64
import json

from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger
from tests.wire.conftest import SETTINGS, STATION
from tests.wire.sides import Boss, config

KEY = "hunter2/with?signs"
BLURT = """
import base64
import logging

from attrs import frozen
from prometheus_client import Gauge

from fleet.roles import ChildRole, Command, Failed, RoleFactory, Secret, register_factory

@frozen
class How:
    well: bool

@frozen
class Said:
    all: tuple[str, ...]

@frozen
class BlurtSettings:
    key: Secret
    status: int

class Blurt(ChildRole[BlurtSettings]):
    def argv(self) -> list[str]:
        said = self.host.state / "said"
        said.write_text(
            f"rtmp://live/app/{self.host.secret(self.settings.key)}: refused\\n"
            "http://live/?key=hunter2%2Fwith%3Fsigns\\n"
        )
        logging.getLogger("blurt").error("the key is %s", self.host.secret(self.settings.key))
        told = Gauge("fleet_told", "What it told.", ["to"], registry=self.host.registry)
        told.labels(f"rtmp://live/{self.host.secret(self.settings.key)}").set(1)
        self.host.register(Command("tell", How, Said, self.tell))
        script = 'cat "$1"; cat "$1" >&2; [ "$2" = 0 ] || exit "$2"; exec sleep 1000'
        return ["sh", "-c", script, "blurt", str(said), str(self.settings.status)]

    async def tell(self, how: How) -> Said:
        key = self.host.secret(self.settings.key)
        if how.well:
            basic = base64.b64encode(f"user:{key}".encode()).decode()
            return Said((key, f"Authorization: Basic {basic}"))
        raise Failed("Refused", f"{key} is not what is wanted there")

    def tick(self) -> None:
        self.host.note("Blurted", self.child.last_words())

class BlurtFactory(RoleFactory[BlurtSettings]):
    role = Blurt
    settings = BlurtSettings

register_factory("blurt", BlurtFactory())
"""


async def test_a_secret_that_a_child_prints_is_shown_nowhere(
    broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    roles, secrets = programs.directory / "roles", programs.directory / "secrets"
    roles.mkdir()
    secrets.mkdir()
    (roles / "blurt.py").write_text(BLURT)
    (secrets / "key").write_text(f"{KEY}\n")
    (secrets / "key").chmod(0o600)
    (secrets / "other").write_text("unasked-for\n")
    (secrets / "other").chmod(0o600)
    boss = Boss(stranger, STATION)
    own = f'{SETTINGS}roles_dir = "{roles}"\nsecrets_dir = "{secrets}"\nallow_exec = true\n'
    agent = programs.agent(broker, STATION, own)
    await boss.online()

    key = {"secret": "key"}
    blurting = {"runs": {"key": key, "status": 0}, "dies": {"key": key, "status": 3}}
    await boss.ask(config(1, {"blurt": blurting}))
    shown = "rtmp://live/app/…: refused"
    noted = ("running", "Blurted")

    def both(status: object) -> bool:
        found = status["roles"].get("blurt", {})  # type: ignore[index]
        told = len(found) == 2 and all(shown in str(one["message"]) for one in found.values())
        return told and (found["runs"]["state"], found["runs"]["reason"]) == noted

    await stranger.expect(boss.topic("status"), both)

    def lines() -> set[tuple[str, str]]:
        heard = [line for one in stranger.on(boss.topic("log")) for line in one.json["lines"]]
        return {(one["stream"], one["text"]) for one in heard}

    await until(lambda: {("stdout", shown), ("stderr", shown)} <= lines(), what="the lines")
    _, reply = await boss.command("station", "logs", {"lines": 10})
    assert shown in json.dumps(reply, ensure_ascii=False)

    for well, found in ((True, "Authorization: Basic"), (False, "… is not what is wanted there")):
        given = {"well": well}
        _, reply = await boss.command("blurt", "tell", given, instance="runs")
        assert found in json.dumps(reply, ensure_ascii=False)
    await stranger.expect(boss.topic("telemetry"), lambda one: "fleet_told" in str(one))
    await agent.says("the key is …")
    # A program that finds it by itself prints it too.
    await boss.ask(config(2, {"exec": {"main": {"argv": ["cat", str(secrets / "other")]}}}))
    found_out = ("stdout", "…")
    await until(lambda: found_out in lines(), what="the line")

    everything = [one.payload.decode(errors="replace") for one in stranger.heard]
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()[8:-4]
    for form in ("hunter2", "with?signs", "with%3Fsigns", basic, "unasked-for"):
        assert not [one for one in [*everything, agent.log()] if form in one]
    for file in (programs.directory / STATION / "state" / "logs").rglob("*.std*"):
        assert file.stat().st_mode & 0o077 == 0, "what it wrote itself is the agent's alone"
