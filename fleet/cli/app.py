"""The program `fleet`: its global options and its commands.

Whoever asks for help, or presses Tab, waits: all that takes long to import is imported once it is
known what is wanted.
"""

import errno
import io
import os
import sys
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from fleet.cli.commands import COMMANDS, GROUPS, with_examples
from fleet.version import __version__

_NOWHERE = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO)
"""Errors of an output that takes nothing more."""


class CommandToCome(TyperCommand):
    """A command whose module is read once it is typed: `fleet --help` needs none of them."""

    def __init__(self, name: str, about: str) -> None:
        super().__init__(name=name, help=about, short_help=about)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **more: Any
    ) -> Any:
        """The context of the command itself."""
        from fleet.cli.terminal import ToldCommand

        module = import_module(f"fleet.cli.commands.{self.name}")
        alone = typer.Typer(
            add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        alone.command(self.name, cls=ToldCommand, help=module.HELP)(module.run)
        command = typer.main.get_command(alone)
        version = copy(next(one for one in parent.command.params if one.name == "version"))
        version.expose_value = False
        command.params.append(version)
        return command.make_context(info_name, args, parent, **more)


class CommandGroups(TyperGroup):
    """All commands, listed by what one wants."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, about in COMMANDS.items():
            self.add_command(CommandToCome(name, about))

    def invoke(self, ctx: Any) -> Any:
        """What the command does; Typer would end with 1 where whoever reads it has seen enough."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _let_go()
            raise typer.Exit from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """A section a group, the sentences of all beneath each other."""
        width = max(map(len, COMMANDS))
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), about) for name, about in group.items()])


app = typer.Typer(
    name="fleet",
    cls=CommandGroups,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=with_examples(
        "Says what the stations of a conference should do, and shows what they do.",
        "fleet status                       which room needs you",
        "fleet watch hall1                  what happens there, as it happens",
        "fleet doctor                       what needs fixing, and how",
        "fleet plan conference.toml         what applying the file would change",
        "fleet apply conference.toml        change it",
        "fleet wait --timeout 120           until every station does what is wanted",
        "FLEET_BROKER=mqtt://10.0.0.2:1884 fleet status",
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fleet {__version__}")
        raise typer.Exit


def _contexts(incomplete: str) -> list[str]:
    from fleet.cli.completion import contexts

    return contexts(incomplete)


@app.callback()
def _globals(
    ctx: typer.Context,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="FLEET_CONTEXT",
            help="Which context of ~/.config/fleet/config.toml says the rest.",
            autocompletion=_contexts,
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="FLEET_BROKER",
            help="Where the broker is: mqtt://HOST[:PORT], mqtts:// for TLS; "
            "mqtt://127.0.0.1:1883 unless given.",
        ),
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="FLEET_USERNAME",
            help="Your user at the broker, under whose name the manager is asked.",
        ),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="FLEET_PASSWORD_FILE",
            help="The file whose first line is the password.",
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            envvar="FLEET_PREFIX",
            metavar="TEXT",
            help="What every topic starts with; fleet unless given.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 (its callback does the work)
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    from fleet.cli.options import Options

    ctx.obj = Options(broker, username, password_file, prefix, context)


def main() -> None:
    """Run `fleet`."""
    _see_to_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        _let_go()
        if error.errno == errno.EPIPE:  # whoever read us has seen enough
            sys.exit(0)
        _give_up(f"the output could not be written: {error.strerror}")


def _let_go() -> None:
    """Of what is still buffered: it has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _see_to_streams() -> None:
    """Make do with what a shell left us of the standard streams; without output do nothing."""
    nowhere = [one for one in (sys.stdin, sys.stdout, sys.stderr) if one is None]
    if nowhere:
        # From here on no file or socket of ours is taken for one of them.
        while (number := os.open(os.devnull, os.O_RDWR)) < 3:
            pass
        os.close(number)
    closed = sys.stdout is None
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 (as long as we live)
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if closed:
        _give_up("standard output is closed, so that nothing can be shown; nothing was done")


def _give_up(why: str) -> NoReturn:
    from fleet.cli.terminal import Exit

    print(f"fleet: {why}", file=sys.stderr)
    sys.exit(Exit.ERROR)
