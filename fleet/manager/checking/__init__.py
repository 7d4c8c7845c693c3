"""Judges what a look at every station found, beside what is known of it anyway. Pure.

`looks` has what is looked at. What the judge of health found belongs to the look of its kind, and
is not told twice.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from fleet.manager.checking.looks import AWAY, LOOKS, Around, Seen
from fleet.manager.findings import FindingKind
from fleet.manager.stations.state import StationState
from fleet.operations.check import CheckLook, CheckTrouble
from fleet.operations.health import HealthFinding, HealthLevel

_LOOK_OF: Final[Mapping[FindingKind, str]] = {
    **dict.fromkeys((FindingKind.LOST, FindingKind.OFFLINE, FindingKind.MISSING), "online"),
    FindingKind.UNKNOWN: "online",
    **dict.fromkeys((FindingKind.REJECTED, FindingKind.LAGGING), "in sync"),
    **dict.fromkeys((FindingKind.SIGNAL, FindingKind.INGEST), "signal and format"),
    FindingKind.PICTURE: "signal and format",
    **dict.fromkeys((FindingKind.SILENCE, FindingKind.LOW), "sound on every track"),
    **dict.fromkeys((FindingKind.LOUD, FindingKind.METER), "sound on every track"),
    **dict.fromkeys((FindingKind.SOUND, FindingKind.CHANNEL), "sound on every track"),
    FindingKind.RECORD: "recording",
    FindingKind.STREAM: "stream",
    FindingKind.DISK_FULL: "disk for the day",
    FindingKind.CLOCK: "clock",
    **dict.fromkeys((FindingKind.BLANK, FindingKind.SOURCE), "mixer"),
    FindingKind.COPIES: "copies",
}
_LOOK_OF_ROLE: Final = {"stream": "stream", "mix": "mixer", "sync": "copies"}
"""Of whatever else is found of their instances."""


def judged(
    around: Around, of_rooms: Mapping[str, Sequence[HealthFinding]]
) -> tuple[tuple[CheckTrouble, ...], tuple[CheckLook, ...]]:
    """All that is wrong, the worst first, and how each look went.

    `of_rooms`: what is wrong with rooms as a whole.
    """
    troubles: list[CheckTrouble] = []
    looks: list[CheckLook] = []
    for name, look in LOOKS.items():
        well, of = 0, 0
        notes: list[str] = []
        for one in around.stations:
            known = [it for it in one.state.status.findings if _look_of(it) == name]
            troubles += (_known(it, name) for it in known)
            told = {it.instance for it in known}
            sights = [*look(one, around)] if one.online or name == AWAY else []
            fresh = [it for it in sights if it.instance not in told and not it.told]
            troubles += (_trouble(one.state, name, it) for it in fresh if it.text is not None)
            fine = [it for it in fresh if it.text is None]
            notes += (it.note for it in fine if it.note)
            # What was found is not well, though whoever looks cannot see it from there.
            unseen = len(told - {it.instance for it in sights})
            well += max(0, len(fine) - unseen)
            of += len(sights) or unseen
        looks.append(CheckLook(name, well, of, _noted(name, notes)))
    for found in of_rooms.values():
        troubles += (_known(it, _look_of(it)) for it in found)
    return tuple(sorted(troubles, key=_severity)), tuple(looks)


def is_mere_note(trouble: CheckTrouble) -> bool:
    """Whether nothing is known to be wrong, as with a room that no monitor watches all day."""
    return trouble.station is None and trouble.level is HealthLevel.UNKNOWN


def _look_of(finding: HealthFinding) -> str:
    role = (finding.instance or "").partition("/")[0]
    return _LOOK_OF.get(FindingKind(finding.kind)) or _LOOK_OF_ROLE.get(role, "health")


def _known(finding: HealthFinding, look: str) -> CheckTrouble:
    one = finding
    text = f"{one.text}: {one.detail}" if one.detail else one.text
    return CheckTrouble(look, one.level, one.room, one.station, one.where, text, one.command)


def _trouble(state: StationState, look: str, seen: Seen) -> CheckTrouble:
    command = f"fleet status {state.name}"
    if seen.instance is not None:
        command = f"fleet logs {state.name} {seen.instance}"
    room, text = state.status.room, seen.text or ""
    return CheckTrouble(look, seen.level, room, state.name, state.where, text, command)


def _severity(one: CheckTrouble) -> tuple[int, int]:
    return -one.level.rank, list(LOOKS).index(one.look)


def _noted(name: str, notes: Sequence[str]) -> str | None:
    if not notes:
        return None
    if name == "disk for the day":
        return f"{min(notes, key=lambda note: int(note.split()[0]))} at least"
    return ", ".join(notes)
