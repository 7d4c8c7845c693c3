"""What is wrong with a station, in a few words, and how much it matters in its room."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from fleet.manager.stations.readings import Readings
from fleet.manager.web.page.restarts import Totals, restarted, restarts
from fleet.manager.web.page.seen import Level, Seen, Use
from fleet.manager.web.page.since import began, key
from fleet.manager.web.page.troubles import find
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
                                 MONITOR))), "is not metering", "look look fine"),
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


def looping(state: State, times: int, reason: str | None = None) -> Seen:
    crashed = {"record/main": instance(state, reason)}
    return seen(crashed, restarts={("record", "main"): times})


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.RUNNING, None),
        (State.STARTING, None),
        (State.BACKOFF, "ChildExited"),
        (State.FAILED, "CrashLoop"),
    ],
)
def test_a_crash_loop_is_one_trouble_whatever_it_does_between_two_crashes(
    state: State, reason: str | None
) -> None:
    (trouble,) = find(looping(state, 4, reason), TALK, NOW)
    assert trouble.what == "record/main crash-looping, 4 restarts in 5 min"
    assert (trouble.level, trouble.command) == (Level.GO, "fleet logs hall1-cam record/main")
    assert find(looping(state, 4, reason), CLOSED, NOW)[0].level is Level.LOOK
    assert all("restarts" not in one.what for one in find(looping(state, 2, reason), TALK, NOW))
    assert find(looping(State.COMPLETED, 4), TALK, NOW) == []


def totals(*said: tuple[float, int, str | None]) -> Totals:
    """What is remembered of moments, totals and reasons."""
    remembered: Totals = ()
    for at, total, reason in said:
        one = instance(State.BACKOFF if reason else State.RUNNING, reason)
        remembered = restarted(remembered, evolve(one, restarts=total), at)
    return remembered


def test_restarts_count_for_five_minutes() -> None:
    assert restarts(totals((0, 4, None))) == 0, "since when is not known"
    assert restarts(totals((0, 4, None), (60, 6, None), (61, 7, "ChildExited"))) == 3
    assert restarts(totals((0, 4, None), (60, 7, None), (360, 7, None))) == 3
    assert restarts(totals((0, 4, None), (60, 7, None), (361, 7, None))) == 0
    assert restarts(totals((0, 4, None), (60, 0, None), (90, 2, None))) == 2, "a new agent"
    assert len(totals(*((float(at), at, None) for at in range(5000)))) < 310


def test_what_is_tried_again_because_it_says_what_is_missing_is_no_crash_loop() -> None:
    tried = [(at, total, "NoSignal") for at, total in ((0, 1), (9, 2), (20, 3), (29, 4))]
    assert restarts(totals(*tried, (38, 5, None))) == 1


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
