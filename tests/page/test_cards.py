"""One card per room, the worst first, and the one line that matters."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.health import Judge
from fleet.manager.stations.state import Readings, RoomUse, StationState
from fleet.manager.stations.stops import to_run
from fleet.manager.stations.thumbnails import Thumbnail
from fleet.manager.web.page.cards import Board, RoomView, board
from fleet.manager.web.page.controls import controls
from fleet.manager.web.page.views import Pictures
from fleet.model import Family, PresenceState, Roles, Sample, State, StopByHand, Telemetry
from fleet.operations.stations import InstanceReport, StationStatus

NOW = datetime(2026, 2, 1, 10, 12, tzinfo=ZoneInfo("Europe/Brussels"))
AT = NOW.timestamp()
TALK, CLOSED = RoomUse(True, True), RoomUse(False, False)
WANTED: Roles = {
    "record": {"main": {}, "copy": {}},
    "stream": {"main": {}},
    "monitor": {"main": {}},
}
RUNS = InstanceReport(State.RUNNING, NOW.astimezone(UTC), 0, None, None)
LOST = PresenceState.LOST


def station(
    name: str,
    presence: PresenceState = PresenceState.ONLINE,
    readings: Readings | None = None,
    where: str | None = None,
    maintenance: bool = False,
    **said: InstanceReport,
) -> StationState:
    """`hall1-cam` serves in `hall1`; `said`: `record_main=…`."""
    roles = {
        role: {one: said.get(f"{role}_{one}", RUNS) for one in instances}
        for role, instances in WANTED.items()
    }
    room, seat = name.split("-")
    if presence is not PresenceState.ONLINE:
        roles = {
            role: {one: evolve(it, state=State.UNKNOWN) for one, it in instances.items()}
            for role, instances in roles.items()
        }
    status = StationStatus(f"id-{name}", name, room, presence, 1, 1, True, (), roles)
    return StationState(status, seat, where, WANTED, readings or Readings.none(), maintenance)


def failed(reason: str, minutes: int = 0) -> InstanceReport:
    since = NOW.astimezone(UTC) - timedelta(minutes=minutes)
    return InstanceReport(State.FAILED, since, 3, reason, "a sentence")


def made(
    stations: Sequence[StationState],
    use: RoomUse = TALK,
    pictures: Pictures | None = None,
    connected: bool = True,
    judge: Judge | None = None,
    rooms: Sequence[str] = (),
    now: datetime = NOW,
) -> Board:
    judge = judge or Judge()
    names = dict.fromkeys([*rooms, *(one.status.room or "" for one in stations)])
    judged = [
        evolve(
            one,
            status=evolve(one.status, findings=tuple(judge.station(one, use, now))),
        )
        for one in stations
    ]
    of = {
        name: RoomView(
            name.title(),
            use,
            tuple(judge.room(name, [it for it in judged if it.status.room == name], use, now)),
        )
        for name in names
    }
    judge.looked()
    return board("DemoCon", of, judged, pictures or {}, connected, now)


def levels(shown: Board) -> list[tuple[str, str]]:
    return [(card.room, card.word) for card in shown.cards]


def test_the_worst_room_is_first_and_equals_keep_the_order_of_the_file() -> None:
    shown = made(
        [
            station("foyer-cam"),
            station("hall1-cam", monitor_main=evolve(RUNS, reason="PictureBlack")),
            station("hall2-cam", stream_main=failed("TargetUnreachable")),
            station("hall3-cam", record_main=failed("DiskFull")),
            station("attic-cam"),
        ]
    )
    assert levels(shown) == [
        ("hall3", "go there"),
        ("hall2", "go there"),
        ("hall1", "look"),
        ("foyer", "fine"),
        ("attic", "fine"),
    ]
    assert (shown.cards[0].record.running, shown.cards[0].record.wanted) == (1, 2)


def test_the_line_says_where_to_go_what_is_wrong_and_since_when_in_the_conferences_time() -> None:
    lectern = station("hall1-slides", where="under the lectern", record_main=failed("NoSignal"))
    line = made([lectern]).line
    assert line.text == "go to hall1-slides, under the lectern: no signal since 10:12 CET"
    assert line.command == "fleet logs hall1-slides record/main"
    old = station("hall1-slides", record_main=failed("NoSignal", minutes=11 * 60))
    assert made([old]).line.text == "go to hall1-slides: no signal since Sat 23:12 CET"


def test_since_when_survives_that_an_instance_is_tried_again_and_again() -> None:
    judge = Judge()
    made([station("hall1-cam", record_main=failed("DiskFull"))], judge=judge)
    later = NOW + timedelta(minutes=5)
    again = InstanceReport(State.BACKOFF, later.astimezone(UTC), 9, "DiskFull", None)
    shown = made([station("hall1-cam", record_main=again)], judge=judge, now=later)
    assert shown.line is not None
    assert shown.line.text.endswith("disk full since 10:12 CET")


def test_what_may_take_a_moment_is_no_trouble_until_it_has_lasted() -> None:
    starting = station("hall1-cam", record_main=evolve(RUNS, state=State.STARTING))
    judge = Judge()
    first = made([starting], judge=judge)
    assert levels(first) == [("hall1", "fine")]
    later = made([starting], judge=judge, now=NOW + timedelta(seconds=20))
    assert levels(later) == [("hall1", "go there")]


def test_rooms_lost_at_once_have_one_cause_and_one_line() -> None:
    both = [station("hall1-cam", LOST), station("hall2-cam", LOST), station("hall3-cam")]
    shown = made(both)
    assert shown.line.text.startswith("2 rooms were lost at once (Hall1, Hall2)")
    judge = Judge()
    one = made([station("hall1-cam", LOST), station("hall2-cam")], judge=judge)
    assert one.line.text == "go to hall1-cam: lost since 10:12 CET"
    later = made(both, judge=judge, now=NOW + timedelta(minutes=2))
    assert later.line.text.startswith("go to "), "two causes, two minutes apart"
    assert made(both, CLOSED).line.level == "fine", "at night nobody is sent"


def test_the_headline_says_how_many_more_there_are_of_its_kind() -> None:
    lost = [station(f"hall1-cam{number}", LOST) for number in range(12)]
    shown = made(lost)
    assert shown.line.text == "go to hall1-cam0: lost since 10:12 CET, and 11 more"
    line = shown.cards[0].line
    assert line is not None
    assert all(one.name in line.text for one in lost), "all that is absent is named"
    assert (line.command, shown.cards[0].more) == ("fleet status hall1", ())
    away = [station(f"hall{number}-cam", PresenceState.UNKNOWN) for number in range(3)]
    assert made(away).line.text == "hall0-cam: nothing is known, and 2 more"
    assert made(away[:1], rooms=["hall0", "hall9"]).line.text == (
        "hall0-cam: nothing is known, and 1 more"
    )
    assert made([], rooms=["hall9"]).line.text == "hall9: no station serves here"


def test_a_room_nobody_monitors_is_not_green_and_says_so() -> None:
    seen = station("hall1-cam")
    wanted = {"record": WANTED["record"]}
    shown = made([evolve(seen, wanted=wanted)])
    assert levels(shown) == [("hall1", "unknown")]
    assert shown.line.text == "hall1: sound not watched"
    assert "no monitor is wanted" in (shown.line.detail or "")


def test_what_nobody_knows_is_neither_fine_nor_bad() -> None:
    away = [
        station("hall1-cam", PresenceState.UNKNOWN),
        station("hall1-mix", PresenceState.UNKNOWN),
    ]
    shown = made(away, connected=False)
    card = shown.cards[0]
    assert (card.level, card.record.state, card.stream.state) == ("unknown", "unknown", "unknown")
    assert card.line is not None
    assert card.line.text == "hall1-cam, hall1-mix: nothing is known"
    assert card.more == ()
    assert shown.line.text.startswith("the manager hears nobody")
    empty = made([], rooms=["hall9"])
    assert levels(empty) == [("hall9", "unknown")]
    assert made([]).line.text == "no room yet: apply a conference file"


def test_maintenance_sends_nobody_and_is_named() -> None:
    shown = made([station("hall1-cam", LOST, maintenance=True), station("hall1-mix")])
    assert levels(shown) == [("hall1", "fine")]
    assert shown.cards[0].maintenance == ("hall1-cam",)


def test_pictures_and_levels_are_stale_after_half_a_minute_and_when_the_station_is_lost() -> None:
    def view(age: float, presence: PresenceState = PresenceState.ONLINE) -> tuple[bool, str]:
        monitor = {"role": "monitor", "role_instance": "main"}
        telemetry = Telemetry(
            "boot",
            NOW.astimezone(UTC),
            (
                _family("fleet_monitor_last_update_timestamp_seconds", AT - age, **monitor),
                _family("fleet_monitor_loudness_short_term_lufs", -23, **monitor),
            ),
        )
        pictures = {"hall1-cam": {("monitor", "main"): Thumbnail(b"", AT - age)}}
        seen = station("hall1-cam", presence, Readings.of(telemetry, AT))
        (found,) = made([seen], pictures=pictures).cards[0].views
        assert found.picture == "thumbnail/hall1-cam/monitor/main.jpg"
        return found.stale, found.band

    assert view(29) == (False, "good")
    assert view(31) == (True, "unknown")
    assert view(1, LOST) == (True, "unknown")


def test_the_disk_that_is_full_first_and_the_recording_that_wrote_longest_ago_count() -> None:
    def writing(name: str, free: float, ago: float) -> StationState:
        record = {"role": "record", "role_instance": "main"}
        families = (
            _family("fleet_station_disk_free_bytes", free),
            _family("fleet_recording_bitrate_bits_per_second", 8e6, **record),
            _family("fleet_recording_last_write_timestamp_seconds", AT - ago, **record),
        )
        telemetry = Telemetry("boot", NOW.astimezone(UTC), families)
        return station(name, readings=Readings.of(telemetry, AT))

    shown = made([writing("hall1-cam", 36e9, 3), writing("hall1-mix", 72e9, 8)])
    assert (shown.cards[0].disk_hours, shown.cards[0].last_write) == (10.0, AT - 8)


def _family(name: str, value: float, **labels: str) -> Family:
    return Family(name, "gauge", "", (Sample(name, labels, value),))


def test_every_channel_of_every_track_is_shown_and_the_dead_one_named() -> None:
    monitor = {"role": "monitor", "role_instance": "main"}

    def family(name: str, *samples: tuple[dict[str, str], float]) -> Family:
        made = tuple(Sample(name, monitor | labels, value) for labels, value in samples)
        return Family(name, "gauge", "", made)

    at: list[dict[str, str]] = [
        {"track": "speaker", "channel": "left"},
        {"track": "speaker", "channel": "right"},
        {"track": "de", "channel": "left"},
    ]
    telemetry = Telemetry(
        "boot",
        NOW.astimezone(UTC),
        (
            _family("fleet_monitor_last_update_timestamp_seconds", AT, **monitor),
            family(
                "fleet_monitor_loudness_short_term_lufs",
                *(({}, -20.0), ({"track": "speaker"}, -20.0), ({"track": "de"}, -50.0)),
            ),
            family(
                "fleet_monitor_true_peak_dbtp", *zip(at, (-9.0, float("-inf"), -30.0), strict=True)
            ),
            family("fleet_monitor_channel_silent", *zip(at, (0.0, 1.0, 0.0), strict=True)),
        ),
    )
    (view,) = made([station("hall1-mix", readings=Readings.of(telemetry, AT))]).cards[0].views
    speaker, german = view.tracks
    assert [(one.name, one.peak, one.dead) for one in speaker.channels] == [
        ("L", -9.0, False),
        ("R", -120.0, True),
    ]
    assert (german.name, german.lufs, german.band) == ("de", -50.0, "low")
    assert [one.name for one in german.channels] == ["L"]
    assert (view.lufs, view.band) == (-20.0, "good")


def test_what_somebody_stopped_is_no_alarm_and_stands_on_the_card_and_the_desk() -> None:
    by_hand = StopByHand("record", "main", "ann", "lunch", NOW, NOW + timedelta(minutes=45))
    held = InstanceReport(State.STOPPED, NOW, 0, "Stopped", by_hand.text())
    one = station("hall1-cam", record_main=held)
    wanted = to_run(WANTED, one.status.roles)
    one = evolve(one, wanted=wanted, status=evolve(one.status, stops=(by_hand,)))
    waits = evolve(
        station("hall1-cam"), status=evolve(station("hall1-cam").status, stops=(by_hand,))
    )
    for seen, is_so in ((one, True), (waits, False)):
        said = controls([seen], {}, {}, {}, NOW)
        shown = {(it.role, it.instance): it for it in said.stations[0].instances}
        main, copy = shown["record", "main"], shown["record", "copy"]
        assert (main.stopped, main.asked is None) == (is_so, is_so)
        assert (copy.stopped, copy.asked) == (False, None)
        yet = "" if is_so else "not yet: "
        assert said.stopped == (
            f"hall1-cam record/main {yet}stopped by ann until Sun 10:57 CET: lunch",
        )
        (card,) = made([seen]).cards
        assert (card.level, card.record.state) == ("fine", "good")
    gone = evolve(one, status=evolve(one.status, stops=(evolve(by_hand, instance="old"),)))
    (text,) = controls([gone], {}, {}, {}, NOW).stopped
    assert text.startswith("hall1-cam record/old not wanted any more: stopped by ann")
    both = evolve(one, wanted={**wanted, "record": {}})
    assert made([both]).cards[0].record.state == "stopped"
