"""What is left out of a status on a terminal, so that what needs somebody stays in view. Pure.

Many stations that are the same are one line; those that are well are one only where there is no
place for them. A pipe gets all of them.
"""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from fleet.cli.view import clean, rooms, summary
from fleet.model import PresenceState, counted, natural
from fleet.operations.stations import StationStatus, StatusResult

MANY: Final = 4
"""Stations of one kind from which on they are one line, and how many of it are named."""


@frozen
class FoldedStatus:
    """`stations` have lines of their own; `lines` tell of the others."""

    stations: tuple[StationStatus, ...]
    lines: tuple[str, ...] = ()


def fold(stations: Sequence[StationStatus]) -> FoldedStatus:
    """Fold those that were never heard from, and those that are away, where they are many."""
    rest, lines = list(stations), []
    pending = [one for one in rest if _is_pending(one)]
    kinds = {"never heard yet": pending}
    for away in (PresenceState.LOST, PresenceState.OFFLINE, PresenceState.UNKNOWN):
        same = [one for one in rest if one.presence is away and one not in pending]
        kinds[away.value] = [one for one in same if not one.conflict]
    for word, same in kinds.items():
        if len(same) >= MANY:
            rest = [one for one in rest if one not in same]
            lines.append(f"{len(same)} stations {word}: {_named(same)}")
    return FoldedStatus(tuple(rest), tuple(lines))


def fold_well(folded: FoldedStatus) -> FoldedStatus:
    """Fold also all that are well, but where somebody has stopped something."""
    well = [one for one in folded.stations if one.well and not one.stops]
    if len(well) < 2:
        return folded
    rest = tuple(one for one in folded.stations if one not in well)
    return FoldedStatus(rest, (*folded.lines, f"{len(well)} stations are well: {_named(well)}"))


def fold_rooms(found: StatusResult, most: int) -> tuple[str, ...]:
    """A line a room, or, where that is more than `most`, a line for all that are alike."""
    lines = rooms(found)
    if len(lines) <= most:
        return lines
    there: dict[str, list[StationStatus]] = {}
    for one in found.stations:
        there.setdefault(clean(one.room or "-"), []).append(one)
    noted = {clean(one.name) for one in found.rooms}
    well = [it for it in there if it not in noted and all(one.well for one in there[it])]
    ill = sorted(set(there) - set(well), key=natural)
    told = [f"{room} {_share(there[room])}" for room in ill]
    return tuple(
        line
        for line in (
            f"{counted(len(ill), 'room')} not well: {', '.join(told)}" if ill else "",
            f"{counted(len(well), 'room')} well: {', '.join(sorted(well, key=natural))}"
            if well
            else "",
        )
        if line
    )


def _share(stations: Sequence[StationStatus]) -> str:
    ill = sum(not one.well for one in stations)
    return f"{ill}/{len(stations)}" if ill else f"({summary(stations)})"


def worst(stations: Sequence[StationStatus]) -> str | None:
    """What the first of them, the worst, needs somebody for; None where nothing does."""
    if not stations or stations[0].well:
        return None
    one = stations[0]
    said = one.findings[0].text if one.findings else one.why or one.standing.value
    return clean(f"{one.name}: {said}")


def _is_pending(one: StationStatus) -> bool:
    away = one.presence is not PresenceState.ONLINE
    return one.running is None and away and not one.conflict


def named(names: Sequence[str]) -> str:
    """`hall1-cam, hall1-mix, hall2-cam, hall2-mix and 32 more`."""
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return clean(", ".join(names[:MANY]) + more)


def _named(stations: Sequence[StationStatus]) -> str:
    return named([one.name for one in stations])
