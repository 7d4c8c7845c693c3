"""Where the output goes: data to stdout, messages to stderr; and the exit codes."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from attrs import frozen
from rich.console import Console

from fleet.cli.connection import Access, Denied, Manager, Unreachable, converse
from fleet.cli.view import clean
from fleet.model import NAME_RULE, is_name
from fleet.mqtt import BadBroker, Broker
from fleet.settings import BadSettings, read_password
from fleet.topics import Topics
from fleet.wire import dumps, to_json

T = TypeVar("T")


class Exit(IntEnum):
    """What the commands end with, besides 0."""

    NO = 1
    """Changes (plan), rejected or stopped (apply), not in sync (wait), refused (call)."""
    ERROR = 2
    UNHEALTHY = 3
    UNKNOWN = 4
    """No manager or no broker: nothing is known."""


@frozen
class Options:
    """The global options as they were given."""

    broker: str
    username: str | None
    password_file: Path | None
    prefix: str

    def access(self) -> Access:
        """How to reach the manager; ends the command where the options make no sense."""
        caller = self.username or "anonymous"
        if not is_name(caller):
            stop(
                f"{caller!r} cannot ask the manager: a user's name is {NAME_RULE}; "
                f"look at FLEET_USERNAME"
            )
        try:
            password = read_password(self.password_file)
            broker = Broker.parse(self.broker, self.username, password)
            return Access(broker, caller, Topics(self.prefix))
        except BadBroker as error:
            stop(f"{error}; look at --broker and FLEET_BROKER")
        except BadSettings as error:
            stop(f"{error}; look at --password-file and FLEET_PASSWORD_FILE")


def with_examples(about: str, *examples: str) -> str:
    """A help text that leads with examples."""
    return "\n".join(("\b", "Examples:", *(f"  {one}" for one in examples), "", about))


def ask(ctx: typer.Context, work: Callable[[Manager], Awaitable[T]]) -> T:
    """The result of `work` with the manager; ends the command where there is none.

    Raises:
        Denied: the manager refused.
    """
    options: Options = ctx.obj
    try:
        return asyncio.run(converse(options.access(), work))
    except Unreachable as error:
        stop(str(error), Exit.UNKNOWN)


def data() -> Console:
    """Standard output: coloured on a terminal alone."""
    return Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())


def messages() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, force_terminal=sys.stderr.isatty())


def say(text: str, style: str | None = None) -> None:
    """A message for the person, one line unless a terminal wraps it."""
    messages().print(text, style=style, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being waited for, on a terminal alone."""
    console = messages()
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("waiting") as spinner:
        yield lambda text: spinner.update(text)


def print_json(value: Any) -> None:
    """A model value, or plain values, as one line of JSON."""
    print(dumps(to_json(value)).decode())


def again(*options: str) -> str:
    """What to type for the same with more options."""
    typed = sys.argv[1:]
    end = typed.index("--") if "--" in typed else len(typed)
    return shlex.join(("fleet", *typed[:end], *options, *typed[end:]))


def instead(*words: str) -> str:
    """What to type for another command at the broker, and as the user, of this one."""
    typed, end = sys.argv[1:], 0
    while end < len(typed) and typed[end].startswith("-"):
        end += 1 if "=" in typed[end] else 2
    return shlex.join(("fleet", *typed[:end], *words))


def stop(text: str, code: Exit = Exit.ERROR) -> NoReturn:
    """End the command with a message."""
    say(f"fleet: {text}", "bold red" if sys.stderr.isatty() else None)
    raise typer.Exit(code)


def stop_denied(denied: Denied, file: str) -> NoReturn:
    """End with what the manager found wrong with `file`, a line each."""
    for problem in denied.error.problems:
        if problem.role is None:
            say(f"{file}: {': '.join(filter(None, (problem.path, clean(problem.message))))}")
        else:
            say(f"{file}: {clean(problem.text)}")
    is_file = bool(denied.error.problems) and not file.startswith("fleet ")
    fix = f"; fix it, then: {instead('validate', file)}" if is_file else ""
    stop(clean(denied.error.message) + fix)
