"""Picks stations and says in a line where they stand; what the manager judged is shown as it is."""

from collections.abc import Iterable, Sequence

from fleet.operations import Standing, StationStatus


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


def worst_first(stations: Iterable[StationStatus]) -> tuple[StationStatus, ...]:
    """Those that need somebody first, otherwise as they came: by room and name."""
    return tuple(sorted(stations, key=lambda one: one.well))
