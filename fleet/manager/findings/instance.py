"""What is wrong with what a station runs: by what it says, and by its figures. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from fleet.manager.findings import (
    BEHIND_SECONDS,
    CRASH_LOOP,
    MACHINE_SECONDS,
    METER_SECONDS,
    NO_COPY_SECONDS,
    NOTES,
    SLOW_SECONDS,
    WRITE_SECONDS,
    FindingKind,
    Judgement,
    Suspicion,
    suspect,
    words,
)
from fleet.manager.stations.instances import CRASH_LOOP_SECONDS
from fleet.manager.stations.state import BLANK, RoomUse, StationState, is_live
from fleet.model import InstanceStatus, State
from fleet.operations.health import HealthLevel


def instance_findings(
    station: StationState,
    use: RoomUse,
    role: str,
    name: str,
    one: InstanceStatus,
    judged: Judgement,
) -> Iterator[Suspicion]:
    """What it says of itself, what does not matter now (`FINE`) included, and what it does not."""
    instance = f"{role}/{name}"

    def of(
        kind: FindingKind,
        level: HealthLevel,
        text: str,
        after: float = 0,
        since: datetime | None = None,
    ) -> Suspicion:
        return suspect(station, kind, level, text, one.message, instance, since, after)

    kind, level = _does_not_run(role, use)
    times = station.crashes.get((role, name), 0)
    if times >= CRASH_LOOP and one.state not in (State.COMPLETED, State.STOPPED):
        # Between two crashes it runs, starts, waits: that is one trouble, not many.
        minutes = f"{CRASH_LOOP_SECONDS / 60:.0f} min"
        text = f"{instance} crash-looping, {times} restarts in {minutes}"
        yield suspect(station, kind, level, text, one.message, instance, dated=False)
        if one.state is not State.RUNNING:
            return
    match one.state:
        case State.RUNNING | State.COMPLETED:
            if is_older(one, station.status.wanted):
                text = f"{instance} still runs as revision {one.revision} wants it"
                yield of(FindingKind.LAGGING, HealthLevel.LOOK, text, SLOW_SECONDS)
            if one.reason is not None:
                kind, text = NOTES.get(one.reason, (FindingKind.ROLE, words(one.reason)))
                if role == "monitor" and kind is FindingKind.SOUND:
                    kind = FindingKind.SILENCE  # what it hears is what leaves the room
                after = 0.0
                if role == "sync":  # a link that is cut goes on by itself
                    kind, text, after = FindingKind.COPIES, f"copies: {text}", MACHINE_SECONDS
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
                yield suspect(station, kind, level, text, None, instance, wrote)
        case "stream":
            if readings.value("fleet_stream_connected", role, name) == 0 and not one.reason:
                kind, level = _does_not_run(role, use)
                yield suspect(station, kind, level, "stream down", None, instance)
        case "mix" if use.must_be_blank and is_live(role, station.wanted[role][name], one):
            kind, text = FindingKind.PRIVATE, "live, and the talk must not be streamed"
            yield suspect(station, kind, HealthLevel.GO, text, None, instance, after=SLOW_SECONDS)
        case "mix" if one.reason == BLANK:  # which is said first
            absent = readings.values("fleet_mix_source_present", role, name)
            if missing := [one.labels.get("source", "") for one in absent if not one.value]:
                kind, text = FindingKind.SOURCE, f"{', '.join(missing)} is missing in the mix"
                yield suspect(station, kind, noted(kind, False, use), text, None, instance)
        case "sync":
            oldest = silent("fleet_sync_oldest_unverified_timestamp_seconds", BEHIND_SECONDS)
            if oldest is None:
                return
            verified = readings.moment("fleet_sync_last_verified_timestamp_seconds", role, name)
            last = max(oldest.timestamp(), verified or 0.0)
            level = use.in_hours if judged.is_past(last + NO_COPY_SECONDS) else HealthLevel.LOOK
            text = f"copies {(judged.at - oldest).total_seconds() / 60:.0f} min behind"
            judged.holds(judged.at.timestamp())  # a minute later it is another one
            detail = (
                one.message or f"what waits: fleet call {station.name} sync list verified=false"
            )
            yield suspect(
                station, FindingKind.COPIES, level, text, detail, instance, oldest, dated=False
            )
        case "monitor":
            looked = silent("fleet_monitor_last_update_timestamp_seconds", METER_SECONDS)
            if looked is not None and not one.reason:
                level = HealthLevel.LOOK if use.in_use else HealthLevel.FINE
                text = "is not metering"
                yield suspect(station, FindingKind.METER, level, text, None, instance, looked)
