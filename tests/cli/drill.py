"""A station with roles of its own, for commands and logs: a real agent and its manager's part."""

from pathlib import Path

from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger
from tests.wire.sides import Boss

DRILL = """
import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated, Literal

from attrs import frozen

from fleet.roles import (
    ChildRole, Command, CommandFailed, Meta, Role, RoleFactory, command, register_factory,
)


@frozen
class DrillSettings:
    pass


@frozen
class Everything:
    text: str
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    share: float = 0.5
    loud: bool = False
    colour: Literal["red", "green"] = "red"
    names: tuple[str, ...] = ()
    table: Mapping[str, int] = {}
    maybe: str | None = "x"


@frozen
class Nap:
    seconds: float


@frozen
class Nothing:
    pass


class Drill(Role[DrillSettings]):
    async def start(self) -> None:
        self.host.register(Command("byhand", Nap, Nap, self.nap))

    @command
    async def echo(self, asked: Everything) -> Everything:
        return asked

    @command
    async def nap(self, asked: Nap) -> Nap:
        await asyncio.sleep(asked.seconds)
        return asked

    @command
    async def refuse(self, asked: Nothing) -> Nothing:
        raise CommandFailed("not today")

    @command
    async def leave(self, asked: Nothing) -> Nothing:
        sys.exit("enough")


class DrillFactory(RoleFactory[DrillSettings]):
    role = Drill
    settings = DrillSettings


@frozen
class SaySettings:
    file: str


class Say(ChildRole[SaySettings]):
    def argv(self) -> list[str]:
        return ["tail", "-n", "+1", "-f", self.settings.file]

    @command
    async def nap(self, asked: Nothing) -> Nothing:
        return asked


class SayFactory(RoleFactory[SaySettings]):
    role = Say
    settings = SaySettings


register_factory("drill", DrillFactory())
register_factory("say", SayFactory())
"""

STATION = "cam1"


async def drilled(
    broker: Mosquitto, stranger: Stranger, programs: Programs, directory: Path
) -> tuple[Boss, Program]:
    """An agent that can `drill` and `say`, online."""
    roles = directory / "roles"
    roles.mkdir(exist_ok=True)
    (roles / "drill.py").write_text(DRILL)
    boss = Boss(stranger, STATION)
    program = programs.agent(broker, STATION, f'roles_dir = "{roles}"\ninterval = 1.0\n')
    await boss.online()
    return boss, program
