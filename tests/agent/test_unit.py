"""The systemd unit, and what the agent tells systemd through a real socket."""

import asyncio
import configparser
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, Mosquitto, Programs, until

UNIT = ROOT / "systemd/fleet-agent.service"


@pytest.mark.parametrize("name", ["fleet-agent", "fleet-manager"])
def test_unit_is_one_that_systemd_takes(name: str, tmp_path: Path) -> None:
    text = (ROOT / f"systemd/{name}.service").read_text()
    assert f"/usr/local/bin/{name} run\n" in text
    assert f"EnvironmentFile=-/etc/fleet/{name.removeprefix('fleet-')}.env\n" in text
    copy = tmp_path / f"{name}.service"
    copy.write_text(text.replace("/usr/local/bin", str(Path(sys.executable).parent)))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "most"), [("fleet-agent", 5.0), ("fleet-manager", 2.0)])
def test_unit_gives_no_more_than_the_work_needs(name: str, most: float) -> None:
    unit = ROOT / f"systemd/{name}.service"
    tell = ["systemd-analyze", "security", "--offline=true", f"--threshold={most * 10:.0f}"]
    done = subprocess.run([*tell, unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_unit_lets_children_outlive_a_restart() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "process"
    assert service["RestartKillSignal"] == "SIGHUP"
    assert service["Restart"] == "always"
    assert service["RestartSec"] == "0", "a stop meanwhile would run nothing"
    assert "exec /usr/local/bin/fleet-agent stop" in service["ExecStopPost"]
    assert float(service["WatchdogSec"]) > 0
    assert service["User"] == "fleet"
    assert service["SupplementaryGroups"].split() == ["video", "audio"]
    assert "PrivateDevices" not in service


class _Listener:
    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.sock.setblocking(False)
        self.heard: list[str] = []

    def says(self, text: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self.sock.recv(4096).decode())
        return any(one.startswith(text) for one in self.heard)


@pytest.fixture(params=["a path", "an abstract name"])
def listener(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, _Listener]]:
    name = f"@fleet-{os.getpid()}-{tmp_path.name}"  # one for the whole machine
    address = str(tmp_path / "n") if request.param == "a path" else name
    heard = _Listener(address)
    yield address, heard
    heard.sock.close()


async def test_agent_tells_when_it_is_ready_how_it_is_and_that_it_ends(
    broker: Mosquitto, programs: Programs, listener: tuple[str, _Listener]
) -> None:
    address, heard = listener
    agent = programs.agent(broker, "b1", NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
    await until(lambda: heard.says("READY=1"), what="READY=1")
    heard.heard.clear()
    for _ in range(3):
        await until(lambda: heard.says("WATCHDOG=1"), what="WATCHDOG=1")
        heard.heard.clear()
    agent.terminate()
    assert await agent.ended() == 0
    assert heard.says("STOPPING=1")


async def test_manager_tells_when_it_is_ready_how_it_is_and_that_it_ends(
    broker: Mosquitto, programs: Programs, listener: tuple[str, _Listener]
) -> None:
    address, heard = listener
    manager = programs.manager(broker, NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
    await until(lambda: heard.says("READY=1"), what="READY=1")
    await until(lambda: heard.says("WATCHDOG=1"), what="WATCHDOG=1")
    await until(lambda: heard.says("STATUS=0 of 0 stations online"), what="STATUS")
    broker.stop()
    await until(lambda: heard.says("STATUS=not connected to the broker"), what="STATUS")
    manager.terminate()
    await manager.ended()
    assert heard.says("STOPPING=1")


async def test_sighup_by_hand_makes_systemd_start_the_next_agent(
    broker: Mosquitto, programs: Programs, listener: tuple[str, _Listener]
) -> None:
    address, heard = listener
    agent = programs.agent(broker, "b1", NOTIFY_SOCKET=address)
    await until(lambda: heard.says("READY=1"), what="READY=1")
    agent.signal(signal.SIGHUP)
    # Clean to systemd, and not the status 0 after which the unit stays as it is.
    assert await agent.ended() == -signal.SIGHUP


async def test_watchdog_is_not_fed_by_an_agent_that_hangs(
    broker: Mosquitto, programs: Programs, tmp_path: Path, listener: tuple[str, _Listener]
) -> None:
    address, heard = listener
    hang = tmp_path / "roles"
    hang.mkdir()
    (hang / "hang.py").write_text(
        "import asyncio, time\n"
        "from attrs import frozen\n"
        "from fleet.roles import Role, RoleFactory, register_factory\n"
        "@frozen\nclass Settings: pass\n"
        "class Hang(Role[Settings]):\n"
        "    async def start(self) -> None:\n"
        "        print('hangs', flush=True)\n"
        "        while True:\n"
        "            try: time.sleep(3600)\n"
        "            except BaseException: pass\n"  # nor does it end when it is cut short
        "class HangFactory(RoleFactory[Settings]):\n"
        "    role = Hang\n    settings = Settings\n"
        "register_factory('hang', HangFactory())\n"
    )
    state = tmp_path / "b1/state"
    state.mkdir(parents=True)
    (state / "decision.json").write_text(
        '{"in_force": {"revision": 1, "at": null, "by": null, "roles": {"hang": {"x": {}}}},'
        ' "rejection": null}'
    )
    agent = programs.agent(
        broker,
        "b1",
        f'roles_dir = "{hang}"',
        NOTIFY_SOCKET=address,
        WATCHDOG_USEC="200000",
    )
    await agent.says("hangs")
    heard.says("anything")
    heard.heard.clear()
    await asyncio.sleep(1)  # five times the watchdog: what is promised is silence
    assert not heard.says("WATCHDOG=1")
    agent.kill()
