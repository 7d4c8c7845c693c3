"""The operator's own file, in a home of its own."""

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve

from fleet import contexts
from fleet.cli.completion import contexts as offered
from fleet.cli.options import BadOptions, Options
from fleet.settings import BadSettings
from tests.processes import ROOT

NOTHING = Options(None, None, None, None)
FILE = """
context = "venue"
[contexts.venue]
broker = "mqtt://fleet.example.org:1884"
username = "ann"
password_file = "venue.password"
prefix = "demo"
[contexts.lab]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet/venue.password").write_text("geheim\n")
    return tmp_path / "fleet"


def test_without_a_file_all_is_as_ever(home: Path) -> None:
    access = NOTHING.access()
    assert (str(access.broker), access.caller) == ("mqtt://127.0.0.1:1883", "anonymous")
    assert access.topics.root == "fleet/v1"


def test_the_files_choice_is_used_and_paths_are_beside_it(home: Path) -> None:
    (home / "config.toml").write_text(FILE)
    access = NOTHING.access()
    assert str(access.broker) == "mqtt://fleet.example.org:1884"
    assert (access.broker.username, access.broker.password) == ("ann", "geheim")
    assert (access.caller, access.topics.root) == ("ann", "demo/v1")


def test_a_named_context_goes_before_it(home: Path) -> None:
    (home / "config.toml").write_text(FILE)
    access = evolve(NOTHING, context="lab").access()
    assert (str(access.broker), access.caller) == ("mqtt://127.0.0.1:1883", "anonymous")


def test_what_was_typed_goes_before_the_file(home: Path, tmp_path: Path) -> None:
    (home / "config.toml").write_text(FILE)
    other = tmp_path / "other"
    other.write_text("anders")
    access = Options("mqtt://h", "bob", other, "x").access()
    assert (str(access.broker), access.broker.password) == ("mqtt://h:1883", "anders")
    assert (access.caller, access.topics.root) == ("bob", "x/v1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("context =", "is not TOML"),
        ('colour = "red"', "colour is not known here"),
        ('[contexts.a]\nbrokr = "x"', "contexts.a.brokr is not known here .did you mean 'broker'"),
        ("[contexts.a]\nusername = 5", "contexts.a.username expected a string, got 5"),
        ("contexts = 5", "contexts expected"),
        ('context = "venu"\n[contexts.venue]', "no context 'venu' .did you mean 'venue'"),
        ('context = "a"', "no context 'a' .there are: none"),
    ],
)
def test_a_bad_file_is_a_sentence(home: Path, text: str, said: str) -> None:
    (home / "config.toml").write_text(text)
    with pytest.raises(BadSettings, match=said):
        contexts.chosen(None)
    with pytest.raises(BadOptions, match=r"config\.toml"):
        NOTHING.access()


def test_a_context_that_nobody_wrote_down_is_a_sentence(home: Path) -> None:
    with pytest.raises(BadSettings, match=re.escape(f"{home}/config.toml has no context 'venue'")):
        contexts.chosen("venue")


def test_a_ca_file_that_is_not_there_is_named_with_its_key(home: Path) -> None:
    (home / "config.toml").write_text('[contexts.a]\nbroker = "mqtts://h"\nca_file = "ca.pem"\n')
    said = re.escape(f"the CA file {home}/ca.pem (ca_file) cannot be read")
    with pytest.raises(BadOptions, match=said):
        evolve(NOTHING, context="a").access()


def test_the_example_of_the_page_is_one(home: Path) -> None:
    page = (ROOT / "docs/settings.md").read_text()
    (example,) = re.findall(r"```toml\n(context = .*?)```", page, re.DOTALL)
    (home / "config.toml").write_text(example)
    assert set(contexts.read().contexts) == {"venue", "rehearsal"}
    assert contexts.chosen(None).ca_file == str(home / "venue-ca.pem")
    assert offered("ve") == ["venue"]


def test_what_is_kept_is_the_owners_alone_and_leaves_the_rest(home: Path) -> None:
    (home / "config.toml").write_text("# mine\n" + FILE)
    ours = contexts.Context("mqtts://av.example.org:8883", "bob")
    file = contexts.keep("av", ours, "a password", "a CA\n", contexts.own_home())
    assert file == home / "config.toml"
    text = file.read_text()
    assert "# mine" in text
    assert contexts.read().context == "venue", "a choice that was made stays"
    assert set(contexts.read().contexts) == {"venue", "lab", "av"}
    found = contexts.chosen("av")
    assert (found.broker, found.username) == (ours.broker, "bob")
    for written, said in ((found.password_file, "a password\n"), (found.ca_file, "a CA\n")):
        assert written is not None
        assert Path(written).read_text() == said
        assert Path(written).stat().st_mode & 0o777 == 0o600
    contexts.keep("av", ours, "another", None, contexts.own_home())
    assert (home / "av.password").read_text() == "another\n"
    assert contexts.chosen("av").ca_file is None


def test_the_first_that_is_kept_is_the_one_that_is_used(home: Path) -> None:
    contexts.keep("av", contexts.Context("mqtt://h:1"), "secret", None, contexts.own_home())
    assert contexts.chosen(None).broker == "mqtt://h:1"


def test_with_sudo_nothing_is_written_where_the_callers_links_lead() -> None:
    root = os.geteuid() == 0
    caller = (65_534, 65_534) if root else (os.getuid(), os.getgid())
    with TemporaryDirectory() as made:  # below which a caller may go
        theirs, ours = Path(made), Path(made, "ours")
        ours.mkdir(0o500)
        (theirs / "fleet").symlink_to(ours)
        os.chown(theirs, *caller)
        home = contexts.Home(theirs, caller)
        with pytest.raises(BadSettings, match="cannot be written"):
            contexts.keep("av", contexts.Context("mqtt://h:1"), "secret", None, home)
        assert list(ours.iterdir()) == []
        (theirs / "fleet").unlink()
        file = contexts.keep("av", contexts.Context("mqtt://h:1"), "secret", None, home)
        assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (caller[0], 0o600)
    assert os.geteuid() == os.getuid()
