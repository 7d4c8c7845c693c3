"""Tells what the manager knows that may need fixing; judging it is the command's part."""

from datetime import UTC, datetime
from typing import Any

from fleet.manager import report
from fleet.manager.operations.desk import Desk
from fleet.operations import DoctorResult, StationFacts
from fleet.version import __version__


async def doctor(desk: Desk, caller: str, asked: Any) -> DoctorResult:  # noqa: ARG001
    """The facts about every station."""
    known = report.stations(desk.ledger, desk.inventory)
    facts = tuple(_facts(desk, station) for station in known)
    return DoctorResult(desk.boot, __version__, datetime.now(UTC), facts)


def _facts(desk: Desk, station: str) -> StationFacts:
    entry, heard = desk.ledger[station], desk.inventory.get(station)
    registration = heard.registration if heard else None
    said = (heard.presence, heard.status, heard.ack) if heard else ()
    hostnames: tuple[str, ...] = (registration.hostname,) if registration else ()
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
        said_at=max((one.at for one in said if one), default=None),
        clock_offset=heard.clock_offset if heard else None,
    )
