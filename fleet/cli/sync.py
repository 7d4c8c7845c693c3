"""Picks stations and says in a line where they stand; what the manager judged is shown as it is."""

import difflib
from collections.abc import Iterable, Sequence

from fleet.cli.typed import instead
from fleet.model import meant_station_id
from fleet.operations.health import Standing
from fleet.operations.stations import StationStatus


def wanted(stations: Iterable[StationStatus]) -> tuple[StationStatus, ...]:
    """The stations something is wanted of."""
    return tuple(one for one in stations if one.wanted is not None)


def standing_text(station: StationStatus) -> str:
    """`hall1-cam: record/main is failed (DiskFull: no room)`."""
    why = station.why or station.standing.value
    if station.standing is Standing.REJECTED:
        why = f"rejected revision {station.wanted}: {why}"
    return f"{station.name}: {why}"


def matching(stations: Sequence[StationStatus], name: str) -> tuple[StationStatus, ...]:
    """The stations in the room called `name`, or with this name or id."""
    return tuple(one for one in stations if name in (one.room, one.name, one.id))


def near(given: str, names: Sequence[str], ids: Sequence[str]) -> str:
    """What was meant by `given`, which is nothing that is known, or where to look."""
    meant = meant_station_id(given)
    found = [meant] if meant in ids else difflib.get_close_matches(given, names, n=1)
    return f"did you mean {found[0]}?" if found else f"{instead('status')} shows all there are"


def worst_first(stations: Iterable[StationStatus]) -> tuple[StationStatus, ...]:
    """Those that need somebody most first, otherwise as they came: by room and name."""
    return tuple(sorted(stations, key=lambda one: (one.well, -_need(one))))


def _need(station: StationStatus) -> int:
    return max((one.level.rank for one in station.findings), default=0)
