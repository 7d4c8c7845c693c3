"""What is wrong with a station, in a few words, and how much it matters in its room."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.manager.page.readings import Readings
from fleet.manager.page.seen import Level, Seen, Use
from fleet.manager.page.since import began, key
from fleet.manager.page.troubles import find
from fleet.model import (
    Family,
    InstanceStatus,
    PresenceState,
    Problem,
    Roles,
    Sample,
    State,
    Telemetry,
)
from fleet.operations import StationStatus

AT = datetime(2026, 2, 1, 9, 12, tzinfo=UTC)
NOW = AT.timestamp()
TALK, BREAK, CLOSED = Use(True, True), Use(True, False), Use(False, False)
CAMERA: Roles = {"record": {"main": {}}, "stream": {"main": {}}, "monitor": {"main": {}}}
RECORD = {"role": "record", "role_instance": "main"}
MONITOR = {"role": "monitor", "role_instance": "main"}


def instance(state: State = State.RUNNING, reason: str | None = None) -> InstanceStatus:
    return InstanceStatus(state, AT - timedelta(minutes=2), 0, reason, reason and "a sentence")


def readings(*values: tuple[str, float, Mapping[str, str]], sent: datetime = AT) -> Readings:
    families = tuple(
        Family(name, "gauge", "", (Sample(name, labels, value),)) for name, value, labels in values
    )
    return Readings.of(Telemetry("boot", sent, families), NOW)


def seen(
    said: dict[str, InstanceStatus] | None = None,
    *,
    presence: PresenceState = PresenceState.ONLINE,
    wanted: Roles = CAMERA,
    problems: tuple[Problem, ...] = (),
    running: int = 1,
    measured: Readings | None = None,
    **more: Any,
) -> Seen:
    roles = {
        role: {name: (said or {}).get(f"{role}/{name}", instance()) for name in names}
        for role, names in wanted.items()
    }
    status = StationStatus(
        "b827eb0000a1", "hall1-cam", "hall1", presence, 1, running, False, problems, roles
    )
    details = {"seat": "cam", "where": "tripod"} | more
    return Seen(status, wanted=wanted, readings=measured or Readings.none(), **details)


def said(role: str, state: State = State.RUNNING, reason: str | None = None) -> Seen:
    return seen({f"{role}/main": instance(state, reason)})


def noted(reason: str, seat: str = "cam") -> Seen:
    return seen({"monitor/main": instance(reason=reason)}, seat=seat)


REJECTED = Problem("BlockedRole", "record", None, None, "the role 'record' is blocked")
STOPPED = {"record/main": instance(State.STOPPED)}
WROTE = "fleet_recording_last_write_timestamp_seconds"
FREE, TOTAL = "fleet_station_disk_free_bytes", "fleet_station_disk_total_bytes"
BITS = "fleet_recording_bitrate_bits_per_second"
LOST, OFFLINE, UNKNOWN = PresenceState.LOST, PresenceState.OFFLINE, PresenceState.UNKNOWN
NO_ROLES: Roles = {"beep": {"main": {}}}


@pytest.mark.parametrize(
    ("station", "what", "levels"),
    [
        (seen(), None, "fine fine fine"),
        (seen(presence=LOST), "lost", "go go fine"),
        (seen(presence=LOST, wanted=NO_ROLES), "lost", "look look fine"),
        (seen(presence=OFFLINE), "switched off", "go go fine"),
        (seen(presence=OFFLINE, wanted=NO_ROLES), None, "fine fine fine"),
        (seen(presence=UNKNOWN), "nothing is known", "unknown unknown unknown"),
        (seen(presence=UNKNOWN, heard_of=False), "never heard of", "look look unknown"),
        (seen(presence=LOST, maintenance=True), None, "fine fine fine"),
        (seen(conflict=True), "two boxes use its id", "look look look"),
        (seen(problems=(REJECTED,)), "config rejected", "look look look"),
        (seen(STOPPED, problems=(REJECTED,)), "config rejected", "go go look"),
        (seen(running=0), "has not taken its config", "look look look"),
        (said("record", State.FAILED, "DiskFull"), "disk full", "go go look"),
        (said("record", State.FAILED, "NoSignal"), "no signal", "go go look"),
        (said("record", State.FAILED), "record/main failed", "go go look"),
        (said("record", State.BACKOFF, "Exited"), "exited", "go go look"),
        (said("record", State.STARTING), "record/main is starting", "go go look"),
        (said("record", State.STOPPED), "record/main does not run", "go go look"),
        (said("record", State.COMPLETED), None, "fine fine fine"),
        (said("stream", State.FAILED, "TargetUnreachable"), "stream down, target unreachable",
         "go look look"),
        (said("monitor", State.FAILED, "ToolMissing"), "tool missing", "look look look"),
        (noted("NoSignal"), "no signal", "go look fine"),
        (noted("NoSignal", "slides"), "no signal", "look fine fine"),
        (noted("DigitalSilence"), "digital silence", "go go fine"),
        (noted("DigitalSilence", "slides"), None, "fine fine fine"),
        (noted("SoundLow"), "sound too low", "go fine fine"),
        (noted("SoundHigh"), "sound too loud", "look fine fine"),
        (noted("NoSound"), "no sound", "look look fine"),
        (noted("PictureBlack"), "black picture", "look fine fine"),
        (noted("SomethingNew"), "something new", "look look look"),
        (seen(measured=readings((WROTE, NOW - 61, RECORD))), "nothing written", "go go look"),
        (seen(measured=readings((WROTE, NOW - 59, RECORD))), None, "fine fine fine"),
        (seen(measured=readings((FREE, 3.6e9, {}), (BITS, 8e6, RECORD))), "disk full in 60 min",
         "go go look"),
        (seen(measured=readings((FREE, 7.3e9, {}), (BITS, 8e6, RECORD))), None, "fine fine fine"),
        (seen(measured=readings((FREE, 10, {}), (TOTAL, 100, {}))), "disk 90% full",
         "look look look"),
        (seen(measured=readings(("fleet_monitor_last_update_timestamp_seconds", NOW - 31,
                                 MONITOR))), "does not meter", "look look fine"),
        (seen(measured=readings(("fleet_station_temperature_celsius", 76, {"sensor": "cpu"}))),
         "too hot", "look look look"),
        (seen(measured=readings(("fleet_station_link_bytes_per_second", 12.5e6, {}))),
         "slow network link", "look look look"),
        (seen(measured=readings(("fleet_station_clock_offset_seconds", -0.25, {}))),
         "clock off by 0.2 s", "look look look"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_how_bad_it_is_depends_on_what_the_room_is_used_for(
    station: Seen, what: str | None, levels: str
) -> None:
    """`levels`: while a talk is on, between talks, outside the room's hours."""
    for use, level in zip((TALK, BREAK, CLOSED), levels.split(), strict=True):
        found = find(station, use, NOW)
        assert (found[0].level if found else Level.FINE) is Level[level.upper()], use
        if found and level != "unknown":
            assert found[0].what == what


def test_a_wrong_clock_of_a_station_cannot_hide_or_fake_a_stall() -> None:
    ahead = AT + timedelta(days=3)
    sent = ahead.timestamp()
    stalled = readings((WROTE, sent - 90, RECORD), sent=ahead)
    writing = readings((WROTE, sent - 2, RECORD), sent=ahead)
    assert [one.what for one in find(seen(measured=stalled), TALK, NOW)] == ["nothing written"]
    assert find(seen(measured=writing), TALK, NOW) == []


def test_the_worst_is_first_and_what_is_not_captured_is_worse_than_what_is_not_heard() -> None:
    station = seen(
        {
            "monitor/main": instance(reason="SoundLow"),
            "record/main": instance(State.FAILED, "DiskFull"),
            "stream/main": instance(State.FAILED, "TargetUnreachable"),
        }
    )
    assert [one.what for one in find(station, TALK, NOW)] == [
        "disk full",
        "sound too low",
        "stream down, target unreachable",
    ]


def test_the_command_is_about_the_instance_or_else_the_station() -> None:
    (failed,) = find(said("record", State.FAILED, "DiskFull"), TALK, NOW)
    (lost,) = find(seen(presence=LOST), TALK, NOW)
    assert failed.command == "fleet logs hall1-cam record/main"
    assert lost.command == "fleet status hall1-cam"


def test_a_trouble_is_as_old_as_its_first_sighting_or_as_its_station_says() -> None:
    low = find(noted("SoundLow"), TALK, NOW)
    first = began({}, low, NOW)
    later = began(first, find(noted("SoundLow"), TALK, NOW + 40), NOW + 40)
    assert later == {key(low[0]): NOW}
    assert began(later, [], NOW + 50) == {}, "what is over is forgotten"
    failed = find(said("record", State.FAILED, "DiskFull"), TALK, NOW)
    assert list(began({}, failed, NOW).values()) == [NOW - 120]
