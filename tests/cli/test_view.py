"""The status table at any width: nothing is lost, and nothing is wider than the terminal."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from fleet.cli import view
from fleet.model import PresenceState, State
from fleet.operations import InstanceReport, StationStatus

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
LONG = "the target srt://ingest.example.org:9000 does not answer (timed out after 10 s)"
ILL = InstanceReport(State.BACKOFF, AT, 17, "TargetUnreachable", LONG)
WELL = InstanceReport(State.RUNNING, AT, 0, None, None)


def station(name: str) -> StationStatus:
    presence, roles = PresenceState.ONLINE, {"record": {"main": WELL}, "stream": {"hq": ILL}}
    return StationStatus("cam1", name, "auditorium-max", presence, 8, 7, False, (), roles)


@pytest.mark.parametrize("width", [60, 80, 110, 160, 240])
@pytest.mark.parametrize("name", ["cam", "auditorium-max-camera-balcony"])
def test_every_width_holds_everything(name: str, width: int) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, color_system=None, width=width)
    view.show(view.lines([station(name)], AT), console)
    shown = output.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for word in ("auditorium-max", name, "online", "7/8", "running"):
        assert word in words, shown
    assert "17" in shown
    assert f"TargetUnreachable: {LONG}" in " ".join(words)


def test_piped_each_instance_is_a_line_of_any_length() -> None:
    lines = list(view.plain(view.lines([station("auditorium-max-camera-balcony")], AT)))
    assert lines[0].split() == list(view.HEADER)
    assert len(lines) == 3
    assert lines[2].endswith(LONG)
