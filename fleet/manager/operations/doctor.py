"""Tells what needs fixing at the stations, and the facts it is judged by."""

import asyncio
import socket
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from fleet.manager import report
from fleet.manager.conference import readers
from fleet.manager.fixes import crowd, ending, fixes, is_ip, open_page, whole
from fleet.manager.operations.desk import Desk
from fleet.operations.doctor import DoctorResult, StationFacts
from fleet.version import __version__

_NAMES: Final = 3.0
"""Seconds to resolve the names of the conference file."""


async def doctor(desk: Desk, caller: str, asked: Any) -> DoctorResult:  # noqa: ARG001
    """Every station."""
    known = report.stations(desk.ledger, desk.inventory)
    configs = {id_: entry.config.roles for id_ in desk.ledger if (entry := desk.ledger[id_]).config}
    hosts = readers.hosts(configs.values())
    facts = tuple(_facts(desk, station, hosts) for station in known)
    reached = (one.address or one.reached_as for one in facts)
    names = {name for name in reached if name and not is_ip(name)}
    resolved = dict(await asyncio.gather(*map(_resolve, sorted(names))))
    at = datetime.now(UTC)
    found = [*crowd(desk.inventory.turned_away), *open_page(desk.people.open_at)]
    found += whole(desk.report.whole())
    ends = {one.station: one.ends for one in desk.ledger.let_in.credentials.values()}
    found += (fix for one in facts for fix in ending(one, ends.get(one.id), at))
    together = len({frozenset(one.addresses) for one in facts if one.addresses}) == 1
    told = (fixes(one, __version__, at, resolved, together=together) for one in facts)
    found += chain.from_iterable(told)
    seen = await desk.report.look()
    not_well = sum(not one.status.well for one in seen.stations)
    return DoctorResult(desk.boot, __version__, at, facts, tuple(found), not_well)


async def _resolve(name: str) -> tuple[str, tuple[str, ...]]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_NAMES):
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return name, ()
    return name, tuple(sorted({str(address[0]) for *_, address in found}))


def _facts(desk: Desk, station: str, read: AbstractSet[str]) -> StationFacts:
    entry, heard = desk.ledger[station], desk.inventory.get(station)
    registration = heard.registration if heard else None
    deaf = heard is not None and heard.status is not None and heard.status.stops is None
    stops = desk.ledger.stops.of(station, datetime.now(UTC)) if deaf else ()
    hostnames: tuple[str, ...] = (registration.hostname,) if registration else ()
    by_name = f"{desk.name(station)}.local"
    return StationFacts(
        id=station,
        name=desk.name(station),
        room=entry.facts.room,
        presence=desk.inventory.presence(station),
        wanted=entry.config is not None,
        conflict=heard is not None and heard.conflict,
        hostnames=heard.hostnames if heard and heard.conflict else hostnames,
        agent=registration.agent if registration else None,
        address=entry.facts.address,
        addresses=registration.addresses if registration else (),
        said_at=heard.said_at if heard else None,
        clock_offset=heard.clock_offset if heard else None,
        left_out=desk.inventory.work.left_out.get(station, 0)
        + desk.ledger.history.left_out.get(station, 0)
        + desk.recordings.gathering.allowances.left_out.get(station, 0),
        not_kept=tuple(f"{one.role}/{one.instance}" for one in stops),
        reached_as=by_name if by_name in read and not entry.facts.address else None,
    )
