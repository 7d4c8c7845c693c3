"""What strangers wrote never steers the terminal or log of who reads it."""

import ast
import io
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from fleet import notify
from fleet.cli import terminal
from fleet.cli.names import fitting
from fleet.model import printable
from tests.cli.conftest import Fleet
from tests.manager.station import PretendStation, apply
from tests.processes import ROOT, Mosquitto, Programs
from tests.stranger import Stranger

STEERS = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2066\r"
"""Clears the screen, renames the window, colours, turns the line round, overwrites it."""


def harmless(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


def test_only_one_place_prints_what_the_commands_say() -> None:
    for path in sorted((ROOT / "fleet/cli").rglob("*.py")):
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        allowed = {"terminal.py", "app.py", "view.py", "status.py", "watch.py", "tab.py"}
        assert "print" not in calls or path.name in allowed, path


def test_the_tab_key_offers_no_name_that_steers_a_terminal() -> None:
    assert fitting({"hall1", f"hall1{STEERS}", "hall2\nrm -rf", None}, "hall") == ["hall1"]


def test_json_is_the_same_to_a_reader_and_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.print_json({"text": STEERS + "ünï\U0001f600"})
    out = capsys.readouterr().out
    assert harmless(out)
    assert json.loads(out) == {"text": STEERS + "ünï\U0001f600"}


def test_no_message_forges_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    notify.start_logging()
    try:
        logging.getLogger("fleet").warning("said: %s", f"a\n2026-01-01 ERROR all is lost{STEERS}")
        logging.getLogger("fleet").warning("%s, they said", "z" * 1_000_000)
    finally:
        root.handlers.clear()
        root.setLevel(level)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert len(lines[2]) < 10_000
    assert lines[2].endswith("zz, they said")
    assert lines[0].endswith("said: a")
    assert lines[1].startswith("    2026-01-01 ERROR")
    assert harmless(stream.getvalue())


def test_no_messages_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        notify, "time", SimpleNamespace(monotonic=iter([5.0] * 50 + [6.0]).__next__)
    )
    complaints = notify.Complaints(logging.getLogger("fleet.test"))
    for _ in range(51):
        complaints.say("ignored a message on %s: %s", "x" * 65_000, "y" * 65_000)
    assert len(caplog.records) == 6
    assert "(45 more were not logged)" in caplog.records[5].message
    assert all(len(one.message) < 700 for one in caplog.records)


async def test_every_command_shows_them_as_text(
    broker: Mosquitto, stranger: Stranger, programs: Programs, fleet: Fleet, tmp_path: Path
) -> None:
    manager = programs.manager(broker)
    await manager.says("connected;")
    evil = json.dumps(STEERS)
    text = (
        f'[rooms.hall1]\ntitle = {evil}\n[stations.cam]\nid = "cam1"\nroom = "hall1"\n'
        f"where = {evil}\n[stations.cam.roles.beep.main]\ntext = {evil}\n"
    )
    (tmp_path / "conference.toml").write_text(text)
    await apply(stranger, text)
    station = PretendStation(stranger, "cam1")
    await station.register(
        hostname=STEERS, devices=[{"kind": "alsa", "id": STEERS, "name": STEERS}]
    )
    await station.ack()
    await station.presence()
    station.roles = {"beep": {"main": {}}}
    await station.status("failed", reason="Broken", message=STEERS)
    stranger.publish(
        station.topic("log"),
        {
            "lines": [
                {
                    "at": "2026-02-01T09:00:00Z",
                    "role": "beep",
                    "instance": "main",
                    "stream": "stderr",
                    "text": STEERS,
                }
            ],
            "dropped": 0,
        },
    )
    for words in (
        ("status",),
        ("devices",),
        ("roles",),
        ("doctor",),
        ("history",),
        ("history", "cam"),
        ("show", "cam"),
        ("export",),
        ("plan", str(tmp_path / "conference.toml")),
        ("validate", str(tmp_path / "conference.toml")),
        ("diff", "cam", "1", "1"),
    ):
        for more in ((), ("--json",)):
            said = await fleet(*words, *more)
            assert harmless(said.out + said.err), (words, more, said)
    code, seen = await fleet.on_terminal("status")
    assert code == 3
    assert "\u202e" not in seen
    assert "\x9b" not in seen
    assert "\x1b]0" not in seen


def test_what_can_be_shown_stays_as_it_is() -> None:
    assert printable("schön \U0001f600") == "schön \U0001f600"
