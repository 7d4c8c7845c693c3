"""What is wrong with a station or a room, and how much that matters while it is used so. Pure.

The kinds stand in the order in which they matter to the one question: is the right thing being
captured, with usable sound, saved, and leaving the building? How bad one is depends on the room:
outside talks silence is no alarm, and outside its hours nobody is sent anywhere. `health` asks
here, and nobody else.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from attrs import define, frozen

from fleet.manager.stations.instances import CRASH_LOOP_SECONDS
from fleet.manager.stations.state import BLANK, SLIDES, RoomUse, StationState, is_live
from fleet.model import InstanceStatus, PresenceState, Roles, State, counted
from fleet.operations import HealthFinding, HealthLevel, WaitingBox


class FindingKind(StrEnum):
    """What is wrong, what matters most first."""

    LOST = "Lost"
    OFFLINE = "Offline"
    MISSING = "Missing"
    REJECTED = "Rejected"
    RECORD = "Record"
    INGEST = "Ingest"
    SIGNAL = "Signal"
    SILENCE = "Silence"
    LOW = "Low"
    STREAM = "Stream"
    PRIVATE = "Private"
    BLANK = "Blank"
    SOURCE = "Source"
    MAINS = "Mains"
    DISK_FULL = "DiskFull"
    COPIES = "Copies"
    CONFLICT = "Conflict"
    LAGGING = "Lagging"
    SOUND = "Sound"
    CHANNEL = "Channel"
    ROLE = "Role"
    LOUD = "Loud"
    PICTURE = "Picture"
    METER = "Meter"
    DISK_FAILS = "DiskFails"
    DISK_USED = "DiskUsed"
    VOLTAGE = "Voltage"
    HOT = "Hot"
    THROTTLED = "Throttled"
    LOAD = "Load"
    LINK = "Link"
    RETRANSMITS = "Retransmits"
    CLOCK = "Clock"
    SCHEDULE = "Schedule"
    NOT_NOTIFIED = "NotNotified"
    CREDENTIAL = "CredentialEnds"
    CERTIFICATE = "CertificateEnds"
    WAITING = "BoxWaiting"
    UNWATCHED = "Unwatched"
    NOTICE = "Notice"
    UNKNOWN = "Unknown"

    @property
    def rank(self) -> int:
        """0 for what matters most."""
        return _RANKS[self]


ABSENT: Final = (
    FindingKind.LOST,
    FindingKind.OFFLINE,
    FindingKind.MISSING,
    FindingKind.UNKNOWN,
)
"""Kinds of a station that cannot be asked."""
_RANKS: Final = {kind: rank for rank, kind in enumerate(FindingKind)}

CRASH_LOOP: Final = 3
"""Crashes within five minutes that are a crash loop, as for the alerts."""
DISK_SECONDS: Final = 2 * 3600.0
DAY_SECONDS: Final = 12 * 3600.0
"""What a disk should last in the morning."""
WRITE_SECONDS: Final = 60.0
METER_SECONDS: Final = 30.0
BEHIND_SECONDS: Final = 15 * 60.0
"""So long after it was finished a recording is copied and verified."""
NO_COPY_SECONDS: Final = 3600.0
THUMBNAIL_SECONDS: Final = 30.0
"""A picture older than this is stale."""
CORE_SECONDS: Final = 30.0
"""Rooms lost within this have one cause."""
LOW_LUFS: Final = -48.0
QUIET_LUFS: Final = -30.0
LOUD_LUFS: Final = -14.0
DISK_USED: Final = 0.85
HOT_CELSIUS: Final = 75.0
MAINS_SECONDS: Final = 60.0
RETRANSMITS: Final = 0.01
RETRANSMIT_SECONDS: Final = 120.0
LINK_BYTES: Final = 125e6
CLOCK_SECONDS: Final = 0.2
LOAD_PER_CPU: Final = 2.0
SLOW_SECONDS: Final = 15.0
"""What a start, a stop or an answer may take."""
ENDS_SECONDS: Final = 14 * 86400.0
"""A credential or a certificate that ends within that time should have been renewed."""
_MACHINE_SECONDS: Final = 60.0
_SLUGGISH_SECONDS: Final = 300.0
"""What heat and clocks may take to settle."""

_COMMANDS: Final = {FindingKind.BLANK: "live", FindingKind.PRIVATE: "blank"}
"""What a mixer is to be told."""
_NOTES: Final[Mapping[str, tuple[FindingKind, str]]] = {
    "NoSignal": (FindingKind.SIGNAL, "no signal"),
    BLANK: (FindingKind.BLANK, "its stream is blank"),
    "SourceMissing": (FindingKind.SOURCE, "a source of the mixer is missing"),
    "NoPicture": (FindingKind.SIGNAL, "no picture"),
    "DeviceMissing": (FindingKind.SIGNAL, "device missing"),
    "DeviceBusy": (FindingKind.SIGNAL, "device busy"),
    "SourceUnreachable": (FindingKind.SIGNAL, "source unreachable"),
    "SourceRefused": (FindingKind.SIGNAL, "source refuses us"),
    "SourceUnreadable": (FindingKind.SIGNAL, "source unreadable"),
    "FileMissing": (FindingKind.SIGNAL, "file missing"),
    "NotPermitted": (FindingKind.SIGNAL, "not permitted"),
    "EncoderFallback": (FindingKind.ROLE, "encodes in software"),
    "Choppy": (FindingKind.PICTURE, "choppy"),
    "DiskMissing": (FindingKind.RECORD, "disk missing"),
    "DiskHangs": (FindingKind.RECORD, "disk hangs"),
    "OtherDisk": (FindingKind.RECORD, "other disk"),
    "ClockJumped": (FindingKind.NOTICE, "clock jumped"),
    "SourceChanged": (FindingKind.NOTICE, "source changed"),
    "RoleFileChanged": (FindingKind.NOTICE, "role file changed"),
    "NoSound": (FindingKind.SOUND, "no sound"),
    "ChannelSilent": (FindingKind.CHANNEL, "a sound channel is silent"),
    "DigitalSilence": (FindingKind.SILENCE, "digital silence"),
    "SoundLow": (FindingKind.LOW, "sound too low"),
    "SoundHigh": (FindingKind.LOUD, "sound too loud"),
    "PictureBlack": (FindingKind.PICTURE, "black picture"),
    "PictureFrozen": (FindingKind.PICTURE, "frozen picture"),
}
"""Reasons of instances that run; a `NOTICE` asks nobody to do anything."""


@frozen
class Suspicion:
    """A finding, if it lasts for so many seconds. `dated`: whether it matters since when."""

    finding: HealthFinding
    after: float = 0.0
    dated: bool = True


@define
class Judgement:
    """A moment at which is judged. `until`: to when, in Unix seconds, the same would be found."""

    at: datetime
    until: float = math.inf

    def is_past(self, moment: float) -> bool:
        """Whether a moment, in Unix seconds, is over; as long as it is not, that may change."""
        if self.at.timestamp() > moment:
            return True
        self.until = min(self.until, moment)
        return False


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
        text = f"the broker's certificate {_ending(left)}: renew it"
        kind, command = FindingKind.CERTIFICATE, "fleet-manager renew"
        detail = "on the server; the timer fleet-renew does it by itself, and did not"
        yield HealthFinding(kind, HealthLevel.LOOK, None, None, None, None, text, command, detail)


def waiting_finding(boxes: Sequence[WaitingBox]) -> Iterator[HealthFinding]:
    """That boxes wait to be let in."""
    if boxes:
        text = f"{counted(len(boxes), 'box waits', 'boxes wait')} to be let in"
        kind, command = FindingKind.WAITING, "fleet waiting"
        who = ", ".join(f"{one.hostname} ({one.code})" for one in boxes[:5])
        detail = f"{who}; let one in that you see: fleet approve CODE"
        since = boxes[0].since
        yield HealthFinding(
            kind, HealthLevel.UNKNOWN, None, None, None, None, text, command, detail, since
        )


def _ending(left: float) -> str:
    """`ends in 3 days`, `has ended`."""
    return f"ends in {counted(int(left // 86400), 'day')}" if left > 0 else "has ended"


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


def station_findings(station: StationState, use: RoomUse, judged: Judgement) -> Iterator[Suspicion]:
    """What is wrong with a station, what does not matter now (`FINE`) included."""
    if station.maintenance:
        return
    status = station.status
    if station.credential_ends is not None:
        ends = station.credential_ends
        if judged.is_past(ends.timestamp() - ENDS_SECONDS):
            text = f"its credential {_ending((ends - judged.at).total_seconds())}"
            level = HealthLevel.LOOK
            yield _of(station, FindingKind.CREDENTIAL, level, text, dated=False)
    away = HealthLevel.FINE
    if use.in_use:
        away = HealthLevel.GO if station.captures else HealthLevel.LOOK
    since = status.presence_since
    match status.presence:
        case PresenceState.LOST:
            detail = "power, network cable or a crash"
            yield _of(station, FindingKind.LOST, away, "lost", detail, since=since)
        case PresenceState.OFFLINE:
            level = away if station.captures else HealthLevel.FINE
            detail = "it said goodbye"
            yield _of(station, FindingKind.OFFLINE, level, "switched off", detail, since=since)
        case PresenceState.ONLINE:
            yield from _online(station, use, judged)
        case _ if station.missing and station.captures and use.in_use:
            text = station.missing
            yield _of(station, FindingKind.MISSING, HealthLevel.LOOK, text, dated=False)
        case _:
            text = "nothing is known"
            yield _of(station, FindingKind.UNKNOWN, HealthLevel.UNKNOWN, text, dated=False)


def _online(station: StationState, use: RoomUse, judged: Judgement) -> Iterator[Suspicion]:
    status = station.status
    if status.conflict:
        text = "two boxes use its id"
        yield _of(station, FindingKind.CONFLICT, HealthLevel.LOOK, text, status.note)
    if status.problems:
        running = all(
            one.state in (State.RUNNING, State.COMPLETED)
            for role in ("record", "ingest")
            for _, one in station.instances(role)
        )
        level = HealthLevel.LOOK if running else use.in_hours
        detail = "; ".join(problem.message for problem in status.problems)
        yield _of(station, FindingKind.REJECTED, level, "config rejected", detail)
    elif status.running != status.wanted and status.wanted is not None:
        text, level = "has not taken its config", HealthLevel.LOOK
        yield _of(station, FindingKind.LAGGING, level, text, after=SLOW_SECONDS)
    for role in station.wanted:
        for name, one in station.instances(role):
            yield from _instance(station, use, role, name, one, judged)
    yield from _machine(station, use)


def _instance(
    station: StationState,
    use: RoomUse,
    role: str,
    name: str,
    one: InstanceStatus,
    judged: Judgement,
) -> Iterator[Suspicion]:
    instance = f"{role}/{name}"

    def of(
        kind: FindingKind,
        level: HealthLevel,
        text: str,
        after: float = 0,
        since: datetime | None = None,
    ) -> Suspicion:
        return _of(station, kind, level, text, one.message, instance, since, after)

    kind, level = _does_not_run(role, use)
    times = station.crashes.get((role, name), 0)
    if times >= CRASH_LOOP and one.state not in (State.COMPLETED, State.STOPPED):
        # Between two crashes it runs, starts, waits: that is one trouble, not many.
        minutes = f"{CRASH_LOOP_SECONDS / 60:.0f} min"
        text = f"{instance} crash-looping, {times} restarts in {minutes}"
        yield _of(station, kind, level, text, one.message, instance, dated=False)
        if one.state is not State.RUNNING:
            return
    match one.state:
        case State.RUNNING | State.COMPLETED:
            if is_older(one, station.status.wanted):
                text = f"{instance} still runs as revision {one.revision} wants it"
                yield of(FindingKind.LAGGING, HealthLevel.LOOK, text, SLOW_SECONDS)
            if one.reason is not None:
                kind, text = _NOTES.get(one.reason, (FindingKind.ROLE, words(one.reason)))
                if role == "monitor" and kind is FindingKind.SOUND:
                    kind = FindingKind.SILENCE  # what it hears is what leaves the room
                after = 0.0
                if role == "sync":  # a link that is cut goes on by itself
                    kind, text, after = FindingKind.COPIES, f"copies: {text}", _MACHINE_SECONDS
                yield of(kind, noted(kind, station.shows_slides(role, name), use), text, after)
            yield from _figures(station, use, role, name, one, judged)
        case State.STARTING | State.STOPPING:
            yield of(kind, level, f"{instance} is {one.state}", SLOW_SECONDS)
        case State.STOPPED if station.status.problems:
            pass  # that it was rejected has been said
        case State.STOPPED:
            yield of(kind, level, f"{instance} does not run", SLOW_SECONDS)
        case state:
            text = words(one.reason) if one.reason else f"{instance} {state}"
            if role == "stream":
                text = f"stream down, {text}" if one.reason else "stream down"
            elif one.reason and role not in ("record", "ingest", "monitor"):
                text = f"{instance}: {text}"
            yield of(kind, level, text, since=one.since)


def is_older(one: InstanceStatus, wanted: int | None) -> bool:
    """Whether what an instance does is still about an earlier revision than the one wanted."""
    return one.revision is not None and wanted is not None and one.revision < wanted


def _does_not_run(role: str, use: RoomUse) -> tuple[FindingKind, HealthLevel]:
    match role:
        case "record":
            return FindingKind.RECORD, use.in_hours
        case "ingest":
            return FindingKind.INGEST, use.in_hours
        case "stream":
            return FindingKind.STREAM, HealthLevel.GO if use.talk else HealthLevel.LOOK
        case "sync":
            return FindingKind.COPIES, HealthLevel.LOOK
    return FindingKind.ROLE, HealthLevel.LOOK


def noted(kind: FindingKind, slides: bool, use: RoomUse) -> HealthLevel:
    """How bad it is what a running instance says of itself; `slides` may be silent."""
    in_talk = HealthLevel.LOOK if use.talk else HealthLevel.FINE
    match kind:
        case FindingKind.SIGNAL:
            return in_talk if slides else use.in_talk
        case FindingKind.SILENCE:
            return HealthLevel.GO if use.in_use and not slides else HealthLevel.FINE
        case FindingKind.LOW:
            return HealthLevel.GO if use.talk and not slides else HealthLevel.FINE
        case FindingKind.BLANK if use.must_be_blank:
            return HealthLevel.FINE
        case FindingKind.LOUD | FindingKind.PICTURE | FindingKind.CHANNEL | FindingKind.BLANK:
            return in_talk
        case FindingKind.SOURCE:
            return HealthLevel.LOOK if use.in_use else HealthLevel.FINE
        case FindingKind.SOUND:
            return HealthLevel.LOOK if use.in_use else HealthLevel.FINE
        case FindingKind.NOTICE:
            return HealthLevel.FINE
    return HealthLevel.LOOK


def _figures(
    station: StationState,
    use: RoomUse,
    role: str,
    name: str,
    one: InstanceStatus,
    judged: Judgement,
) -> Iterator[Suspicion]:
    """What a running instance does not say, but its figures do."""
    readings, instance = station.readings, f"{role}/{name}"
    if one.state is State.COMPLETED:
        return

    def silent(gauge: str, seconds: float) -> datetime | None:
        """Since when, where it is for longer than it may be."""
        moment = readings.moment(gauge, role, name)
        if moment is None or not judged.is_past(moment + seconds):
            return None
        return datetime.fromtimestamp(moment, UTC)

    match role:
        case "record":
            wrote = silent("fleet_recording_last_write_timestamp_seconds", WRITE_SECONDS)
            if wrote is not None:
                kind, level, text = FindingKind.RECORD, use.in_hours, "nothing written"
                yield _of(station, kind, level, text, None, instance, wrote)
        case "stream":
            if readings.value("fleet_stream_connected", role, name) == 0 and not one.reason:
                kind, level = _does_not_run(role, use)
                yield _of(station, kind, level, "stream down", None, instance)
        case "mix" if use.must_be_blank and is_live(role, station.wanted[role][name], one):
            kind, text = FindingKind.PRIVATE, "live, and the talk must not be streamed"
            yield _of(station, kind, HealthLevel.GO, text, None, instance, after=SLOW_SECONDS)
        case "mix" if one.reason == BLANK:  # which is said first
            absent = readings.values("fleet_mix_source_present", role, name)
            if missing := [labels.get("source", "") for labels, there in absent if not there]:
                kind, text = FindingKind.SOURCE, f"{', '.join(missing)} is missing in the mix"
                yield _of(station, kind, noted(kind, False, use), text, None, instance)
        case "sync":
            oldest = silent("fleet_sync_oldest_unverified_timestamp_seconds", BEHIND_SECONDS)
            if oldest is None:
                return
            verified = readings.moment("fleet_sync_last_verified_timestamp_seconds", role, name)
            last = max(oldest.timestamp(), verified or 0.0)
            level = use.in_hours if judged.is_past(last + NO_COPY_SECONDS) else HealthLevel.LOOK
            text = f"copies {(judged.at - oldest).total_seconds() / 60:.0f} min behind"
            detail = (
                one.message or f"what waits: fleet call {station.name} sync list verified=false"
            )
            yield _of(
                station, FindingKind.COPIES, level, text, detail, instance, oldest, dated=False
            )
        case "monitor":
            looked = silent("fleet_monitor_last_update_timestamp_seconds", METER_SECONDS)
            if looked is not None and not one.reason:
                level = HealthLevel.LOOK if use.in_use else HealthLevel.FINE
                text = "is not metering"
                yield _of(station, FindingKind.METER, level, text, None, instance, looked)


def _machine(station: StationState, use: RoomUse) -> Iterator[Suspicion]:
    readings = station.readings

    def of(
        kind: FindingKind, text: str, after: float = _MACHINE_SECONDS, dated: bool = True
    ) -> Suspicion:
        return _of(station, kind, HealthLevel.LOOK, text, after=after, dated=dated)

    if readings.value("fleet_station_mains") == 0:
        charge = readings.value("fleet_station_battery_charge_ratio")
        text = "runs on battery" + ("" if charge is None else f", {charge:.0%} left")
        yield _of(station, FindingKind.MAINS, use.in_hours, text, after=MAINS_SECONDS)
    left = station.disk_seconds
    if left is not None and left < DISK_SECONDS:
        text = f"disk full in {left / 60:.0f} min"
        yield _of(station, FindingKind.DISK_FULL, use.in_hours, text, dated=False)
    free = readings.value("fleet_station_disk_free_bytes")
    total = readings.value("fleet_station_disk_total_bytes")
    if free is not None and total and 1 - free / total > DISK_USED:
        yield of(FindingKind.DISK_USED, f"disk {1 - free / total:.0%} full", 0, dated=False)
    hot = max((it for _, it in readings.values("fleet_station_temperature_celsius")), default=0)
    if hot > HOT_CELSIUS:
        yield of(FindingKind.HOT, "too hot", _SLUGGISH_SECONDS)
    if readings.value("fleet_station_throttled") == 1:
        yield of(FindingKind.THROTTLED, "slowed down by heat")
    if readings.value("fleet_station_undervoltage") == 1:
        yield of(FindingKind.VOLTAGE, "power supply too weak")
    disks = readings.values("fleet_station_disk_healthy")
    failing = sorted(labels.get("device", "") for labels, healthy in disks if healthy == 0)
    if failing:
        text = f"{' and '.join(failing)} says of itself that it fails"
        yield of(FindingKind.DISK_FAILS, text, 0)
    load, cpus = readings.value("fleet_station_load5"), readings.value("fleet_station_cpus")
    if load is not None and cpus and load / cpus >= LOAD_PER_CPU:
        yield of(FindingKind.LOAD, "overloaded")
    speeds = [it for _, it in readings.values("fleet_station_link_bytes_per_second")]
    duplex = [it for _, it in readings.values("fleet_station_link_full_duplex")]
    if any(speed < LINK_BYTES for speed in speeds) or 0 in duplex:
        yield of(FindingKind.LINK, "slow network link")
    share = readings.value("fleet_station_tcp_retransmit_ratio")
    if share is not None and share > RETRANSMITS:
        text = f"{share:.0%} of what it sends is lost on the way"
        yield of(FindingKind.RETRANSMITS, text, RETRANSMIT_SECONDS)
    offset = readings.value("fleet_station_clock_offset_seconds")
    if offset is not None and abs(offset) > CLOCK_SECONDS:
        yield of(FindingKind.CLOCK, f"clock off by {abs(offset):.1f} s", _SLUGGISH_SECONDS)


def _of(
    station: StationState,
    kind: FindingKind,
    level: HealthLevel,
    text: str,
    detail: str | None = None,
    instance: str | None = None,
    since: datetime | None = None,
    after: float = 0.0,
    dated: bool = True,
) -> Suspicion:
    name, room = station.name, station.status.room
    command = f"fleet logs {name} {instance}" if instance else f"fleet status {name}"
    if kind is FindingKind.CREDENTIAL:
        command = f"fleet rotate {name}"
    if kind in _COMMANDS and room:
        command = f"fleet {_COMMANDS[kind]} {room}"
    finding = HealthFinding(
        kind.value, level, room, name, instance, station.where, text, command, detail, since
    )
    return Suspicion(finding, after, dated)


def words(reason: str) -> str:
    """What people read in place of a code.

    >>> words("TargetUnreachable")
    'target unreachable'
    """
    if reason in _NOTES:
        return _NOTES[reason][1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", reason).lower()
