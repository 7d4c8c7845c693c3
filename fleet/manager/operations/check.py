"""Looks at everything that matters: what is known, and what every station sees when it looks."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve

from fleet.manager.asking import NoAnswer
from fleet.manager.checking import is_mere_note, judged
from fleet.manager.checking.looks import Around, CheckedStation, MixerAnswer, without_stopped
from fleet.manager.operations.desk import Desk
from fleet.manager.stations.state import StationState
from fleet.operations.check import CheckArguments, CheckResult
from fleet.station import STATION, LookArguments, LookResult
from fleet.strict import Mistakes
from fleet.version import __version__
from fleet.wire import from_json

_LOOK_SECONDS: Final = 6.0
"""What a station may take to look."""
_ANSWER_SECONDS: Final = 7.0
_AT_ONCE: Final = 100
"""Stations that are asked at a time."""
_MOST_SOURCES: Final = 64


async def check(desk: Desk, caller: str, asked: CheckArguments) -> CheckResult:  # noqa: ARG001
    """Every station something is wanted of, or those of a room."""
    room = desk.find_room(asked.room) if asked.room is not None else None
    known = await desk.report.look()
    chosen = [
        one
        for one in known.stations
        if one.status.wanted is not None and room in (None, one.status.room)
    ]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def examine(one: StationState) -> CheckedStation:
        async with gate:
            return await _examined(desk, one, known.rooms[one.status.room or ""])

    examined = await asyncio.gather(*(examine(one) for one in chosen if not one.maintenance))
    around = Around(examined, __version__, time.time())
    rooms = {name: found for name, found in known.findings.items() if room in (None, name)}
    troubles, looks = judged(around, rooms)
    return CheckResult(
        bool(examined) and all(map(is_mere_note, troubles)),
        len(examined),
        troubles,
        looks,
        tuple(one.name for one in chosen if one.maintenance),
        datetime.now(UTC),
        desk.timezone,
    )


async def _examined(desk: Desk, state: StationState, use: Any) -> CheckedStation:
    heard = desk.inventory.get(state.status.id)
    registration = heard.registration if heard else None
    one = CheckedStation(state, use, registration.agent if registration else None)
    if not one.online:
        return one
    mixers = asyncio.gather(*(_mixed(desk, state, name) for name in state.wanted.get("mix", {})))
    looked, mixed = await asyncio.gather(_look(desk, one), mixers)
    if looked.look is not None:
        looked = evolve(looked, look=without_stopped(state, looked.look))
    return evolve(looked, mixers=dict(mixed))


async def _look(desk: Desk, one: CheckedStation) -> CheckedStation:
    arguments = {"seconds": LookArguments(_LOOK_SECONDS).seconds}
    begun = time.time()
    try:
        result = await _ask(desk, one.state, STATION, "look", arguments)
        look = from_json(result, LookResult)
    except NoAnswer as why:
        return evolve(one, silence=f"did not look at its recordings: {why}")
    except Mistakes as mistakes:
        why_not = f"did not look at its recordings: its answer cannot be understood: {mistakes}"
        return evolve(one, silence=why_not[:500])
    said = look.clock.timestamp()
    return evolve(one, look=look, clock_error=max(0.0, begun - said, said - time.time()))


async def _mixed(desk: Desk, state: StationState, instance: str) -> tuple[str, MixerAnswer]:
    try:
        said = await _ask(desk, state, "mix", "get", {}, instance)
    except NoAnswer as why:
        return instance, MixerAnswer({}, None, str(why))
    sources = said.get("sources") if isinstance(said, Mapping) else None
    live = said.get("live") if isinstance(said, Mapping) else None
    if not isinstance(sources, Mapping) or len(sources) > _MOST_SOURCES:
        return instance, MixerAnswer({}, None, "its answer cannot be understood")
    there = {str(name): bool(present) for name, present in sources.items()}
    return instance, MixerAnswer(there, live if isinstance(live, bool) else None)


async def _ask(
    desk: Desk,
    state: StationState,
    role: str,
    command: str,
    arguments: Mapping[str, Any],
    instance: str | None = None,
) -> Any:
    id_ = state.status.id
    reply = await desk.asker.ask(id_, role, command, arguments, instance, _ANSWER_SECONDS)
    if reply.error is not None:
        raise NoAnswer(f"{reply.error.type}, {reply.error.message}")
    return reply.result
