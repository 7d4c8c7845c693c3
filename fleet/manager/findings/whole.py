"""What is wrong with a room as a whole, or with what belongs to no room. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from fleet.manager.findings import ENDS_SECONDS, ONE_DAY, FindingKind, Suspicion
from fleet.manager.stations.state import SLIDES, RoomUse, StationState
from fleet.model import Roles, counted
from fleet.operations.health import HealthFinding, HealthLevel
from fleet.operations.joining import WaitingBox


def room_findings(room: str, stations: Sequence[StationState], use: RoomUse) -> Iterator[Suspicion]:
    """What is wrong with a room as a whole."""
    if room and use.unscheduled:
        text = "the schedule does not know this room"
        detail = "name it as the schedule does: schedule = [...] of the room in the conference file"
        kind, level, command = FindingKind.SCHEDULE, HealthLevel.UNKNOWN, "fleet schedule"
        finding = HealthFinding(kind, level, room, None, None, None, text, command, detail)
        yield Suspicion(finding, dated=False)
    of = ((one.seat, one.wanted) for one in stations if not one.maintenance)
    deaf = any(stop.role == "monitor" for one in stations for stop in one.status.stops)
    if room and use.in_use and not deaf and sound_watched(of) is False:
        text = "sound not watched"
        command = "fleet plan FILE"
        detail = "no monitor is wanted in this room: silence and a black picture go unnoticed"
        kind, level = FindingKind.UNWATCHED, HealthLevel.UNKNOWN
        finding = HealthFinding(kind, level, room, None, None, None, text, command, detail)
        yield Suspicion(finding, dated=False)


def sound_watched(stations: Iterable[tuple[str | None, Roles]]) -> bool | None:
    """Whether a monitor is to hear the room of these, each by seat and roles wanted.

    None where there is nothing to be heard; slides may be silent.
    """
    heard = watched = False
    for seat, wanted in stations:
        if seat != SLIDES:
            heard |= any(wanted.get(role) for role in ("record", "ingest", "stream"))
            monitors = wanted.get("monitor", {}).values()
            watched |= any(settings.get("kind") != SLIDES for settings in monitors)
    return watched if heard else None


def schedule_finding(place: str, trouble: str, since: datetime | None) -> HealthFinding:
    """That the schedule published at `place` cannot be used; talks go by the last good one."""
    text = "the schedule cannot be used, the last good one holds"
    kind, command = FindingKind.SCHEDULE, "fleet schedule"
    detail = f"{place}: {trouble}"
    return HealthFinding(
        kind, HealthLevel.LOOK, None, None, None, None, text, command, detail, since
    )


def certificate_finding(ends: datetime, now: datetime) -> Iterator[HealthFinding]:
    """That the broker's certificate ends soon, if it does: then nobody gets in any more."""
    left = (ends - now).total_seconds()
    if left < ENDS_SECONDS:
        text = f"the broker's certificate {when_it_ends(left)}: renew it"
        kind, command = FindingKind.CERTIFICATE, "fleet-manager renew"
        detail = "on the server; the timer fleet-renew should have done so"
        yield HealthFinding(kind, HealthLevel.LOOK, None, None, None, None, text, command, detail)


def older_finding(why: str | None, since: datetime | None) -> Iterator[HealthFinding]:
    """That the store is known for an older copy; `why`: None where it is not."""
    if why:
        kind, command = FindingKind.PUT_BACK, "fleet apply FILE"
        detail = "what runs is kept; what else was done since the copy was made is to be done again"
        yield HealthFinding(
            kind, HealthLevel.LOOK, None, None, None, None, why, command, detail, since
        )


def waiting_finding(boxes: Sequence[WaitingBox]) -> Iterator[HealthFinding]:
    """That boxes wait to be let in."""
    if boxes:
        text = f"{counted(len(boxes), 'box waits', 'boxes wait')} to be let in"
        kind, command = FindingKind.WAITING, "fleet waiting"
        who = ", ".join(f"{one.hostname} ({one.code})" for one in boxes[:5])
        detail = f"{who}; let in only a box whose code you see: fleet approve CODE"
        since = boxes[0].since
        yield HealthFinding(
            kind, HealthLevel.UNKNOWN, None, None, None, None, text, command, detail, since
        )


def when_it_ends(left: float) -> str:
    """What is true of what ends in so many seconds: `ends in 3 days`, `has ended`."""
    return f"ends in {counted(int(left // ONE_DAY), 'day')}" if left > 0 else "has ended"
