"""Secrets of a station: whose they are, where they may go, and that an old one never comes back."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.agent.secret_files import SecretFiles
from fleet.host import Failed
from fleet.model import KeptSecret
from fleet.station import SentSecret
from fleet.wire import encode

AT = datetime(2026, 2, 1, 9, tzinfo=UTC)
LATER = AT + timedelta(seconds=1)
NOW = AT + timedelta(days=1)


def sent(value: str | None, at: datetime = AT, *allow: str, name: str = "key") -> bytes:
    return encode(SentSecret(name, value, allow, at))


@pytest.fixture
def files(tmp_path: Path) -> SecretFiles:
    (tmp_path / "own").mkdir()
    return SecretFiles(tmp_path / "own", tmp_path / "sent")


@pytest.fixture
def own(files: SecretFiles) -> Callable[..., None]:
    def put(name: str, text: str) -> None:
        (files.own / name).write_text(text)
        (files.own / name).chmod(0o600)

    return put


def refused(files: SecretFiles, to: str | None) -> str:
    with pytest.raises(Failed) as failed:
        files.read("key", to)
    assert failed.value.reason == "SecretRefused"
    return failed.value.message


def test_one_that_its_owner_binds_goes_to_those_hosts_alone(
    files: SecretFiles, own: Callable[..., None]
) -> None:
    own("key", "hunter2\n")
    assert files.read("key") == files.read("key", "evil.example.net") == "hunter2"
    own("key.toml", 'allow = ["Live.example.org", "*.cdn.example.org"]\n')
    for host in ("live.example.org", "LIVE.example.org.", "a.b.cdn.example.org"):
        assert files.read("key", host) == "hunter2"
    for host in ("evil.example.net", "cdn.example.org", "xlive.example.org", "live.example.org.x"):
        assert f"not to {host}" in refused(files, host)
    assert "does not say where" in refused(files, None)
    assert files.value("key") == "hunter2"


@pytest.mark.parametrize(
    "text", ["allow = 5", 'allow = ["a b"]', 'allow = ["x.org:443"]', "allow =", 'to = ["x"]', "\0"]
)
def test_one_whose_hosts_cannot_be_read_goes_nowhere(
    files: SecretFiles, own: Callable[..., None], text: str
) -> None:
    own("key", "hunter2")
    own("key.toml", text)
    assert "key.toml cannot be used" in refused(files, "live.example.org")
    (one,) = files.there()
    assert one.problem is not None, "nobody is told that it goes anywhere"
    assert "key.toml cannot be used" in one.problem


def test_one_that_is_sent_is_kept_for_its_hosts_and_for_nobody_else_to_read(
    files: SecretFiles,
) -> None:
    files.take(sent("hunter2", AT, "live.example.org"), NOW)
    assert files.read("key", "live.example.org") == "hunter2"
    refused(files, "evil.example.net")
    assert list(files.there()) == [KeptSecret("key", AT, ("live.example.org",))]
    assert {one.stat().st_mode & 0o777 for one in files.sent.iterdir()} == {0o600}
    assert files.sent.stat().st_mode & 0o777 == 0o700


def test_an_older_one_never_takes_the_place_of_a_newer_also_not_of_one_that_was_forgotten(
    files: SecretFiles,
) -> None:
    files.take(sent("new", LATER), NOW)
    for again in (sent("old", AT), sent("new", LATER)):
        with pytest.raises(ValueError, match="older than what is here"):
            files.take(again, NOW)
    assert files.read("key") == "new"
    files.take(sent(None, LATER + timedelta(seconds=1)), NOW)
    assert list(files.there()) == []
    with pytest.raises(Failed, match="is not on this station"):
        files.read("key")
    with pytest.raises(ValueError, match="older than what is here"):
        files.take(sent("new", LATER), NOW)


def test_one_of_a_time_to_come_is_refused_and_keeps_no_other_out(files: SecretFiles) -> None:
    files.take(sent("a bit ahead", AT + timedelta(minutes=5)), AT)
    for ahead in (timedelta(minutes=5, seconds=1), timedelta(days=3650)):
        with pytest.raises(ValueError, match=r"2026-02-01T09:00:00.000Z here: set the clock"):
            files.take(sent("ahead", AT + ahead), AT)
    files.take(sent("next", AT + timedelta(minutes=6)), AT + timedelta(minutes=6))
    assert files.read("key") == "next"
    # What an earlier agent took all the same is named with the file that keeps others out.
    (files.sent / "key.toml").write_text("at = 2036-02-01T09:00:00Z\n")
    with pytest.raises(ValueError, match=r"of 2036-02-01.* remove .*/sent/key.toml on the box"):
        files.take(sent("newest", LATER), NOW)
    (files.sent / "key.toml").unlink()
    files.take(sent("newest", LATER), NOW)
    assert files.read("key") == "newest"


def test_what_its_owner_keeps_is_not_changed_from_afar(
    files: SecretFiles, own: Callable[..., None]
) -> None:
    own("key", "the owner's")
    with pytest.raises(ValueError, match=r"its owner keeps it in .*own/key: change it there"):
        files.take(sent("hunter2"), NOW)
    assert files.read("key") == "the owner's"
    assert list(files.there()) == [KeptSecret("key", None)]


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"[" * 9999, sent("x", name="../key"), sent("x", name="a.b"), sent("")]
)
def test_what_makes_no_sense_changes_nothing(files: SecretFiles, said: bytes) -> None:
    with pytest.raises(ValueError, match=r"read|name"):
        files.take(said, NOW)
    assert not files.sent.exists()


def test_a_station_keeps_so_many_and_no_more(
    files: SecretFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.agent.secret_files.MAX_SECRETS", 2)
    for name in ("a", "b"):
        files.take(sent("x", name=name), NOW)
    with pytest.raises(ValueError, match="2 secrets at most"):
        files.take(sent("x", name="c"), NOW)
    files.take(sent("y", LATER, name="a"), NOW)
    assert files.read("a") == "y"
