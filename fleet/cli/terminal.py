"""Where the output goes: data to stdout, messages to stderr; and the exit codes."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

from fleet.cli.connection import (
    Denied,
    Manager,
    NoSuchStation,
    StationDenied,
    Unreachable,
    converse,
)
from fleet.cli.options import BadOptions, Options
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.model import Error, printable
from fleet.mqtt import Disconnected
from fleet.wire import dumps, to_json

T = TypeVar("T")


_LINES: Final = "\n\t"
_LONG: Final = 5.0
"""Seconds after which it is told, also without a terminal, what is waited for, and then again."""


class Exit(IntEnum):
    """What the commands end with, besides 0."""

    NO = 1
    """Changes (plan), rejected or stopped (apply), not in sync (wait), refused (call)."""
    ERROR = 2
    UNHEALTHY = 3
    UNKNOWN = 4
    """No manager or no broker: nothing is known."""


class ToldCommand(TyperCommand):
    """A command that says to the person, in one way for all, what it takes, and why it cannot be
    done.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was typed; of what is wrong with it Typer says also what Pydantic calls it."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the line that begins with Usage: braces are for a choice alone."""
        pieces = super().collect_usage_pieces(ctx)
        return [re.sub(r"^\{([^|]*)\}", r"\1", one) for one in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """What it takes, in words that are no programmer's."""
        for kind, title in (("argument", "Arguments"), ("option", "Options")):
            of_kind = [one for one in self.get_params(ctx) if one.param_type_name == kind]
            records = [record for one in of_kind if (record := one.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl([_in_words(*record) for record in records])

    def invoke(self, ctx: Any) -> Any:
        """Run it; what the manager or a station refuses ends it with a message."""
        try:
            return super().invoke(ctx)
        except Denied as denied:
            file = ctx.params.get("file")
            _tell_problems(denied.error, str(file or f"fleet {ctx.info_name}"))
            fix = f"; fix it, then: {instead('validate', str(file))}"
            is_file = file is not None and denied.error.problems
            stop(clean(denied.error.message) + (fix if is_file else ""))
        except StationDenied as denied:
            _tell_problems(denied.error)
            stop(clean(f"{denied.error.type}: {denied}"), Exit.NO)
        except (Unreachable, Disconnected) as error:
            stop(clean(str(error)), Exit.UNKNOWN)
        except (BadOptions, NoSuchStation) as error:
            stop(str(error))


def _in_words(name: str, about: str) -> tuple[str, str]:
    """What is said of an argument or option; types and formulas are Typer's.

    >>> _in_words("STATION <str>", "Its name.  [required]")
    ('STATION', 'Its name.  [required]')
    >>> _in_words("--timeout S", "Seconds.  [default: 30; 1<=x<=86400]")
    ('--timeout S', 'Seconds.  [default: 30; 1 to 86400]')
    """
    about = re.sub(r"(\S+)<=x<=(\S+?)(?=[;\]])", r"\1 to \2", about)
    return re.sub(r" <[^>]*>$", "", name), re.sub(r"x>=(\S+?)(?=[;\]])", r"\1 or more", about)


def ask(ctx: typer.Context, work: Callable[[Manager], Awaitable[T]]) -> T:
    """The result of `work` with the manager.

    Raises:
        Unreachable: there is no broker or no manager.
        Denied: the manager refused.
    """
    options: Options = ctx.obj
    return asyncio.run(converse(options.access(), work))


def data() -> Console:
    """Standard output: coloured on a terminal alone."""
    return Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty())


def messages() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, markup=False, force_terminal=sys.stderr.isatty())


def say(text: str, style: str | None = None, *, to_type: bool = False) -> None:
    """A message for the person: one line; a terminal gets its words whole.

    `to_type`: whether something in it is to be typed: that can be copied only where no line is
    broken.
    """
    console = messages()
    soft_wrap = to_type or not console.is_terminal
    console.print(printable(text, _LINES), style=style, soft_wrap=soft_wrap)


def put(text: str, end: str = "\n") -> None:
    """Data for standard output, of one line or several."""
    print(printable(text, _LINES), end=end)


Telling = Callable[[str], None]
"""Is told what is waited for."""


@contextmanager
def progress() -> Iterator[Telling]:
    """A function that shows what is waited for and for how long.

    On a terminal that goes away at the end; elsewhere it is lines, once it takes long.
    """
    console = messages()
    if not console.is_terminal:
        yield _PlainProgress().tell
        return
    from rich.live import Live

    waiting = _Waiting()
    with Live(waiting, console=console, transient=True, refresh_per_second=4):
        yield waiting.tell


class _Waiting:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._text = "waiting"

    def tell(self, text: str) -> None:
        self._text = text

    def __rich__(self) -> str:
        seconds = time.monotonic() - self._began
        return f"{escape(printable(self._text))}, for {seconds:.0f} s now"


class _PlainProgress:
    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._text = ""

    def tell(self, text: str) -> None:
        now = time.monotonic()
        if text != self._text and now - self._told >= _LONG:
            say(f"{text}, for {now - self._began:.0f} s now")
            self._told, self._text = now, text


def print_json(value: Any) -> None:
    """A model value, or plain values, as one line of JSON."""
    text = dumps(to_json(value)).decode()
    print(text if text.isprintable() else "".join(map(_escaped, text)))


def _escaped(char: str) -> str:
    """The same to who reads JSON, and nothing to a terminal."""
    return char if char.isprintable() else json.dumps(char)[1:-1]


def stop(text: str, code: Exit = Exit.ERROR) -> NoReturn:
    """End the command with a message."""
    # What is to be typed can be copied only where no line is broken.
    style = "bold red" if sys.stderr.isatty() else None
    messages().print(printable(f"fleet: {text}", _LINES), style=style, soft_wrap=True)
    raise typer.Exit(code)


def _tell_problems(error: Error, file: str | None = None) -> None:
    for problem in error.problems:
        # Of a mistake in a file its place there says more than its type.
        in_file = file is not None and problem.role is None
        text = ": ".join(filter(None, (problem.path, problem.message))) if in_file else problem.text
        say(": ".join(filter(None, (file, clean(text)))))
