"""The status table at any width: nothing is lost, and nothing is wider than the terminal."""

import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import typer
from attrs import evolve
from rich.console import Console

from fleet.cli import folding, view
from fleet.cli.rolling import conclude
from fleet.cli.talks import talk_line
from fleet.model import PresenceState, State, StopByHand
from fleet.operations.health import HealthFinding, HealthLevel, Standing
from fleet.operations.schedule import RoomTalk
from fleet.operations.stations import InstanceReport, StationStatus, StatusResult
from fleet.schedule import ScheduledRoom, ScheduledTalk

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONG = "the target srt://ingest.example.org:9000 does not answer (timed out after 10 s)"
ILL = InstanceReport(*(State.BACKOFF, AT, 99, "TargetUnreachable", LONG), restarts_last_hour=17)
WELL = InstanceReport(State.RUNNING, AT, 0, None, None)


def station(name: str) -> StationStatus:
    presence, roles = PresenceState.ONLINE, {"record": {"main": WELL}, "stream": {"hq": ILL}}
    return StationStatus("cam1", name, "auditorium-max", presence, 8, 7, False, (), roles)


@pytest.mark.parametrize("width", [60, 80, 110, 160, 240])
@pytest.mark.parametrize("name", ["cam", "auditorium-max-camera-balcony"])
def test_every_width_holds_everything(name: str, width: int) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, color_system=None, width=width)
    view.show(view.lines([station(name)], AT), console, view.header(AT))
    shown = output.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for word in ("auditorium-max", name, "online", "7/8", "running"):
        assert word in words, shown
    assert "17" in shown
    assert f"TargetUnreachable: {LONG}" in " ".join(words)


def test_a_mixer_is_shown_live_or_blank() -> None:
    live, blank = evolve(WELL, live=True), evolve(WELL, live=False, reason="StreamBlank")
    both = evolve(station("mix"), roles={"mix": {"main": live, "other": blank}})
    rows = [row.cells[-1] for row in view.lines([both], AT)]
    assert rows == ["live", "blank; StreamBlank"]


def pending(number: int) -> list[StationStatus]:
    return [
        evolve(station(f"hall{at}-cam"), presence=PresenceState.LOST, running=None, roles={})
        for at in range(number)
    ]


def test_many_of_a_kind_are_one_line_and_the_others_stay() -> None:
    ill = station("cam")
    both = evolve(pending(1)[0], name="twice", conflict=True)
    folded = folding.fold([ill, both, *pending(36)])
    assert folded.stations == (ill, both)
    assert folded.lines == (
        "36 stations never heard yet: hall0-cam, hall1-cam, hall2-cam, hall3-cam and 32 more",
    )
    few = (ill, *pending(3))
    assert folding.fold(few) == folding.FoldedStatus(few)
    (line,) = folding.fold(pending(4)).lines
    assert line.endswith(": hall0-cam, hall1-cam, hall2-cam, hall3-cam")
    lost = [evolve(one, running=1) for one in pending(5)]
    folded = folding.fold([*pending(4), ill, *lost])
    assert folded.stations == (ill,)
    assert [line.partition(":")[0] for line in folded.lines] == [
        "4 stations never heard yet",
        "5 stations lost",
    ]


def test_where_there_is_no_place_what_is_well_is_one_line() -> None:
    well = [evolve(station(f"hall{at}-cam"), room=f"hall{at}", well=True) for at in range(30)]
    ill = station("cam")
    folded = folding.fold_well(folding.FoldedStatus((ill, *well)))
    assert folded.stations == (ill,)
    assert folded.lines[0].startswith("30 stations are well: hall0-cam,")
    by_hand = StopByHand("record", "main", "ann", None, AT, None)
    held = InstanceReport(State.STOPPED, AT, 0, "Stopped", by_hand.text())
    stopped = evolve(well[0], stops=(by_hand,), roles={"record": {"main": held}})
    folded = folding.fold_well(folding.FoldedStatus((stopped, *well[1:])))
    assert folded.stations == (stopped,), "who looks is told what somebody stopped"
    assert view.summary([stopped, well[1]]) == "2 stations, all well, 1 instance stopped by hand"
    found = StatusResult(True, (ill, *well), AT)
    assert len(folding.fold_rooms(found, 31)) == 31
    first, second = folding.fold_rooms(found, 6)
    assert first == "1 room not well: auditorium-max 1/1"
    assert second.startswith("30 rooms well: hall0, hall1, hall2,")


def test_the_worst_is_told_last_in_a_line() -> None:
    ill = evolve(station("cam"), findings=(finding("Record", "nothing written", "record/main"),))
    assert folding.worst((ill,)) == "cam: nothing written"
    assert folding.worst((evolve(ill, well=True),)) is None
    assert folding.worst(()) is None


def test_what_is_recorded_is_told_where_there_is_place_and_in_all() -> None:
    record = evolve(WELL, recorded_bytes=7_800_000_000)
    seen = evolve(station("cam"), roles={"record": {"main": record}}, well=True)
    now = AT.replace(hour=11, minute=5, second=10)
    (head, row) = view.plain(view.lines([seen], now))
    assert head.split() == list(view.HEADER)
    assert row.endswith("recorded 7.8 GB in 2:05:10")
    narrow = view.table(view.lines([seen], now), view.header(now), 80)
    assert "7.8 GB" not in "\n".join(map(str, narrow.renderables))
    assert view.conclusion(StatusResult(True, (seen,), AT)).endswith("; recorded 7.8 GB")


def test_piped_each_instance_is_a_line_of_any_length() -> None:
    lines = list(view.plain(view.lines([station("auditorium-max-camera-balcony")], AT)))
    assert lines[0].split() == list(view.HEADER)
    assert len(lines) == 3
    assert lines[2].endswith(LONG)


def test_times_are_in_the_conferences_zone_and_say_so() -> None:
    brussels = view.zoned(AT, "Europe/Brussels")
    assert view.header(brussels)[6:8] == ("SINCE(CET)", "RESTARTS/H")
    (_, line) = view.lines([station("cam")], brussels)
    assert line.cells[6] == "10:00:00"
    assert line.cells[7] == "17", "of the last hour, not since the agent's start"
    assert view.clock(AT, brussels.replace(day=5)) == "02-01T10:00"
    assert view.moment(AT, "Europe/Brussels") == "2026-02-01 10:00:00 CET"
    assert view.moment(AT, "Nowhere/Atall") == "2026-02-01 09:00:00 UTC"


@pytest.mark.parametrize("width", [60, 80])
def test_where_the_header_is_narrow_the_sentence_names_zone_and_hour(width: int) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, color_system=None, width=width)
    now = view.zoned(AT, "Europe/Brussels")
    view.show(view.lines([station("auditorium-max-camera")], now), console, view.header(now))
    words = " ".join(output.getvalue().split())
    assert "17 restarts in the last hour" in words
    assert "10:00:00 CET" in words


def test_rooms_are_in_the_order_of_people() -> None:
    stations = [evolve(station(name), room=name, well=True) for name in ("room10", "room3")]
    found = StatusResult(True, tuple(stations), AT)
    assert [line.split()[0] for line in view.rooms(found)] == ["room3", "room10"]


def finding(kind: str, text: str, instance: str | None = None) -> HealthFinding:
    since = AT if instance else None
    return HealthFinding(
        *(kind, HealthLevel.GO, "hall1", "cam", instance, "tripod", text, "fleet logs"), since=since
    )


def test_what_no_cell_shows_stands_beneath() -> None:
    found = (
        finding("Record", "nothing written", "record/main"),
        finding("Stream", "stream down, target unreachable", "stream/hq"),
        finding("DiskFull", "disk full in 20 min"),
        finding("Conflict", "two boxes use its id"),
    )
    ill = evolve(station("cam"), findings=found)
    (_, last) = view.lines([ill], AT)
    assert last.beneath == ("go: nothing written since 09:00:00 UTC", "go: disk full in 20 min")
    (_, last) = view.lines([evolve(ill, presence=PresenceState.LOST)], AT)
    assert last.beneath == ()


def test_the_next_talk_is_on_the_day_it_says_and_by_the_time_of_that_day() -> None:
    """Over midnight, and over the change to summer time."""
    now = datetime(2026, 3, 28, 22, 10, tzinfo=ZoneInfo("Europe/Brussels"))
    on, later = (
        ScheduledTalk(
            name, ScheduledRoom("One"), name, now + begin, now + begin + HOUR, 1, "2026-03-28"
        )
        for name, begin in (("Opening", -HOUR / 2), ("Keynote", 10 * HOUR))
    )
    line = talk_line(RoomTalk("hall1", on, later), now)
    assert line == 'now "Opening" until 22:40 CET; next "Keynote" at Sun 08:10 CEST'


def test_two_boxes_on_one_id_are_not_away(capsys: pytest.CaptureFixture[str]) -> None:
    away = evolve(pending(1)[0], standing=Standing.PENDING)
    conclude((away,), None, "UTC")
    why = "two boxes use its id; it gets its config once one is left"
    both = evolve(away, name="twice", conflict=True, presence=PresenceState.ONLINE, why=why)
    with pytest.raises(typer.Exit) as ended:
        conclude((both,), None, "UTC")
    assert ended.value.exit_code == 1
    assert f"twice: {why}\n" in capsys.readouterr().err
