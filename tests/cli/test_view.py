"""The status table at any width: nothing is lost, and nothing is wider than the terminal."""

import io
from datetime import UTC, datetime

import pytest
from attrs import evolve
from rich.console import Console

from fleet.cli import view
from fleet.model import PresenceState, State
from fleet.operations import HealthFinding, HealthLevel, InstanceReport, StationStatus, StatusResult

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
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


def test_many_that_were_never_heard_are_one_line_and_the_others_stay() -> None:
    ill = station("cam")
    both = evolve(pending(1)[0], name="twice", conflict=True)
    shown, line = view.never_heard([ill, both, *pending(36)])
    assert shown == (ill, both)
    assert line == (
        "36 stations never heard yet: hall0-cam, hall1-cam, hall2-cam, hall3-cam and 32 more"
    )
    few = [ill, *pending(3)]
    assert view.never_heard(few) == (tuple(few), None)
    _, line = view.never_heard(pending(4))
    assert line is not None
    assert line.endswith(": hall0-cam, hall1-cam, hall2-cam, hall3-cam")


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
