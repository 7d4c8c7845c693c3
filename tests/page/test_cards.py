"""One card per room, the worst first, and the one line that matters."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from attrs import evolve

from fleet.manager.stations.readings import Readings
from fleet.manager.stations.thumbnails import Thumbnail
from fleet.manager.web.page.cards import Board, Pictures, Room, board
from fleet.manager.web.page.seen import Seen, Use
from fleet.manager.web.page.since import Began
from fleet.model import Family, InstanceStatus, PresenceState, Roles, Sample, State, Telemetry
from fleet.operations import StationStatus

NOW = datetime(2026, 2, 1, 10, 12, tzinfo=ZoneInfo("Europe/Brussels"))
AT = NOW.timestamp()
TALK, CLOSED = Use(True, True), Use(False, False)
WANTED: Roles = {
    "record": {"main": {}, "copy": {}},
    "stream": {"main": {}},
    "monitor": {"main": {}},
}
RUNS = InstanceStatus(State.RUNNING, NOW.astimezone(UTC), 0, None, None)
LOST = PresenceState.LOST


def station(
    name: str,
    presence: PresenceState = PresenceState.ONLINE,
    readings: Readings | None = None,
    where: str | None = None,
    maintenance: bool = False,
    **said: InstanceStatus,
) -> Seen:
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
    return Seen(status, seat, where, WANTED, readings or Readings.none(), maintenance)


def failed(reason: str, minutes: int = 0) -> InstanceStatus:
    since = NOW.astimezone(UTC) - timedelta(minutes=minutes)
    return InstanceStatus(State.FAILED, since, 3, reason, "a sentence")


def made(
    stations: Sequence[Seen],
    use: Use = TALK,
    pictures: Pictures | None = None,
    connected: bool = True,
    before: Began | None = None,
    rooms: Sequence[str] = (),
    now: datetime = NOW,
) -> tuple[Board, Began]:
    names = [*rooms, *dict.fromkeys(one.status.room or "" for one in stations)]
    of = {name: Room(name.title(), use) for name in names}
    return board("DemoCon", of, stations, pictures or {}, connected, before or {}, now)


def levels(shown: Board) -> list[tuple[str, str]]:
    return [(card.room, card.word) for card in shown.cards]


def test_the_worst_room_is_first_and_equals_keep_the_order_of_the_file() -> None:
    shown, _ = made(
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
    line = made([lectern])[0].line
    assert line.text == "go to hall1-slides, under the lectern: no signal since 10:12"
    assert line.command == "fleet logs hall1-slides record/main"
    old = station("hall1-slides", record_main=failed("NoSignal", minutes=11 * 60))
    assert made([old])[0].line.text == "go to hall1-slides: no signal since Sat 23:12"


def test_since_when_survives_that_an_instance_is_tried_again_and_again() -> None:
    _, before = made([station("hall1-cam", record_main=failed("DiskFull"))])
    later = NOW + timedelta(minutes=5)
    again = InstanceStatus(State.BACKOFF, later.astimezone(UTC), 9, "DiskFull", None)
    shown, _ = made([station("hall1-cam", record_main=again)], before=before, now=later)
    assert shown.line.text.endswith("disk full since 10:12")


def test_what_may_take_a_moment_is_no_trouble_until_it_has_lasted() -> None:
    starting = station("hall1-cam", record_main=evolve(RUNS, state=State.STARTING))
    first, before = made([starting])
    assert levels(first) == [("hall1", "fine")]
    later, _ = made([starting], before=before, now=NOW + timedelta(seconds=20))
    assert levels(later) == [("hall1", "go there")]


def test_rooms_lost_at_once_have_one_cause_and_one_line() -> None:
    both = [station("hall1-cam", LOST), station("hall2-cam", LOST), station("hall3-cam")]
    shown, _ = made(both)
    assert shown.line.text.startswith("2 rooms were lost at once")
    one, before = made([station("hall1-cam", LOST), station("hall2-cam")])
    assert one.line.text == "go to hall1-cam: lost since 10:12"
    later, _ = made(both, before=before, now=NOW + timedelta(minutes=2))
    assert later.line.text.startswith("go to "), "two causes, two minutes apart"
    assert made(both, CLOSED)[0].line.level == "fine", "at night nobody is sent"


def test_what_nobody_knows_is_neither_fine_nor_bad() -> None:
    away = [
        station("hall1-cam", PresenceState.UNKNOWN),
        station("hall1-mix", PresenceState.UNKNOWN),
    ]
    shown, _ = made(away, connected=False)
    card = shown.cards[0]
    assert (card.level, card.record.state, card.stream.state) == ("unknown", "unknown", "unknown")
    assert card.more == ()
    assert shown.line.text.startswith("the manager hears nobody")
    empty, _ = made([], rooms=["hall9"])
    assert levels(empty) == [("hall9", "unknown")]
    assert made([])[0].line.text == "no room yet: apply a conference file"


def test_maintenance_sends_nobody_and_is_named() -> None:
    shown, _ = made([station("hall1-cam", LOST, maintenance=True), station("hall1-mix")])
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
        (found,) = made([seen], pictures=pictures)[0].cards[0].views
        assert found.picture == "thumbnail/hall1-cam/monitor/main.jpg"
        return found.stale, found.band

    assert view(29) == (False, "good")
    assert view(31) == (True, "unknown")
    assert view(1, LOST) == (True, "unknown")


def test_the_disk_that_is_full_first_and_the_recording_that_wrote_longest_ago_count() -> None:
    def writing(name: str, free: float, ago: float) -> Seen:
        record = {"role": "record", "role_instance": "main"}
        families = (
            _family("fleet_station_disk_free_bytes", free),
            _family("fleet_recording_bitrate_bits_per_second", 8e6, **record),
            _family("fleet_recording_last_write_timestamp_seconds", AT - ago, **record),
        )
        telemetry = Telemetry("boot", NOW.astimezone(UTC), families)
        return station(name, readings=Readings.of(telemetry, AT))

    shown, _ = made([writing("hall1-cam", 36e9, 3), writing("hall1-mix", 72e9, 8)])
    assert (shown.cards[0].disk_hours, shown.cards[0].last_write) == (10.0, AT - 8)


def _family(name: str, value: float, **labels: str) -> Family:
    return Family(name, "gauge", "", (Sample(name, labels, value),))
