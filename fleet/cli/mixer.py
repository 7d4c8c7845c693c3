"""The one mixer of a room: which one is meant, what it is told, and what it then shows."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import typer

from fleet.cli.connection import REACH, Line, NoSuchStation, StationDenied, connect, manager_on
from fleet.cli.station import ask, find
from fleet.cli.sync import near
from fleet.cli.terminal import print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.model import counted

_ROLE: Final = "mix"
_SECONDS: Final = 10
"""A cut that takes longer is none."""


def tell(
    ctx: typer.Context, room: str, command: str, arguments: Mapping[str, Any], *, json: bool
) -> None:
    """Have a room's mixer do something, and say what it shows then."""

    async def work(line: Line) -> Any:
        id_, instance = await _mixer(line, room)
        station = await find(line, id_)
        reply = await ask(line, station, _ROLE, command, arguments, instance, _SECONDS)
        if reply.error is not None:
            raise StationDenied(reply.error)
        return reply.result

    shown = asyncio.run(connect(ctx.obj.access(), work))
    if json:
        print_json(shown)
    else:
        say(clean(f"{room}: {told(shown)}"))


async def _mixer(line: Line, room: str) -> tuple[str, str]:
    """Id of its station, and instance."""
    stations = (await (await manager_on(line, REACH)).status()).stations
    there = [one for one in stations if room in (one.room, one.name, one.id)]
    if not there:
        rooms = sorted({one.room for one in stations if one.room})
        raise NoSuchStation(f"there is no room {room!r}; {near(room, rooms, [])}")
    mixers = [(one, instance) for one in there for instance in one.roles.get(_ROLE, {})]
    if not mixers:
        others = sorted({one.room for one in stations if one.room and one.roles.get(_ROLE)})
        hint = f"a room with one: {', '.join(others)}" if others else "no room has one"
        raise NoSuchStation(f"{room} has no mixer: nothing of the role mix is wanted there; {hint}")
    if len(mixers) > 1:
        lines = "".join(
            f"\n  {instead('call', one.name, _ROLE, 'get', '--instance', instance)}"
            for one, instance in mixers
        )
        several = counted(len(mixers), "mixer")
        raise NoSuchStation(
            f"{room} has {several}: name the station instead of the room, or call one:{lines}"
        )
    station, instance = mixers[0]
    return station.id, instance


def told(shown: Any) -> str:
    """What a mixer shows, in a line.

    >>> told({"composite": "side_by_side", "a": "slides", "b": "cam", "audio": "cam", "live": True,
    ...       "sources": {"cam": True, "slides": False}})
    'live; side_by_side of slides and cam, sound of cam; nothing comes from slides'
    """
    if not isinstance(shown, Mapping):
        return "did it"
    picture = f"{shown.get('composite') or 'another composite'} of {shown.get('a')}"
    if shown.get("composite") != "fullscreen":
        picture += f" and {shown.get('b')}"
    parts = [
        "live" if shown.get("live") else "blank",
        f"{picture}, sound of {shown.get('audio') or 'none'}",
    ]
    sources = shown.get("sources")
    present = sources if isinstance(sources, Mapping) else {}
    if absent := [str(name) for name, there in present.items() if not there]:
        parts.append(f"nothing comes from {', '.join(absent)}")
    return "; ".join(parts)
