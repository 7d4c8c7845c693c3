"""What `stop`, `start` and `restart` share: which instance is meant, and what became of it."""

import sys
from collections.abc import Iterator

import typer

from fleet.cli.terminal import Exit, print_json, say, stop
from fleet.cli.typed import again
from fleet.cli.view import clean
from fleet.model import NAME_RULE, State, is_name
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


def not_running(done: ActionResult) -> Iterator[str]:
    """A line for each instance that does not run again.

    >>> from attrs import evolve
    >>> from fleet.operations.actions import ActedInstance
    >>> ill = ActedInstance("stream", "main", State.FAILED, "nothing listens there", True)
    >>> well = evolve(ill, instance="b", state=State.RUNNING, message=None)
    >>> list(not_running(ActionResult("cam", (ill, well))))
    ['cam stream/main: failed: nothing listens there']
    """
    for one in done.instances:
        if one.state not in (State.RUNNING, State.COMPLETED):
            told = ": ".join(filter(None, (one.state.value, one.message)))
            yield f"{done.station} {one.role}/{one.instance}: {told}"
    if done.waits:
        yield done.waits
