"""A role for tests of the agent's shell: real settings and commands, no process of its own."""

from pathlib import Path

SOURCE = """
import asyncio
from typing import Annotated
from attrs import frozen
from fleet.roles import CommandFailed, Failed, Meta, Role, RoleFactory, command, register_factory

@frozen
class Settings:
    number: Annotated[int, Meta(ge=1, le=9)] = 1
    broken: bool = False

@frozen
class Text:
    text: str

@frozen
class Number:
    number: int

@frozen
class Seconds:
    seconds: float

class Echo(Role[Settings]):
    runs = 0

    async def start(self) -> None:
        if self.settings.broken:
            raise Failed("DeviceMissing", "plug it in")

    @command
    async def say(self, asked: Text) -> Text:
        Echo.runs += 1
        return Text(asked.text.upper())

    @command
    async def count(self, asked: Text) -> Number:
        return Number(Echo.runs)

    @command
    async def sleep(self, asked: Seconds) -> Text:
        await asyncio.sleep(asked.seconds)
        return Text("awake")

    @command
    async def refuse(self, asked: Text) -> Text:
        raise CommandFailed("not today")

    @command
    async def crash(self, asked: Text) -> Text:
        raise RuntimeError("oops")

class EchoFactory(RoleFactory[Settings]):
    role = Echo
    settings = Settings
    instances = 3

register_factory("echo", EchoFactory())
"""


def write(directory: Path) -> Path:
    """`directory` with the role `echo` in it."""
    directory.mkdir(exist_ok=True)
    (directory / "echo.py").write_text(SOURCE)
    return directory
