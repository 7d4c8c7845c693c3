"""What is waited for is told: as a line that goes away on a terminal, in plain lines elsewhere."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.cli import terminal
from tests.cli.conftest import Fleet, Play


def test_without_a_terminal_it_is_told_once_it_takes_long_and_only_what_is_new(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with terminal.progress() as tell:
        for clock[0], text in ((101, "a"), (104.9, "b"), (105, "b"), (106, "c"), (111, "b")):
            tell(text)
        clock[0] = 112
        tell("c")
    assert capsys.readouterr().err == "b, for 5 s now\nc, for 12 s now\n"


async def test_a_terminal_shows_what_is_waited_for_and_for_how_long_and_many_as_one_line(
    fleet: Fleet, play: Play, file: Callable[..., Path]
) -> None:
    await play("cam1")
    away = ((f"hall1-{n}", f"box{n}") for n in range(36))
    code, seen = await fleet.on_terminal(
        "apply", "--yes", file(("hall1-cam", "cam1"), *away), columns=80
    )
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", seen)
    assert code == 0
    assert "36 stations pending: hall1-0, hall1-1, hall1-2, hall1-3 and 32 more" in text
    assert "1 of 37 stations in sync" in text
    code, seen = await fleet.on_terminal("wait", "--timeout", "0.6", columns=80)
    text = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", seen).split())
    assert code == 1
    assert re.search(r"1 of 37 in sync; waiting for hall1-0: .*, for \d+ s now", text)
    assert "36 stations are away: hall1-0, hall1-1, hall1-2, hall1-3 and 32 more" in text
