"""What is wrong with one station, and how much that matters while its room is as it is. Pure.

The kinds stand in the order in which they matter to the one question: is the right thing being
captured, with usable sound, saved, and leaving the building? How bad one is depends on the room:
outside talks silence is no alarm, and outside its hours nobody is sent anywhere.
"""

import re
from collections.abc import Iterator, Mapping
from enum import IntEnum, auto
from typing import Final

from attrs import frozen

from fleet.manager.web.page.restarts import CRASH_LOOP, WINDOW_SECONDS
from fleet.manager.web.page.seen import Level, Seen, Use
from fleet.model import InstanceStatus, PresenceState, State


class Kind(IntEnum):
    """What is wrong, what matters most first."""

    LOST = auto()
    OFFLINE = auto()
    MISSING = auto()
    REJECTED = auto()
    RECORD = auto()
    INGEST = auto()
    SIGNAL = auto()
    SILENCE = auto()
    LOW = auto()
    STREAM = auto()
    DISK_FULL = auto()
    CONFLICT = auto()
    LAGGING = auto()
    SOUND = auto()
    ROLE = auto()
    LOUD = auto()
    PICTURE = auto()
    METER = auto()
    MACHINE = auto()
    UNKNOWN = auto()


@frozen
class Trouble:
    """One thing wrong with one station."""

    kind: Kind
    level: Level
    station: str
    where: str | None
    what: str
    """A few words, to be followed by `since 10:12`."""
    command: str
    """What to type."""
    instance: str = ""
    """`record/main`, empty where it is the whole station."""
    detail: str | None = None
    """The station's own sentence."""
    since: float | None = None
    """When it began, as far as the station said, in Unix seconds."""
    after: float = 0.0
    """How many seconds it has to last before it counts."""
    dated: bool = True
    """Whether it matters since when."""


DISK_SECONDS: Final = 2 * 3600.0
WRITE_SECONDS: Final = 60.0
METER_SECONDS: Final = 30.0
_DISK_USED: Final = 0.85
_HOT_CELSIUS: Final = 75.0
_LINK_BYTES: Final = 125e6
_CLOCK_SECONDS: Final = 0.2
_SLOW: Final = 15.0
"""Seconds a start, a stop or an answer may take."""

_NOTES: Final[Mapping[str, tuple[Kind, str]]] = {
    "NoSignal": (Kind.SIGNAL, "no signal"),
    "NoPicture": (Kind.SIGNAL, "no picture"),
    "DeviceMissing": (Kind.SIGNAL, "device missing"),
    "NoSound": (Kind.SOUND, "no sound"),
    "DigitalSilence": (Kind.SILENCE, "digital silence"),
    "SoundLow": (Kind.LOW, "sound too low"),
    "SoundHigh": (Kind.LOUD, "sound too loud"),
    "PictureBlack": (Kind.PICTURE, "black picture"),
    "PictureFrozen": (Kind.PICTURE, "frozen picture"),
}
"""Reasons of instances that run."""


def find(seen: Seen, use: Use, now: float) -> list[Trouble]:
    """All that matters now, the worst first; `now` in Unix seconds."""
    if seen.maintenance:
        return []
    found = (one for one in _find(seen, use, now) if one.level is not Level.FINE)
    return sorted(found, key=lambda one: (-one.level, one.kind))


def _find(seen: Seen, use: Use, now: float) -> Iterator[Trouble]:
    away = Level.FINE if not use.in_use else Level.GO if seen.captures else Level.LOOK
    match seen.status.presence:
        case PresenceState.LOST:
            yield _of(seen, Kind.LOST, away, "lost", "power, network cable or a crash")
        case PresenceState.OFFLINE:
            level = away if seen.captures else Level.FINE
            yield _of(seen, Kind.OFFLINE, level, "switched off", "it said goodbye")
        case PresenceState.ONLINE:
            yield from _online(seen, use, now)
        case _ if not seen.heard_of and seen.captures and use.in_use:
            yield _of(seen, Kind.MISSING, Level.LOOK, "never heard of", dated=False)
        case _:
            yield _of(seen, Kind.UNKNOWN, Level.UNKNOWN, "nothing is known", dated=False)


def _online(seen: Seen, use: Use, now: float) -> Iterator[Trouble]:
    status = seen.status
    if seen.conflict:
        yield _of(seen, Kind.CONFLICT, Level.LOOK, "two boxes use its id", status.note)
    if status.problems:
        running = all(
            one.state in (State.RUNNING, State.COMPLETED)
            for role in ("record", "ingest")
            for _, one in seen.instances(role)
        )
        level = Level.LOOK if running else use.in_hours
        detail = "; ".join(problem.message for problem in status.problems)
        yield _of(seen, Kind.REJECTED, level, "config rejected", detail)
    elif status.running != status.wanted and status.wanted is not None:
        what = "has not taken its config"
        yield _of(seen, Kind.LAGGING, Level.LOOK, what, after=_SLOW)
    for role in seen.wanted:
        for name, one in seen.instances(role):
            yield from _instance(seen, use, role, name, one, now)
    yield from _machine(seen, use)


def _instance(
    seen: Seen, use: Use, role: str, name: str, one: InstanceStatus, now: float
) -> Iterator[Trouble]:
    def of(
        kind: Kind, level: Level, what: str, after: float = 0, since: float | None = None
    ) -> Trouble:
        return _of(seen, kind, level, what, one.message, f"{role}/{name}", since, after)

    kind, level = _does_not_run(role, use)
    times = seen.restarts.get((role, name), 0)
    if times >= CRASH_LOOP and one.state not in (State.COMPLETED, State.STOPPED):
        # Between two crashes it runs, starts, waits: that is one trouble, not many.
        instance = f"{role}/{name}"
        what = f"{instance} crash-looping, {times} restarts in {WINDOW_SECONDS / 60:.0f} min"
        yield _of(seen, kind, level, what, one.message, instance, dated=False)
        if one.state is not State.RUNNING:
            return
    match one.state:
        case State.RUNNING | State.COMPLETED:
            if one.reason is not None:
                kind, what = _NOTES.get(one.reason, (Kind.ROLE, _words(one.reason)))
                slides = seen.shows_slides(role, name)
                yield of(kind, noted(kind, slides, use), what)
            yield from _figures(seen, use, role, name, one, now)
        case State.STARTING | State.STOPPING:
            yield of(kind, level, f"{role}/{name} is {one.state}", _SLOW)
        case State.STOPPED if seen.status.problems:
            pass  # that it was rejected has been said
        case State.STOPPED:
            yield of(kind, level, f"{role}/{name} does not run", _SLOW)
        case state:
            what = _words(one.reason) if one.reason else f"{role}/{name} {state}"
            if role == "stream":
                what = f"stream down, {what}" if one.reason else "stream down"
            elif one.reason and role not in ("record", "ingest", "monitor"):
                what = f"{role}/{name}: {what}"
            yield of(kind, level, what, since=one.since.timestamp())


def _does_not_run(role: str, use: Use) -> tuple[Kind, Level]:
    match role:
        case "record":
            return Kind.RECORD, use.in_hours
        case "ingest":
            return Kind.INGEST, use.in_hours
        case "stream":
            return Kind.STREAM, max(use.in_talk, Level.LOOK)
    return Kind.ROLE, Level.LOOK


def noted(kind: Kind, slides: bool, use: Use) -> Level:
    """How bad it is what a running instance says of itself; `slides` may be silent."""
    in_talk = Level.LOOK if use.talk else Level.FINE
    match kind:
        case Kind.SIGNAL:
            return in_talk if slides else use.in_talk
        case Kind.SILENCE:
            return Level.GO if use.in_use and not slides else Level.FINE
        case Kind.LOW:
            return Level.GO if use.talk and not slides else Level.FINE
        case Kind.LOUD | Kind.PICTURE:
            return in_talk
        case Kind.SOUND:
            return Level.LOOK if use.in_use else Level.FINE
    return Level.LOOK


def _figures(
    seen: Seen, use: Use, role: str, name: str, one: InstanceStatus, now: float
) -> Iterator[Trouble]:
    """What a running instance does not say, but its figures do."""
    readings, instance = seen.readings, f"{role}/{name}"
    if one.state is State.COMPLETED:
        return
    match role:
        case "record":
            wrote = readings.moment("fleet_recording_last_write_timestamp_seconds", role, name)
            if wrote is not None and now - wrote > WRITE_SECONDS:
                yield _of(seen, Kind.RECORD, use.in_hours, "nothing written", None, instance, wrote)
        case "stream":
            if readings.value("fleet_stream_connected", role, name) == 0 and not one.reason:
                _, level = _does_not_run(role, use)
                yield _of(seen, Kind.STREAM, level, "stream down", None, instance)
        case "monitor":
            looked = readings.moment("fleet_monitor_last_update_timestamp_seconds", role, name)
            if looked is not None and now - looked > METER_SECONDS and not one.reason:
                level = Level.LOOK if use.in_use else Level.FINE
                yield _of(seen, Kind.METER, level, "is not metering", None, instance, looked)


def _machine(seen: Seen, use: Use) -> Iterator[Trouble]:
    readings = seen.readings

    def of(what: str, after: float = 60.0, dated: bool = True) -> Trouble:
        return _of(seen, Kind.MACHINE, Level.LOOK, what, after=after, dated=dated)

    left = seen.disk_seconds
    if left is not None and left < DISK_SECONDS:
        what = f"disk full in {left / 60:.0f} min"
        yield _of(seen, Kind.DISK_FULL, use.in_hours, what, dated=False)
    free = readings.value("fleet_station_disk_free_bytes")
    total = readings.value("fleet_station_disk_total_bytes")
    if free is not None and total and 1 - free / total > _DISK_USED:
        yield of(f"disk {1 - free / total:.0%} full", 0, dated=False)
    hot = max((it for _, it in readings.values("fleet_station_temperature_celsius")), default=0)
    if hot > _HOT_CELSIUS:
        yield of("too hot", 300)
    load, cpus = readings.value("fleet_station_load5"), readings.value("fleet_station_cpus")
    if load is not None and cpus and load / cpus >= 2:
        yield of("overloaded")
    speeds = [it for _, it in readings.values("fleet_station_link_bytes_per_second")]
    duplex = [it for _, it in readings.values("fleet_station_link_full_duplex")]
    if any(speed < _LINK_BYTES for speed in speeds) or 0 in duplex:
        yield of("slow network link")
    offset = readings.value("fleet_station_clock_offset_seconds")
    if offset is not None and abs(offset) > _CLOCK_SECONDS:
        yield of(f"clock off by {abs(offset):.1f} s", 300)


def _of(
    seen: Seen,
    kind: Kind,
    level: Level,
    what: str,
    detail: str | None = None,
    instance: str = "",
    since: float | None = None,
    after: float = 0.0,
    dated: bool = True,
) -> Trouble:
    name = seen.name
    command = f"fleet logs {name} {instance}" if instance else f"fleet status {name}"
    return Trouble(
        kind, level, name, seen.where, what, command, instance, detail, since, after, dated
    )


def _words(reason: str) -> str:
    """What people read in place of a code.

    >>> _words("TargetUnreachable")
    'target unreachable'
    """
    if reason in _NOTES:
        return _NOTES[reason][1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", reason).lower()
