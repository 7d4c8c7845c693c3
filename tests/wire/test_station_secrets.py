"""A child that blurts a secret out: nobody who is not on the box reads it."""

import json

from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger
from tests.wire.conftest import SETTINGS, STATION
from tests.wire.sides import Boss, config

KEY = "hunter2/with?signs"
BLURT = """
from attrs import frozen
from fleet.roles import ChildRole, RoleFactory, Secret, register_factory

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
        script = 'cat "$1"; cat "$1" >&2; [ "$2" = 0 ] || exit "$2"; exec sleep 1000'
        return ["sh", "-c", script, "blurt", str(said), str(self.settings.status)]

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
    boss = Boss(stranger, STATION)
    own = f'{SETTINGS}roles_dir = "{roles}"\nsecrets_dir = "{secrets}"\n'
    agent = programs.agent(broker, STATION, own)
    await boss.online()

    key = {"secret": "key"}
    blurting = {"runs": {"key": key, "status": 0}, "dies": {"key": key, "status": 3}}
    await boss.ask(config(1, {"blurt": blurting}))
    shown = "rtmp://live/app/…: refused"
    noted = ("running", "Blurted")

    def both(status: object) -> bool:
        found = status["roles"].get("blurt", {})  # type: ignore[index]
        return len(found) == 2 and all(shown in str(one["message"]) for one in found.values())

    status = await stranger.expect(boss.topic("status"), both)
    runs = status["roles"]["blurt"]["runs"]
    assert (runs["state"], runs["reason"]) == noted

    def lines() -> set[tuple[str, str]]:
        heard = [line for one in stranger.on(boss.topic("log")) for line in one.json["lines"]]
        return {(one["stream"], one["text"]) for one in heard}

    await until(lambda: {("stdout", shown), ("stderr", shown)} <= lines(), what="the lines")
    _, reply = await boss.command("station", "logs", {"lines": 10})
    assert shown in json.dumps(reply, ensure_ascii=False)

    everything = [one.payload.decode(errors="replace") for one in stranger.heard]
    for form in ("hunter2", "with?signs", "with%3Fsigns"):
        assert not [one for one in [*everything, agent.log()] if form in one]
    for file in (programs.directory / STATION / "state" / "logs").rglob("*.std*"):
        assert file.stat().st_mode & 0o077 == 0, "what it wrote itself is the agent's alone"
