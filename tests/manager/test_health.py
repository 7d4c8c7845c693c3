"""Where a station stands, what is wrong with it, since when, and how much that matters."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from fleet.manager import findings
from fleet.manager.findings import FindingKind, Judgement
from fleet.manager.findings.station import station_findings
from fleet.manager.findings.whole import room_findings
from fleet.manager.health import Judge, lost_at_once, severity, stand
from fleet.manager.station_status import with_recorded
from fleet.manager.stations.instances import CRASH_LOOP_SECONDS, InstanceMemory, first
from fleet.manager.stations.state import Readings, ReportedState, RoomUse, StationState
from fleet.model import (
    Ack,
    Error,
    Family,
    InForce,
    PresenceState,
    Problem,
    Result,
    Roles,
    Sample,
    State,
    Status,
    Telemetry,
)
from fleet.operations.health import HealthFinding, HealthLevel, Standing
from fleet.operations.stations import InstanceReport, StationStatus
from tests.processes import ROOT

AT = datetime(2026, 2, 1, 9, 12, tzinfo=UTC)
NOW = AT.timestamp()
TALK, BREAK, CLOSED = RoomUse(True, True), RoomUse(True, False), RoomUse(False, False)
CAMERA: Roles = {"record": {"main": {}}, "stream": {"main": {}}, "monitor": {"main": {}}}
RECORD = {"role": "record", "role_instance": "main"}
MONITOR = {"role": "monitor", "role_instance": "main"}


def instance(state: State = State.RUNNING, reason: str | None = None) -> InstanceReport:
    return InstanceReport(state, AT - timedelta(minutes=2), 0, reason, reason and "a sentence")


def readings(*values: tuple[str, float, Mapping[str, str]], sent: datetime = AT) -> Readings:
    families = tuple(
        Family(name, "gauge", "", (Sample(name, labels, value),)) for name, value, labels in values
    )
    return Readings.of(Telemetry("boot", sent, families), NOW)


def seen(
    said: dict[str, InstanceReport] | None = None,
    *,
    presence: PresenceState = PresenceState.ONLINE,
    wanted: Roles = CAMERA,
    problems: tuple[Problem, ...] = (),
    running: int = 1,
    measured: Readings | None = None,
    conflict: bool = False,
    presence_since: datetime | None = None,
    **more: Any,
) -> StationState:
    roles = {
        role: {name: (said or {}).get(f"{role}/{name}", instance()) for name in names}
        for role, names in wanted.items()
    }
    status = StationStatus(
        *("b827eb0000a1", "hall1-cam", "hall1", presence, 1, running, False, problems, roles),
        conflict=conflict,
        presence_since=presence_since,
    )
    details = {"seat": "cam", "where": "tripod"} | more
    return StationState(status, wanted=wanted, readings=measured or Readings.none(), **details)


def find(station: StationState, use: RoomUse, at: datetime = AT) -> list[HealthFinding]:
    """All that matters now, the worst first, whether it has lasted or not."""
    found = (one.finding for one in station_findings(station, use, Judgement(at)))
    return sorted((one for one in found if one.level is not HealthLevel.FINE), key=severity)


def said(role: str, state: State = State.RUNNING, reason: str | None = None) -> StationState:
    return seen({f"{role}/main": instance(state, reason)})


def noted(reason: str, seat: str = "cam") -> StationState:
    return seen({"monitor/main": instance(reason=reason)}, seat=seat)


def mixer(reason: str, there: int = 1) -> StationState:
    labels = {"role": "mix", "role_instance": "main", "source": "slides"}
    figures = readings(("fleet_mix_source_present", there, labels))
    wanted: Roles = {"mix": {"main": {}}}
    return seen({"mix/main": instance(reason=reason)}, wanted=wanted, measured=figures)


REJECTED = Problem("BlockedRole", "record", None, None, "the role 'record' is blocked")
STOPPED = {"record/main": instance(State.STOPPED)}
WROTE = "fleet_recording_last_write_timestamp_seconds"
FREE, TOTAL = "fleet_station_disk_free_bytes", "fleet_station_disk_total_bytes"
BITS = "fleet_recording_bitrate_bits_per_second"
LOST, OFFLINE, UNKNOWN = PresenceState.LOST, PresenceState.OFFLINE, PresenceState.UNKNOWN
NO_ROLES: Roles = {"beep": {"main": {}}}
INGEST: Roles = {"ingest": {"main": {}}}
SYNC: Roles = {"sync": {"main": {}}}


def copies(oldest: float | None, verified: float | None) -> StationState:
    """How long ago what waits was finished, and the last was verified; None: 0, as it says."""
    labels = {"role": "sync", "role_instance": "main"}
    figures = {"oldest_unverified": oldest, "last_verified": verified}
    return seen(
        wanted=SYNC,
        measured=readings(
            *(
                (f"fleet_sync_{name}_timestamp_seconds", 0 if ago is None else NOW - ago, labels)
                for name, ago in figures.items()
            )
        ),
    )


@pytest.mark.parametrize(
    ("station", "what", "levels"),
    [
        (seen(), None, "fine fine fine"),
        (seen(presence=LOST), "lost", "go go fine"),
        (seen(presence=LOST, wanted=NO_ROLES), "lost", "look look fine"),
        (seen(presence=OFFLINE), "switched off", "go go fine"),
        (seen(presence=OFFLINE, wanted=NO_ROLES), None, "fine fine fine"),
        (seen(presence=UNKNOWN), "nothing is known", "unknown unknown unknown"),
        (seen(presence=UNKNOWN, missing="never heard of"), "never heard of", "look look unknown"),
        (seen(presence=LOST, maintenance=True), None, "fine fine fine"),
        (seen(conflict=True), "two boxes use its id", "look look look"),
        (seen(problems=(REJECTED,)), "config rejected", "look look look"),
        (seen(STOPPED, problems=(REJECTED,)), "config rejected", "go go look"),
        (seen(running=0), "has not taken its config", "look look look"),
        (seen({"record/main": evolve(instance(), revision=0)}),
         "record/main still runs as revision 0 wants it", "look look look"),
        (seen({"record/main": evolve(instance(), revision=1)}), None, "fine fine fine"),
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
        (noted("NoSound"), "no sound", "go go fine"),
        (noted("NoSound", "slides"), None, "fine fine fine"),
        (seen({"ingest/main": instance(reason="NoSound")}, wanted=INGEST), "no sound",
         "look look fine"),
        (noted("ChannelSilent"), "a sound channel is silent", "look fine fine"),
        (mixer("StreamBlank"), "its stream is blank", "look fine fine"),
        (mixer("SourceMissing"), "a source of the mixer is missing", "look look fine"),
        (mixer("MixerRestarted"), "mixer restarted", "look look look"),
        (noted("PictureBlack"), "black picture", "look fine fine"),
        (noted("SomethingNew"), "something new", "look look look"),
        *((seen({"ingest/main": instance(reason=reason)}, wanted=INGEST), text, "go look fine")
          for reason, text in (("SourceUnreachable", "source unreachable"),
                               ("DeviceBusy", "device busy"), ("NotPermitted", "not permitted"))),
        (seen({"ingest/main": instance(reason="Choppy")}, wanted=INGEST), "choppy",
         "look fine fine"),
        (said("record", reason="DiskMissing"), "disk missing", "look look look"),
        *((said("record", reason=reason), None, "fine fine fine")
          for reason in ("RoleFileChanged", "SourceChanged", "ClockJumped")),
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
        (seen(measured=readings(("fleet_station_mains", 0, {}),
                                ("fleet_station_battery_charge_ratio", 0.42, {}))),
         "runs on battery, 42% left", "go go look"),
        (seen(measured=readings(("fleet_station_mains", 1, {}))), None, "fine fine fine"),
        (seen(measured=readings(("fleet_station_throttled", 1, {}))), "slowed down by heat",
         "look look look"),
        (seen(measured=readings(("fleet_station_undervoltage", 1, {}))),
         "power supply too weak", "look look look"),
        (seen(measured=readings(("fleet_station_disk_healthy", 0, {"device": "sda"}))),
         "sda reports that it is failing", "look look look"),
        (seen(measured=readings(("fleet_station_tcp_retransmit_ratio", 0.02, {}))),
         "2% of what it sends is lost on the way", "look look look"),
        (seen(measured=readings(("fleet_station_tcp_retransmit_ratio", 0.01, {}))), None,
         "fine fine fine"),
        (seen({"sync/main": instance(reason="TargetDiffers")}, wanted=SYNC),
         "copies: target differs", "look look look"),
        (seen({"sync/main": instance(State.FAILED, "SecretMissing")}, wanted=SYNC),
         "sync/main: secret missing", "look look look"),
        (copies(899, 0), None, "fine fine fine"),
        (copies(901, 901), "copies 15 min behind", "look look look"),
        (copies(3700, 60), "copies 62 min behind", "look look look"),
        (copies(3700, 3601), "copies 62 min behind", "go go look"),
        (copies(3700, None), "copies 62 min behind", "go go look"),
        (copies(None, 9999), None, "fine fine fine"),
        (seen(measured=readings(("fleet_station_clock_offset_seconds", -0.25, {}))),
         "clock off by 0.2 s", "look look look"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_how_bad_it_is_depends_on_what_the_room_is_used_for(
    station: StationState, what: str | None, levels: str
) -> None:
    """`levels`: while a talk is on, between talks, outside the room's hours."""
    for use, level in zip((TALK, BREAK, CLOSED), levels.split(), strict=True):
        found = find(station, use)
        assert (found[0].level if found else HealthLevel.FINE) == level, use
        if found and level != "unknown":
            assert found[0].text == what


def test_a_blank_stream_hides_no_source_that_is_missing_and_says_how_it_is_shown_again() -> None:
    blank, source = find(mixer("StreamBlank", there=0), TALK)
    assert (blank.kind, blank.command) == ("Blank", "fleet live hall1")
    assert (source.kind, source.text) == ("Source", "slides is missing in the mix")
    assert not [one for one in find(mixer("StreamBlank"), TALK) if one.kind == "Source"]


def looping(state: State, times: int, reason: str | None = None) -> StationState:
    crashed = {"record/main": instance(state, reason)}
    return seen(crashed, crashes={("record", "main"): times})


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
    (trouble,) = find(looping(state, 4, reason), TALK)
    assert trouble.text == "record/main crash-looping, 4 restarts in 5 min"
    assert (trouble.level, trouble.command) == (HealthLevel.GO, "fleet logs hall1-cam record/main")
    assert find(looping(state, 4, reason), CLOSED)[0].level is HealthLevel.LOOK
    assert all("restarts" not in one.text for one in find(looping(state, 2, reason), TALK))
    assert find(looping(State.COMPLETED, 4), TALK) == []


def remembered(*heard: tuple[float, int, str | None]) -> InstanceMemory:
    """What is remembered of moments, totals and reasons."""
    memory: InstanceMemory | None = None
    for at, total, reason in heard:
        one = instance(State.BACKOFF if reason else State.RUNNING, reason)
        one = evolve(one, restarts=total)
        memory = memory.heard(one, at) if memory else first(one, at)
    assert memory
    return memory


@pytest.mark.parametrize(
    ("heard", "now", "crashes", "hour"),
    [
        pytest.param([(0, 4, None)], 0, 0, 0, id="since when is not known"),
        pytest.param([(0, 4, None), (60, 6, None), (61, 7, "ChildExited")], 61, 3, 3, id="three"),
        pytest.param([(0, 4, None), (60, 7, None)], 360, 3, 3, id="five minutes ago"),
        pytest.param([(0, 4, None), (60, 7, None)], 361, 0, 3, id="more than five minutes ago"),
        pytest.param([(0, 4, None), (60, 7, None)], 3661, 0, 0, id="more than an hour ago"),
        pytest.param([(0, 4, None), (60, 0, None), (90, 2, None)], 90, 2, 2, id="a new agent"),
        pytest.param(
            [(0, 1, "NoSignal"), (9, 2, "NoSignal"), (20, 3, "NoSignal"), (38, 4, None)],
            *(38, 1, 3),
            id="what says what is missing is tried again, and is in no crash loop",
        ),
    ],
)
def test_crashes_count_for_five_minutes_and_restarts_for_an_hour(
    heard: list[tuple[float, int, str | None]], now: float, crashes: int, hour: int
) -> None:
    memory = remembered(*heard)
    assert (memory.crashes(now), memory.restarts(now)) == (crashes, hour)


def test_an_hour_of_restarts_is_remembered_in_little_room() -> None:
    memory = remembered(*((float(at), at, None) for at in range(5000)))
    assert len(memory.rises) < 370
    assert memory.restarts(4999) == pytest.approx(3600, abs=10)


def failing(*states: tuple[int, State]) -> datetime:
    """Since when an instance is as it is, once it was in these states from these seconds on."""
    memory: InstanceMemory | None = None
    for seconds, state in states:
        one = InstanceReport(state, AT + timedelta(seconds=seconds), 0, None, None)
        memory = memory.heard(one, seconds) if memory else first(one, seconds)
    assert memory
    return memory.since


R, S, B, F, X = State.RUNNING, State.STARTING, State.BACKOFF, State.FAILED, State.STOPPED


def test_a_station_that_says_when_a_failure_began_is_believed() -> None:
    def says(state: State, seconds: int) -> InstanceReport:
        return InstanceReport(state, AT + timedelta(seconds=seconds), 0, None, None, 1)

    memory = first(says(F, 5), 5).heard(says(S, 9), 9)
    assert memory.since == AT + timedelta(seconds=5)
    memory = memory.heard(says(F, 5), 10)
    assert memory.since == AT + timedelta(seconds=5)
    memory = memory.heard(says(R, 20), 20).heard(says(F, 22), 22)
    assert memory.since == AT + timedelta(seconds=22)


@pytest.mark.parametrize(
    ("states", "since"),
    [
        ([(0, R), (100, F)], 100),
        ([(0, F), (10, S), (12, F)], 0),
        ([(0, B), (1, S), (2, R), (4, B), (5, S), (6, F)], 0),
        ([(0, F), (10, S)], 0),
        ([(0, F), (10, S), (12, R)], 12),
        ([(0, F), (10, S), (12, R), (71, F)], 0),
        ([(0, F), (10, S), (12, R), (72, F)], 72),
        ([(0, F), (10, S), (12, R), (90, S), (91, F)], 91),
        ([(0, F), (10, X), (12, S), (13, F)], 13),
    ],
)
def test_a_failure_began_with_its_first_try_and_ends_when_it_runs_for_a_while(
    states: list[tuple[int, State]], since: int
) -> None:
    assert failing(*states) == AT + timedelta(seconds=since)


def test_a_wrong_clock_of_a_station_cannot_hide_or_fake_a_stall() -> None:
    ahead = AT + timedelta(days=3)
    sent = ahead.timestamp()
    stalled = readings((WROTE, sent - 90, RECORD), sent=ahead)
    writing = readings((WROTE, sent - 2, RECORD), sent=ahead)
    assert [one.text for one in find(seen(measured=stalled), TALK)] == ["nothing written"]
    assert find(seen(measured=writing), TALK) == []


def test_the_worst_is_first_and_what_is_not_captured_is_worse_than_what_is_not_heard() -> None:
    station = seen(
        {
            "monitor/main": instance(reason="SoundLow"),
            "record/main": instance(State.FAILED, "DiskFull"),
            "stream/main": instance(State.FAILED, "TargetUnreachable"),
        }
    )
    assert [one.text for one in find(station, TALK)] == [
        "disk full",
        "sound too low",
        "stream down, target unreachable",
    ]


def test_the_command_is_about_the_instance_or_else_the_station() -> None:
    (failed,) = find(said("record", State.FAILED, "DiskFull"), TALK)
    (lost,) = find(seen(presence=LOST), TALK)
    assert failed.command == "fleet logs hall1-cam record/main"
    assert lost.command == "fleet status hall1-cam"


def judged(judge: Judge, station: StationState, seconds: float = 0) -> list[HealthFinding]:
    """What a judge says some seconds later."""
    found = judge.station(station, TALK, AT + timedelta(seconds=seconds))
    judge.looked()
    return found


def test_a_finding_is_as_old_as_its_first_sighting_or_as_its_station_says() -> None:
    judge = Judge()
    judged(judge, noted("SoundLow"))
    assert judged(judge, noted("SoundLow"), 40)[0].since == AT
    assert judged(judge, seen(), 50) == []
    (anew,) = judged(judge, noted("SoundLow"), 60)
    assert anew.since == AT + timedelta(seconds=60), "what is over is forgotten"
    (failed,) = judged(Judge(), said("record", State.FAILED, "DiskFull"))
    assert failed.since == AT - timedelta(minutes=2)
    (lost,) = judged(Judge(), seen(presence=LOST, presence_since=AT - timedelta(hours=2)))
    assert lost.since == AT - timedelta(hours=2)


def test_what_may_take_a_moment_is_found_only_once_it_has_lasted() -> None:
    judge, slow = Judge(), said("record", State.STARTING)
    assert [len(judged(judge, slow, seconds)) for seconds in (0, 14, 15, 30)] == [0, 0, 1, 1]
    hot = seen(measured=readings(("fleet_station_temperature_celsius", 90, {})))
    link = seen(
        measured=readings(
            ("fleet_station_link_bytes_per_second", 1e6, {}),
            ("fleet_station_temperature_celsius", 90, {}),
        )
    )
    judged(judge, seen(measured=readings(("fleet_station_link_bytes_per_second", 1e6, {}))))
    both = [one.text for one in judged(judge, link, 100)]
    assert both == ["slow network link"], "each has its own time"
    assert judged(judge, hot, 399) == []
    assert [one.text for one in judged(judge, hot, 401)] == ["too hot"]


def room(*stations: StationState, use: RoomUse = TALK) -> list[str]:
    return [one.finding.text for one in room_findings("hall1", stations, use)]


RECORDS: Roles = {"record": {"main": {}}}
WATCHES: Roles = {"monitor": {"main": {}}}


def test_a_room_whose_sound_nobody_watches_is_not_green() -> None:
    cam, slides = seen(wanted=RECORDS), seen(wanted=CAMERA, seat="slides")
    (unwatched,) = room_findings("hall1", [cam], TALK)
    assert (unwatched.finding.text, unwatched.finding.level) == ("sound not watched", "unknown")
    assert room(cam, slides) == ["sound not watched"], "slides may be silent"
    assert room(cam, seen(wanted=WATCHES)) == []
    assert room(seen(wanted=CAMERA)) == []
    assert room(seen(wanted={**RECORDS, "monitor": {"main": {"kind": "slides"}}})) != []
    assert room(seen(wanted=RECORDS, seat="slides")) == [], "nothing is to be heard there"
    assert room(seen(wanted=NO_ROLES)) == []
    assert room(cam, use=CLOSED) == []
    assert room(evolve(cam, maintenance=True)) == []


def lost(room: str, seconds: float, kind: str = FindingKind.LOST) -> tuple[str, Any]:
    since = AT + timedelta(seconds=seconds)
    level = HealthLevel.GO
    return room, [HealthFinding(kind, level, room, room, None, None, "", None, None, since)]


def test_rooms_lost_within_half_a_minute_have_one_cause() -> None:
    assert lost_at_once([lost("a", 0), lost("b", 29), ("c", [])]) == ("a", "b")
    assert lost_at_once([lost("a", 0), lost("b", 31)]) == ()
    assert lost_at_once([lost("a", 0), lost("b", 0, FindingKind.RECORD)]) == ()
    assert lost_at_once([lost("a", 0), lost("b", 25), lost("c", 50), lost("d", 55)]) == (
        *("b", "c", "d"),
    )


def reported(
    state: State = State.RUNNING,
    *,
    presence: PresenceState = PresenceState.ONLINE,
    result: Result = Result.ACCEPTED,
    acked: int | None = 2,
    named: int = 2,
    revision: int | None = None,
    **more: Any,
) -> ReportedState:
    error = Error("BlockedRole", "record is blocked") if result is Result.REJECTED else None
    ack = Ack(acked, "b", AT, result, error, InForce(acked or 1, RECORDS))
    one = InstanceReport(state, AT, 0, "DiskFull", "no room", revision)
    return ReportedState(presence, ack, Status("b", AT, named, {"record": {"main": one}}), **more)


@pytest.mark.parametrize(
    ("said", "standing", "why"),
    [
        (reported(), Standing.IN_SYNC, None),
        (reported(State.COMPLETED), Standing.IN_SYNC, None),
        (reported(State.STARTING), Standing.WORKING, "record/main is starting"),
        (reported(State.FAILED), Standing.FAILED, "record/main failed (DiskFull: no room)"),
        (reported(State.FAILED, named=1), Standing.WORKING, "has not said yet what runs"),
        (reported(acked=1), Standing.WORKING, "revision 2 is wanted and not answered yet"),
        (reported(result=Result.REJECTED), Standing.REJECTED, "record is blocked"),
        (reported(result=Result.REJECTED, acked=None), Standing.REJECTED, "record is blocked"),
        (reported(result=Result.REJECTED, acked=1), Standing.WORKING, "not answered yet"),
        (reported(result=Result.REJECTED, presence=LOST), Standing.REJECTED, "record is blocked"),
        (reported(presence=LOST), Standing.PENDING, "lost"),
        (reported(presence=UNKNOWN, ever=False), Standing.PENDING, "never heard of"),
        (reported(conflict=True), Standing.PENDING, "two boxes use its id"),
        (reported(revision=2), Standing.IN_SYNC, None),
        (reported(revision=3), Standing.IN_SYNC, None),
        (reported(revision=1), Standing.WORKING, "record/main is not said to run yet"),
        (reported(State.FAILED, revision=1), Standing.WORKING, "record/main is not said to run"),
        (ReportedState(PresenceState.ONLINE), Standing.WORKING, "runs nothing"),
    ],
)
def test_where_a_station_stands_on_its_way_to_what_is_wanted(
    said: ReportedState, standing: Standing, why: str | None
) -> None:
    found, text = stand(RECORDS, 2, said)
    assert found is standing
    assert (why is None) == (text is None)
    assert (why or "") in (text or "")


def test_a_station_nothing_is_wanted_of_is_in_sync_once_it_runs_nothing() -> None:
    assert stand(None, None, ReportedState(PresenceState.ONLINE))[0] is Standing.IN_SYNC
    assert stand(None, None, reported())[0] is Standing.WORKING
    assert stand(None, None, ReportedState(PresenceState.LOST))[0] is Standing.WORKING


REASONS = st.sampled_from([None, "NoSignal", "DiskFull", "Exited", "ChannelSilent", "New"])
INSTANCES = st.builds(instance, st.sampled_from(State), REASONS)
STATIONS = st.builds(
    lambda presence, one, crashes, running: seen(
        {"record/main": one},
        presence=presence,
        running=running,
        crashes={("record", "main"): crashes},
    ),
    *(st.sampled_from(PresenceState), INSTANCES, st.integers(0, 5), st.integers(0, 2)),
)


@given(STATIONS, st.lists(st.floats(0, 600), max_size=8))
def test_whatever_is_found_says_what_where_and_what_to_type_and_is_never_from_the_future(
    station: StationState, times: list[float]
) -> None:
    judge, times = Judge(), sorted(times)
    for seconds in times:
        at = AT + timedelta(seconds=seconds)
        found = judge.station(station, TALK, at)
        judge.looked()
        assert found == sorted(found, key=severity)
        assert all(one.text and one.command and one.station == station.name for one in found)
        assert all(one.since is None or one.since <= at for one in found)
        calm = judge.station(station, CLOSED, at)
        assert max((one.level.rank for one in calm), default=0) <= max(
            (one.level.rank for one in find(station, TALK, at)), default=0
        ), "a room that is closed is never worse"


@given(STATIONS)
def test_what_is_in_maintenance_is_nobodys_business(station: StationState) -> None:
    assert find(evolve(station, maintenance=True), TALK) == []


def test_the_alerts_have_the_same_thresholds() -> None:
    rules = (ROOT / "prometheus/fleet.rules.yml").read_text()
    for expression in (
        f"station:fleet_disk_left:seconds / 3600 < {findings.DISK_SECONDS / 3600:g})",
        f"total_bytes > {findings.DISK_USED:g})",
        f"celsius > {findings.HOT_CELSIUS:g})",
        f"fleet_station_mains == 0)\n            * on (station) group_left (name, where, seat)"
        f" station:fleet_in_use:info\n        for: {findings.MAINS_SECONDS:g}s",
        f"tcp_retransmit_ratio > {findings.RETRANSMITS:g})",
        f"link_bytes_per_second < {findings.LINK_BYTES / 1e6:g}e6",
        f"offset_seconds) > {findings.CLOCK_SECONDS:g})",
        f"last_update_timestamp_seconds < {findings.METER_SECONDS:g})",
        f"fleet_sync_oldest_unverified_timestamp_seconds > 0) > {findings.BEHIND_SECONDS:g}\n",
        f"time() - fleet_sync_last_verified_timestamp_seconds > {findings.NO_COPY_SECONDS:g}\n",
        f"loudness_short_term:lufs > {findings.LOUD_LUFS:g})",
        f"loudness_short_term:lufs <= {findings.LOW_LUFS:g}\n",
        f"[{CRASH_LOOP_SECONDS / 60:g}m]) >= {findings.CRASH_LOOP}\n",
    ):
        assert expression in rules, expression


def test_a_rejected_config_is_told_with_where_each_mistake_is() -> None:
    missing = Problem("InvalidConfiguration", "stream", "main", "/target/host", "is missing")
    (found,) = find(seen(problems=(missing, REJECTED)), RoomUse(False, False))
    assert found.detail == "stream/main /target/host: is missing; the role 'record' is blocked"


@pytest.mark.parametrize(("began", "size"), [(-20, 3_600_000), (2, None)])
def test_what_the_run_before_wrote_is_not_what_this_one_recorded(
    began: int, size: int | None
) -> None:
    """Figures come each interval: after a restart the last ones are of what ran before."""
    one = evolve(instance(), since=AT + timedelta(seconds=began))
    told = readings(("fleet_recording_bytes", 3.6e6, RECORD))
    status = with_recorded(seen({"record/main": one}).status, told)
    assert status.roles["record"]["main"].recorded_bytes == size
