"""The programs talk to a broker that asks for TLS, and to no other that pretends to be it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

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
    assert await apply.ended(30) == 0, apply.log()


async def test_a_broker_nobody_vouches_for_is_not_talked_to(
    broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    url = broker.url.replace("mqtt:", "mqtts:")
    place = ("--broker", url, "--station", ID, "--state-dir", str(tmp_path / "station"))
    agent = programs.start("fleet-agent", "run", *place)
    await agent.says("no broker: .*certificate verify failed")
    check = programs.start("fleet-agent", "check", *place, name="check")
    assert await check.ended() == 1
    assert "certificate verify failed" in check.log()
