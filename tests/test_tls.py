"""The programs talk to a broker that asks for TLS, and to no other that pretends to be it."""

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.mqtt import BadBroker, Broker
from tests.processes import Mosquitto, Programs

ID = "b1"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself; its key lies beside it."""
    certificate = tmp_path / "broker.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=fleet test"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "broker.key"), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate


@pytest.fixture
def broker(brokers: Callable[[str], Mosquitto], authority: Path) -> Mosquitto:
    return brokers(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        f"certfile {authority}\nkeyfile {authority.with_suffix('.key')}\n"
    )


async def test_a_conference_is_run_over_tls(
    broker: Mosquitto, programs: Programs, authority: Path, tmp_path: Path
) -> None:
    url = broker.url.replace("mqtt:", "mqtts:")
    trust = {"SSL_CERT_FILE": str(authority), "FLEET_BROKER": url}
    manager = programs.start(
        *("fleet-manager", "run", "--state-dir", str(tmp_path / "manager")),
        *("--http", "127.0.0.1:0"),
        **trust,
    )
    place = ("--station", ID, "--state-dir", str(tmp_path / "station"))
    agent = programs.start("fleet-agent", "run", *place, **trust)
    await manager.says("connected")
    await agent.says("connected")
    conference = tmp_path / "conference.toml"
    conference.write_text(
        f'[rooms.hall1]\n[stations.cam]\nid = "{ID}"\nroom = "hall1"\n'
        'roles.record.main.source = {type = "test", size = "64x64", rate = 5}\n'
        f"# {'a long message ' * 20_000}\n"
    )
    apply = programs.start("fleet", "apply", "--yes", str(conference), name="apply", **trust)
    assert await apply.ended() == 0, apply.log()


async def test_a_broker_nobody_vouches_for_is_not_talked_to(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    url = broker.url.replace("mqtt:", "mqtts:")
    place = ("--broker", url, "--station", ID, "--state-dir", str(tmp_path / "station"))
    agent = programs.start("fleet-agent", "run", *place)
    told = "its certificate is not trusted: self-signed certificate; set SSL_CERT_FILE to the file"
    await agent.says(told)
    check = programs.start("fleet-agent", "check", *place, name="check")
    assert await check.ended() == 1
    status = programs.start("fleet", "--broker", url, "status", name="status")
    assert await status.ended() == 4
    paths = ssl.get_default_verify_paths()
    for log in (check.log(), status.log()):
        said = " ".join(log.split())
        assert told in said
        assert f"(CA file in use: {paths.cafile or paths.capath}; SSL_CERT_FILE sets" in said
        assert "_ssl.c" not in said


async def test_a_ca_file_that_is_not_there_or_is_none_is_an_error(
    broker: Mosquitto, programs: Programs, authority: Path, tmp_path: Path
) -> None:
    url = broker.url.replace("mqtt:", "mqtts:")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for file, why in (
        (tmp_path / "absent.pem", "cannot be read: No such file or directory"),
        (empty, "holds no certificate: expected PEM"),
    ):
        for argv in (
            ("fleet", "status"),
            ("fleet-agent", "run", "--station", ID, "--state-dir", str(tmp_path / "station")),
            ("fleet-manager", "run", "--state-dir", str(tmp_path / "manager")),
        ):
            name = f"{argv[0]}-{file.name}"
            started = programs.start(*argv, name=name, FLEET_BROKER=url, SSL_CERT_FILE=str(file))
            assert await started.ended() in (1, 2)
            assert f"the CA file {file} (SSL_CERT_FILE) {why}" in " ".join(started.log().split())
            assert "Traceback" not in started.log()


async def test_what_stands_between_two_that_both_run_is_said(
    broker: Mosquitto, brokers: Callable[[str], Mosquitto], programs: Programs, authority: Path
) -> None:
    plain = brokers("listener {port} 127.0.0.1\nallow_anonymous true\n")
    for number, (url, why) in enumerate(
        (
            (f"mqtts://localhost:{broker.port}", "name the broker as its certificate does"),
            (broker.url, "does it want TLS on this port (mqtts://)?"),
            (f"mqtts://127.0.0.1:{plain.port}", "does it speak TLS on this port?"),
        )
    ):
        status = programs.start(
            *("fleet", "--broker", url, "status"),
            name=f"status-{number}",
            SSL_CERT_FILE=str(authority),
        )
        assert await status.ended() == 4
        assert why in " ".join(status.log().split())


def test_a_certificate_error_names_the_ca_as_people_know_it() -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 62, "hostname mismatch"
    given = Broker("box", 8883, tls=True, ca_file="/srv/ca.pem")
    assert given.why(error).endswith("(CA file in use: /srv/ca.pem; another goes there)")
    shown = Broker("box", 8883, tls=True, ca="x", ca_name="the authority that it showed")
    assert shown.why(error).endswith("(CA in use: the authority that it showed)")
    assert "SSL_CERT_FILE" not in given.why(error) + shown.why(error), "it would change nothing"
    with pytest.raises(BadBroker, match=r"the CA in use \(the authority that it showed\) is no"):
        shown.tls_context()
