"""What `fleet-manager init` leaves: whose it is, what is in it, and that a second run is none."""

import json
import os
import pwd
import re
import ssl
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fleet import contexts
from fleet.joining import AUTHORITY_OID, BadToken, JoinToken
from fleet.manager.access import authority
from fleet.manager.access.init import CannotInit, init
from fleet.manager.access.modes import mended
from fleet.manager.access.renewing import renew
from fleet.manager.settings import manager_broker, read_manager
from fleet.manager.web.certificate import PageCertificate
from fleet.settings import BadSettings
from tests.processes import ROOT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caller's own, with nothing in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    return tmp_path / "home"


def everything(directory: Path) -> dict[str, bytes]:
    return {str(one): one.read_bytes() for one in directory.rglob("*") if one.is_file()}


def test_a_second_run_changes_nothing_and_nobody_else_reads_the_first(
    tmp_path: Path, home: Path
) -> None:
    made = init(tmp_path / "fleet", ["av.example.org", "10.0.0.2"], 18883)
    assert made.url == "mqtts://av.example.org:18883"
    before = everything(tmp_path)
    for name in before:
        assert Path(name).stat().st_mode & 0o777 == 0o600, name
    if pwd.getpwuid(Path(tmp_path).stat().st_uid).pw_name == "root":
        broker = tmp_path / "fleet/mosquitto"
        owners = {one.owner() for one in (broker, *broker.iterdir())}
        assert owners == {"mosquitto"}, "it gives up being root, and writes there"
    again = init(tmp_path / "fleet", ["av.example.org"], 18883)
    assert (again.new, again.operator) == ([], None)
    for hosts, port in ((["other.example.org"], 18883), (["av.example.org"], 18884)):
        with pytest.raises(CannotInit, match="nothing was changed"):
            init(tmp_path / "fleet", hosts, port)
    assert everything(tmp_path) == before


def test_manager_and_operator_find_all_they_need(tmp_path: Path, home: Path) -> None:
    made = init(tmp_path / "fleet", ["av.example.org"], 18883)
    settings = read_manager(tmp_path / "fleet", None)
    broker = manager_broker(settings)
    assert (str(broker), broker.username) == ("mqtts://127.0.0.1:18883", "manager")
    assert settings.accounts
    assert settings.join == made.url
    assert (settings.http, settings.http_name) == ("0.0.0.0:9700", ("av.example.org",))
    PageCertificate(Path(settings.http_certificate or ""), Path(settings.http_key or ""))
    context = contexts.chosen(None)
    assert (context.broker, context.username) == (made.url, made.operator)
    conf = (tmp_path / "fleet/mosquitto/mosquitto.conf").read_text()
    assert "allow_anonymous false" in conf
    bounds = re.findall(r"(?m)^(?:max|persistent)_.*", conf)
    assert "persistent_client_expiration 1h" in bounds, "else what has gone is kept for ever"
    for other in (ROOT / "mosquitto").glob("*.conf"):
        assert re.findall(r"(?m)^(?:max|persistent)_.*", other.read_text()) == bounds, other
    assert tomllib.loads((home / "fleet/config.toml").read_text())["context"] == "fleet"
    accounts = json.loads((tmp_path / "fleet/mosquitto/dynamic-security.json").read_text())
    secrets = [
        Path(one).read_text().strip()
        for one in (settings.password_file, context.password_file, settings.metrics_token_file)
        if one
    ]
    assert len(set(secrets)) == 3
    for secret in secrets:
        assert secret not in json.dumps(accounts)


def test_what_others_can_read_or_write_is_mended_and_said_and_what_is_not_ours_is_refused(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "fleet"
    init(place, ["av.example.org"], 18883)
    assert mended(place) == []
    wrong = {"manager.toml": 0o622, "manager.password": 0o644, "page.key": 0o604, "ca.key": 0o777}
    wrong |= {"mosquitto/broker.key": 0o644, "mosquitto": 0o733}
    for name, mode in wrong.items():
        (place / name).chmod(mode)
    said = mended(place)
    assert [one.partition(" could be ")[0] for one in said] == [
        str(place / name)
        for name in (
            *("mosquitto", "manager.toml", "manager.password", "page.key", "ca.key"),
            "mosquitto/broker.key",
        )
    ]
    assert f"{place}/manager.toml could be written by others; now it cannot (chmod 600)" in said
    assert f"{place}/ca.key could be written by others; now it cannot (chmod 700)" in said
    assert mended(place) == []
    if os.geteuid() == 0:
        os.chown(place / "manager.toml", 0, -1)
        (place / "manager.toml").chmod(0o640)
        assert mended(place) == [], "root's own, and a group may read it"

    def not_ours(path: Path, mode: int) -> None:
        raise PermissionError

    (place / "metrics.token").chmod(0o644)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", not_ours)
        with pytest.raises(BadSettings, match=r"metrics.token can be read by others: chmod 600 "):
            mended(place)
    # Who runs as root finds one that somebody else has put there; anybody else has no such rights.
    nobody = pwd.getpwnam("nobody").pw_uid
    if os.geteuid() == 0:
        os.chown(place / "manager.toml", nobody, -1)
        with pytest.raises(BadSettings, match=r"manager.toml belongs to nobody: chown root "):
            mended(place)


def test_what_stopped_half_way_is_begun_anew(tmp_path: Path, home: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Exception, match="cannot be"):
        init(tmp_path / "other", ["h"], 18883)
    assert not (tmp_path / "other/manager.toml").exists()
    (tmp_path / "home").unlink()
    assert init(tmp_path / "other", ["h"], 18883).new


def test_a_certificate_is_renewed_for_the_same_names_before_it_ends(
    tmp_path: Path, home: Path
) -> None:
    init(tmp_path / "f", ["av.example.org", "10.0.0.2"], 18883)
    file = tmp_path / "f/mosquitto/broker.pem"
    first = file.read_text()
    assert renew(tmp_path / "f") is None
    assert file.read_text() == first
    ca = authority.KeyPair((tmp_path / "f/ca.pem").read_text(), (tmp_path / "f/ca.key").read_text())
    for days in (-340, 3650):  # the second by a clock that was wrong, and is right again
        made = datetime.now(UTC) + timedelta(days)
        file.write_text(authority.new_certificate(ca, authority.hosts_of(first), made).certificate)
        until = renew(tmp_path / "f")
        assert until is not None
        assert timedelta(days=360) < until - datetime.now(UTC) < timedelta(days=366)
        assert authority.hosts_of(file.read_text()) == authority.hosts_of(first)
    assert renew(tmp_path / "f", ["more.example.org"]) is not None
    for one in (file, tmp_path / "f/page.pem"):
        assert "more.example.org" in authority.hosts_of(one.read_text())


def test_the_broker_does_not_choose_for_whom_its_certificate_is_renewed(
    tmp_path: Path, home: Path
) -> None:
    init(tmp_path / "f", ["av.example.org"], 18883)
    file = tmp_path / "f/mosquitto/broker.pem"
    foreign = authority.new_certificate(authority.new_authority(), ["bank.example"]).certificate
    file.write_text(foreign)
    with pytest.raises(CannotInit, match="not signed by this fleet's"):
        renew(tmp_path / "f", now=True)
    assert file.read_text() == foreign


def test_a_servers_certificate_has_its_authority_in_it_and_ends_when_it_says() -> None:
    at = datetime(2026, 2, 1, tzinfo=UTC)
    ca = authority.new_authority(at)
    served = authority.new_certificate(ca, ["av.example.org", "::1"], at)
    assert authority.ends(ca.certificate) == at + timedelta(days=3650)
    assert authority.ends(served.certificate) == at + timedelta(days=365)
    found = x509.load_pem_x509_certificate(served.certificate.encode()).extensions
    one = found.get_extension_for_oid(x509.ObjectIdentifier(AUTHORITY_OID))
    assert isinstance(one.value, x509.UnrecognizedExtension)
    assert ssl.DER_cert_to_PEM_cert(one.value.value) == ca.certificate
    assert not one.critical, "programs that know it not take the certificate all the same"


@pytest.mark.parametrize("host", ["", "a b", "-x", "mqtts://h", "h:8883", "a" * 64, "*"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(authority.BadHost, match=r"av\.example\.org"):
        authority.checked_host(host)


def test_a_token_is_one_word_and_says_when_a_part_is_missing() -> None:
    token = JoinToken.new(bytes(range(32)))
    word = str(token)
    assert word.replace("-", "").replace("_", "").isalnum()
    assert not word.startswith("-"), "it would be taken for an option"
    assert JoinToken.parse(word) == token
    assert token.secret not in repr(token)
    swapped = word[:9] + ("A" if word[9] != "A" else "B") + word[10:]
    for wrong in ("", word[:-4], word + "AAAA", swapped, "ä" * 76, word[:-1] + "="):
        with pytest.raises(BadToken, match="copy the line again"):
            JoinToken.parse(wrong)
