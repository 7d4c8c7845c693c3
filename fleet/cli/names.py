"""Names of stations and rooms, as the manager knows them, for who waits at the Tab key."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

from attrs import frozen

from fleet.cli.connection import Denied, Line, Unreachable, connect, manager_on
from fleet.cli.options import BadOptions, Options

T = TypeVar("T")

PATIENCE: Final = 0.7
"""Seconds to wait for the broker at the Tab key."""
LIMIT: Final = 1.0
"""And at most, whatever the network does."""


@frozen
class NamedStation:
    """A station of the manager's answer to `status`."""

    name: str
    room: str | None


@frozen
class NamedStations:
    """Of that answer what names are made of."""

    stations: tuple[NamedStation, ...]


def stations(environment: Mapping[str, str], patience: float) -> tuple[NamedStation, ...] | None:
    """All that the manager knows; none where anything is wrong, and None where there is a broker
    and no manager. `patience`: in seconds.
    """
    broker, username, file, prefix, context = (
        environment.get(f"FLEET_{name}") or None
        for name in ("BROKER", "USERNAME", "PASSWORD_FILE", "PREFIX", "CONTEXT")
    )
    options = Options(broker, username, Path(file) if file else None, prefix, context)

    async def ask(line: Line) -> tuple[NamedStation, ...] | None:
        try:
            manager = await manager_on(line, patience / 2)
        except Unreachable:
            return None
        return (await manager.ask("status", {}, NamedStations)).stations

    with suppress(BadOptions, Unreachable, Denied):
        return asyncio.run(connect(options.access(), ask, patience))
    return ()


def within(seconds: float, work: Callable[[], T], otherwise: T) -> T:
    """The result of `work`, `otherwise` where it fails or takes longer, and is then still at it."""
    done: list[T] = []

    def try_it() -> None:
        with suppress(Exception):
            done.append(work())

    thread = Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(seconds)
    return done[0] if done else otherwise


def fitting(names: Iterable[str | None], incomplete: str) -> list[str]:
    """Those that begin so, by name; what cannot be typed is left out."""
    there = (name for name in set(names) if name and name.isprintable())
    return sorted(name for name in there if name.startswith(incomplete))
