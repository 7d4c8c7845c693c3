"""What people see at a box that joins, or is made nobody's."""

import io
import sys
from pathlib import Path

import pytest

from fleet.agent.config.store import StateDirectory
from fleet.agent.local.belonging import CannotReset, reset_here, show_code


def test_the_code_is_shown_and_on_a_terminal_as_a_qr_code_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_code("ACDE-FGHK")
    plain = capsys.readouterr().out
    assert plain == "this box waits until somebody types: fleet approve ACDE-FGHK\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_code("ACDE-FGHK")
    shown = capsys.readouterr().out
    assert shown.endswith(plain)
    assert shown.count("\n") > 10
    assert "█" in shown or "\x1b[7m" in shown or "▄" in shown


def test_nothing_is_removed_until_somebody_says_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("k")
    for typed in ("\n", "n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(CannotReset, match="nothing was removed"):
            reset_here(tmp_path, asks=True)
        assert (tmp_path / "key").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    reset_here(tmp_path, asks=True)
    assert not (tmp_path / "key").exists()
    assert "removed: key" in capsys.readouterr().out


def test_a_box_at_work_is_not_made_nobodys(tmp_path: Path) -> None:
    holder = StateDirectory(tmp_path)
    try:
        with pytest.raises(CannotReset, match="first: systemctl stop fleet-agent"):
            reset_here(tmp_path, asks=False)
    finally:
        holder.close()
