"""What `stop`, `start` and `restart` share: which instance is meant, and what became of it."""

import sys

import typer

from fleet.cli.terminal import Exit, print_json, say, stop
from fleet.cli.typed import again
from fleet.cli.view import clean
from fleet.model import NAME_RULE, is_name
from fleet.operations.actions import ActionResult


def instance_of(which: str) -> tuple[str, str | None]:
    """Role and instance of `ROLE[/INSTANCE]`; ends the command where it is none."""
    role, slash, instance = which.partition("/")
    if not role or (slash and not instance):
        stop(f"{which!r} is not a ROLE[/INSTANCE], such as record/main")
    for name in filter(None, (role, instance)):
        if not is_name(name):
            stop(f"{which!r} is not a ROLE[/INSTANCE]: a name is {NAME_RULE}")
    return role, instance or None


def sure(question: str) -> None:
    """Ask whether that is meant; ends the command where it is not."""
    if not sys.stdin.isatty():
        stop(clean(f"{question} Nothing was done; if that is meant: {again('--yes')}"), Exit.NO)
    say(clean(question))
    if not typer.confirm("Stop it?", err=True):
        stop("nothing was done", Exit.NO)


def tell(done: ActionResult, json: bool) -> None:
    """Say what became of each instance; ends the command with 1 where it is not so yet."""
    if json:
        print_json(done)
    else:
        for one in done.instances:
            text = one.message if one.done and one.message else one.state.value
            say(clean(f"{done.station} {one.role}/{one.instance}: {text}"))
        if done.waits:
            say(clean(done.waits))
    if done.waits:
        raise typer.Exit(Exit.NO)
