"""What is wrong with a station: whether it is there, what it took, the machine itself. Pure."""

from collections.abc import Iterator

from fleet.manager.findings import (
    CLOCK_SECONDS,
    DISK_SECONDS,
    DISK_USED,
    ENDS_SECONDS,
    HOT_CELSIUS,
    LINK_BYTES,
    LOAD_PER_CPU,
    MACHINE_SECONDS,
    MAINS_SECONDS,
    ONE_DAY,
    RETRANSMIT_SECONDS,
    RETRANSMITS,
    SLOW_SECONDS,
    SLUGGISH_SECONDS,
    FindingKind,
    Judgement,
    Suspicion,
    suspect,
)
from fleet.manager.findings.instance import instance_findings
from fleet.manager.findings.whole import when_it_ends
from fleet.manager.stations.state import RoomUse, StationState
from fleet.model import PresenceState, State
from fleet.operations.health import HealthLevel


def station_findings(station: StationState, use: RoomUse, judged: Judgement) -> Iterator[Suspicion]:
    """What is wrong with a station, what does not matter now (`FINE`) included."""
    if station.maintenance:
        return
    status = station.status
    if station.credential_ends is not None:
        ends = station.credential_ends
        if judged.is_past(ends.timestamp() - ENDS_SECONDS):
            left = (ends - judged.at).total_seconds()
            if left > 0:  # a day later it says so
                judged.holds(judged.at.timestamp() + left % ONE_DAY)
            text = f"its credential {when_it_ends(left)}"
            level = HealthLevel.LOOK
            yield suspect(station, FindingKind.CREDENTIAL, level, text, dated=False)
    away = HealthLevel.FINE
    if use.in_use:
        away = HealthLevel.GO if station.captures else HealthLevel.LOOK
    since = status.presence_since
    match status.presence:
        case PresenceState.LOST:
            detail = "power, network cable or a crash"
            yield suspect(station, FindingKind.LOST, away, "lost", detail, since=since)
        case PresenceState.OFFLINE:
            level = away if station.captures else HealthLevel.FINE
            detail = "it said goodbye"
            yield suspect(station, FindingKind.OFFLINE, level, "switched off", detail, since=since)
        case PresenceState.ONLINE:
            yield from _online(station, use, judged)
        case _ if station.missing and station.captures and use.in_use:
            text = station.missing
            yield suspect(station, FindingKind.MISSING, HealthLevel.LOOK, text, dated=False)
        case _:
            text = "nothing is known"
            yield suspect(station, FindingKind.UNKNOWN, HealthLevel.UNKNOWN, text, dated=False)


def _online(station: StationState, use: RoomUse, judged: Judgement) -> Iterator[Suspicion]:
    status = station.status
    if status.conflict:
        text = "two boxes use its id"
        yield suspect(station, FindingKind.CONFLICT, HealthLevel.LOOK, text, status.note)
    if status.problems:
        running = all(
            one.state in (State.RUNNING, State.COMPLETED)
            for role in ("record", "ingest")
            for _, one in station.instances(role)
        )
        level = HealthLevel.LOOK if running else use.in_hours
        detail = "; ".join(problem.sentence for problem in status.problems)
        yield suspect(station, FindingKind.REJECTED, level, "config rejected", detail)
    elif status.running != status.wanted and status.wanted is not None:
        text, level = "has not taken its config", HealthLevel.LOOK
        yield suspect(station, FindingKind.LAGGING, level, text, after=SLOW_SECONDS)
    for role in station.wanted:
        for name, one in station.instances(role):
            yield from instance_findings(station, use, role, name, one, judged)
    yield from _machine(station, use)


def _machine(station: StationState, use: RoomUse) -> Iterator[Suspicion]:
    readings = station.readings

    def of(
        kind: FindingKind, text: str, after: float = MACHINE_SECONDS, dated: bool = True
    ) -> Suspicion:
        return suspect(station, kind, HealthLevel.LOOK, text, after=after, dated=dated)

    if readings.value("fleet_station_mains") == 0:
        charge = readings.value("fleet_station_battery_charge_ratio")
        text = "runs on battery" + ("" if charge is None else f", {charge:.0%} left")
        yield suspect(station, FindingKind.MAINS, use.in_hours, text, after=MAINS_SECONDS)
    left = station.disk_seconds
    if left is not None and left < DISK_SECONDS:
        text = f"disk full in {left / 60:.0f} min"
        yield suspect(station, FindingKind.DISK_FULL, use.in_hours, text, dated=False)
    free = readings.value("fleet_station_disk_free_bytes")
    total = readings.value("fleet_station_disk_total_bytes")
    if free is not None and total and 1 - free / total > DISK_USED:
        yield of(FindingKind.DISK_USED, f"disk {1 - free / total:.0%} full", 0, dated=False)
    heat = readings.values("fleet_station_temperature_celsius")
    if any(one.value > HOT_CELSIUS for one in heat):
        yield of(FindingKind.HOT, "too hot", SLUGGISH_SECONDS)
    if readings.value("fleet_station_throttled") == 1:
        yield of(FindingKind.THROTTLED, "slowed down by heat")
    if readings.value("fleet_station_undervoltage") == 1:
        yield of(FindingKind.VOLTAGE, "power supply too weak")
    disks = readings.values("fleet_station_disk_healthy")
    failing = sorted(one.labels.get("device", "") for one in disks if one.value == 0)
    if failing:
        reports = "reports that it is" if len(failing) == 1 else "report that they are"
        text = f"{' and '.join(failing)} {reports} failing"
        yield of(FindingKind.DISK_FAILS, text, 0)
    load, cpus = readings.value("fleet_station_load5"), readings.value("fleet_station_cpus")
    if load is not None and cpus and load / cpus >= LOAD_PER_CPU:
        yield of(FindingKind.LOAD, "overloaded")
    speeds = readings.values("fleet_station_link_bytes_per_second")
    duplex = readings.values("fleet_station_link_full_duplex")
    if any(one.value < LINK_BYTES for one in speeds) or any(one.value == 0 for one in duplex):
        yield of(FindingKind.LINK, "slow network link")
    share = readings.value("fleet_station_tcp_retransmit_ratio")
    if share is not None and share > RETRANSMITS:
        text = f"{share:.0%} of what it sends is lost on the way"
        yield of(FindingKind.RETRANSMITS, text, RETRANSMIT_SECONDS)
    offset = readings.value("fleet_station_clock_offset_seconds")
    if offset is not None and abs(offset) > CLOCK_SECONDS:
        yield of(FindingKind.CLOCK, f"clock off by {abs(offset):.1f} s", SLUGGISH_SECONDS)
