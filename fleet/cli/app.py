"""The program `fleet`: its global options and its commands."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.commands import (
    adopt,
    apply,
    call,
    diff,
    doctor,
    export,
    history,
    logs,
    maintenance,
    plan,
    retire,
    rollback,
    rollout,
    show,
    status,
    talk,
    validate,
    wait,
    watch,
)
from fleet.cli.completion import contexts
from fleet.cli.terminal import Exit, Options, ToldCommand, say, with_examples
from fleet.model import plain
from fleet.version import __version__

_NOWHERE = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO)
"""Errors of an output that takes nothing more."""

app = typer.Typer(
    name="fleet",
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


@app.callback()
def _globals(
    ctx: typer.Context,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="FLEET_CONTEXT",
            help="Which context of ~/.config/fleet/config.toml says the rest.",
            autocompletion=contexts,
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
    ctx.obj = Options(broker, username, password_file, prefix, context)


for _name, _command in (
    ("status", status),
    ("watch", watch),
    ("doctor", doctor),
    ("plan", plan),
    ("apply", apply),
    ("wait", wait),
    ("rollout", rollout),
    ("rollback", rollback),
    ("history", history),
    ("show", show),
    ("diff", diff),
    ("export", export),
    ("validate", validate),
    ("maintenance", maintenance),
    ("talk", talk),
    ("retire", retire),
    ("adopt", adopt),
    ("call", call),
    ("logs", logs),
):
    app.command(_name, cls=ToldCommand, help=_command.HELP, short_help=_command.ABOUT)(_command.run)


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
        # What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # whoever read us has seen enough
            sys.exit(0)
        say(f"fleet: the output could not be written: {plain(error)}")
        sys.exit(Exit.ERROR)


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
        say("fleet: standard output is closed, so that nothing can be shown; nothing was done")
        sys.exit(Exit.ERROR)
