"""Files as people save them, whatever their editor, locale and habits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from fleet.settings import BadSettings, load, read_password, read_text

TOML = 'name = "Grüße"\nwhere = "a\'b"\n'


@frozen
class Named:
    name: str
    where: str


def saved(text: str) -> list[bytes]:
    """The same text as several editors save it."""
    unix, dos = text.encode(), text.replace("\n", "\r\n").encode()
    bom = b"\xef\xbb\xbf"
    return [unix, dos, bom + unix, bom + dos]


@pytest.mark.parametrize("payload", saved(TOML))
def test_a_bom_and_crlf_say_nothing(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(payload)
    assert load(path, Named) == Named("Grüße", "a'b")
    assert read_text(path) == TOML


@pytest.mark.parametrize("payload", saved("pässword \nand a note\n"))
def test_a_password_is_the_first_line_however_it_ends(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(payload)
    assert read_password(path) == "pässword "


@pytest.mark.parametrize("payload", [b"", b"\n", b"\r\n", b" \n", b"\xef\xbb\xbf", b"\npassword\n"])
def test_an_empty_password_file_is_told(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(payload)
    with pytest.raises(BadSettings, match=f"{path} is empty"):
        read_password(path)


@pytest.mark.parametrize(
    ("mode", "left"), [(0o644, 0o640), (0o602, 0o600), (0o660, 0o640), (0o640, 0o640)]
)
def test_what_others_may_do_with_a_password_is_taken_from_them_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, left: int
) -> None:
    path = tmp_path / "password"
    path.write_text("p\n")
    path.chmod(mode)
    assert read_password(path) == "p"
    assert path.stat().st_mode & 0o777 == left
    assert (f"now it cannot (chmod {left:o})" in caplog.text) is (mode != left)


def test_one_of_somebody_else_is_said_once_with_what_to_type(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    path.write_text("p\n")
    path.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    for _ in range(2):  # it is read at each attempt to connect
        assert read_password(path) == "p"
    (said,) = caplog.messages
    assert f"{path} can be read by others: chmod 640 {path}. " in said


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"p\xe4ssword\n")
    for read in (read_password, lambda path: load(path, Named)):
        with pytest.raises(BadSettings, match="cannot be read"):
            read(path)
    with pytest.raises(BadSettings, match="cannot be read"):
        read_password(Path("a\0b"))


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_a_locale_changes_nothing(tmp_path: Path, locale: dict[str, str]) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("Grüße", encoding="utf-8")
    code = "import sys; from pathlib import Path; from fleet.settings import read_text; "
    code += "print(ascii(read_text(Path(sys.argv[1]))))"
    said = subprocess.check_output(
        [sys.executable, "-c", code, str(path)], env={**os.environ, **locale}, text=True
    )
    assert said.strip() == ascii("Grüße")
