"""Names for the shell's completion; whatever goes wrong, there are just none."""

import asyncio
import contextlib
import io

import typer

from fleet.cli.connection import Denied, Unreachable, converse
from fleet.cli.following import status
from fleet.cli.terminal import Options
from fleet.operations import StationStatus

_PATIENCE = 1.0
"""Seconds a shell may hang at the Tab key."""


def rooms_and_stations(ctx: typer.Context, incomplete: str) -> list[str]:
    """The rooms and stations the manager knows that begin with `incomplete`."""
    known = _known(ctx)
    return _fitting({name for one in known for name in (one.room, one.name)}, incomplete)


def rooms(ctx: typer.Context, incomplete: str) -> list[str]:
    """The rooms the manager knows that begin with `incomplete`."""
    return _fitting({one.room for one in _known(ctx)}, incomplete)


def stations(ctx: typer.Context, incomplete: str) -> list[str]:
    """The stations the manager knows whose names begin with `incomplete`."""
    return _fitting({one.name for one in _known(ctx)}, incomplete)


def _fitting(names: set[str | None], incomplete: str) -> list[str]:
    return sorted(name for name in names if name and name.startswith(incomplete))


def _known(ctx: typer.Context) -> tuple[StationStatus, ...]:
    given = ctx.parent.params if ctx.parent else {}
    options = Options(*(given[key] for key in ("broker", "username", "password_file", "prefix")))
    ignored = contextlib.suppress(Unreachable, Denied, typer.Exit, TimeoutError)
    with ignored, contextlib.redirect_stderr(io.StringIO()):
        found = asyncio.run(
            asyncio.wait_for(converse(options.access(), status, _PATIENCE), 2 * _PATIENCE)
        )
        return found.stations
    return ()
