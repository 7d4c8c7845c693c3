"""The one mixer of a room: which one is meant, what it is told, and what it then shows."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import typer

from fleet.cli.calling import for_station
from fleet.cli.connection import REACH, Line, Manager, NoSuchStation, connect, manager_on
from fleet.cli.sync import near
from fleet.cli.terminal import print_json, say
from fleet.cli.typed import instead
from fleet.cli.view import clean
from fleet.model import counted
from fleet.operations.actions import AudioArguments, CutArguments, MixerShown, RoomMixer

_ROLE: Final = "mix"
ARGUMENTS: Final[Mapping[str, Callable[..., Any]]] = {
    "mixer": RoomMixer,
    "live": RoomMixer,
    "blank": RoomMixer,
    "audio": AudioArguments,
    "cut": CutArguments,
}


def tell(ctx: typer.Context, room: str, operation: str, *arguments: Any, json: bool) -> None:
    """Have a room's mixer do something, and say what it shows then.

    `arguments`: of the operation, after the mixer.
    """

    async def work(line: Line) -> MixerShown:
        manager = await manager_on(line, REACH)
        asked = ARGUMENTS[operation](await _mixer(manager, room), *arguments)
        return await for_station(manager, operation, asked, MixerShown)

    shown = asyncio.run(connect(ctx.obj.access(), work))
    if json:
        print_json(shown)
    else:
        say(clean(f"{room}: {told(shown)}"))


async def _mixer(manager: Manager, room: str) -> str:
    """Id of its station."""
    stations = (await manager.status()).stations
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
    return mixers[0][0].id


def told(shown: MixerShown) -> str:
    """What a mixer shows, in a line.

    >>> there = {"cam": True, "slides": False}
    >>> told(MixerShown("side_by_side", "slides", "cam", "cam", True, there))
    'live; side_by_side of slides and cam, sound of cam; nothing comes from slides'
    """
    picture = f"{shown.composite or 'another composite'} of {shown.a}"
    if shown.composite != "fullscreen":
        picture += f" and {shown.b}"
    parts = [
        "live" if shown.live else "blank",
        f"{picture}, sound of {shown.audio or 'none'}",
    ]
    if absent := [name for name, there in shown.sources.items() if not there]:
        parts.append(f"nothing comes from {', '.join(absent)}")
    return "; ".join(parts)
