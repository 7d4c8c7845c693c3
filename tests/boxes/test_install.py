"""From bare Debians to a recording, by what the README says, word for word.

One machine's network serves all three, so the boxes, which would be named after their cards, are
given ids; and the server's address in the README becomes the loopback's.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest
import pytest_asyncio

from tests.boxes.box import Box, bare
from tests.processes import ROOT, until

pytestmark = [pytest.mark.boxes, pytest.mark.timeout(900)]

README: Final = (ROOT / "README.md").read_text()
JOINING: Final = (ROOT / "docs/joining.md").read_text()
IDS: Final = {"cam": "b827eb0000a1", "slides": "b827eb0000a2"}
APT: Final = "DEBIAN_FRONTEND=noninteractive apt-get -q"
FILE: Final = """
[rooms.hall1]
title = "Hall 1"
[profiles.camera.roles.record.main]
source = {type = "test", size = "320x180", rate = 25}
segment_seconds = 2
[stations.hall1-cam]
id = "b827eb0000a1"
room = "hall1"
profiles = ["camera"]
[stations.hall1-slides]
id = "b827eb0000a2"
room = "hall1"
profiles = ["camera"]
"""


def steps(title: str) -> list[str]:
    """The commands of the block below a bold `title` in the README's chapter on installing."""
    chapter = README.split("## Install it", 1)[1].split("\n## ", 1)[0]
    block = re.search(rf"\*\*{title}\*\*.*?```sh\n(.*?)```", chapter, re.DOTALL)
    assert block is not None, title
    return [line for line in block[1].splitlines() if line and not line.startswith("#")]


def type_in(box: Box, lines: list[str], *, station: str = "", token: str = "") -> str:
    """What the box prints for `lines`, typed one after the other in one shell."""
    script = "\n".join(["set -e", *lines])
    for theirs, ours in (
        (
            "apt install ",
            "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y ",
        ),
        ("<this repository>", "/repository"),
        ("install station", f"install station --station {station}"),
        ("--host av.example.org", "--host 127.0.0.1"),
        ("fleet-agent join mqtts://av.example.org:8883 TOKEN", token),
    ):
        script = script.replace(theirs, ours)
    return box.run(script)


def recordings(box: Box) -> list[Path]:
    return sorted((box.root / "srv/recordings").glob("*.ts"))


def recorder(box: Box) -> int:
    """The process that records on `box`, 0 where none does; what reads back is younger."""
    found = []
    for process in psutil.process_iter(["name", "create_time"]):
        if process.info["name"] != "ffmpeg":
            continue
        with contextlib.suppress(FileNotFoundError):  # others end meanwhile
            if Path(f"/proc/{process.pid}/root").samefile(box.root):
                found.append((process.info["create_time"], process.pid))
    return min(found)[1] if found else 0


async def records_on(box: Box, before: int) -> None:
    await until(lambda: len(recordings(box)) > before + 1, 60, f"new recordings on {box.name}")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare(tmp_path_factory.mktemp("boxes"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def boxes(image: Path) -> AsyncIterator[dict[str, Box]]:
    made = {name: Box(name, image, image.parent) for name in ("server", "cam", "slides")}
    try:
        for box in made.values():
            await box.boot()
        yield made
    finally:
        for box in made.values():
            await box.switch_off()


def fleet(boxes: dict[str, Box], command: str, check: bool = True) -> str:
    return boxes["server"].run(command, check)


@pytest.mark.asyncio(loop_scope="module")
class TestFromReadme:
    """One story, each test a chapter; a chapter needs those before it."""

    async def test_a_server_takes_three_commands_and_a_box_two(self, boxes: dict[str, Box]) -> None:
        server, station = (steps(it) for it in ("The server", "Each capture box"))
        assert (len(server), len(station)) == (3, 2)
        said = type_in(boxes["server"], server)
        line = re.search(r"^fleet-agent join mqtts://127\.0\.0\.1:8883 \S+$", said, re.MULTILINE)
        assert line is not None, said
        for name, id_ in IDS.items():
            said = type_in(boxes[name], station, station=id_, token=line[0])
            assert f"this box is let in as station {id_}" in said
            assert "comes in with it by itself" in said
        await until(
            lambda: all(id_ in fleet(boxes, "fleet status", check=False) for id_ in IDS.values()),
            60,
            "both boxes in fleet status",
        )
        for name in IDS:
            check = boxes[name].run("fleet-agent check")
            assert "missing" not in check
            assert "checked as fleet, like the service\n" in check
            assert "/var/lib/fleet-agent, revision" in check
            mode = "stat -c '%a %U' /var/lib/fleet-agent/credential.json"
            assert boxes[name].run(mode).strip() == "600 fleet"
        renewed = boxes["server"].run("systemctl start fleet-renew && journalctl -u fleet-renew")
        assert "nothing has changed" in renewed

    async def test_a_second_run_changes_nothing(self, boxes: dict[str, Box]) -> None:
        for name, what in (("server", "server"), ("cam", "station")):
            said = boxes[name].run(f"cd /opt/fleet-source && scripts/install {what}")
            assert not re.search(r"(writing|starting|restarting|installing|linking|making) ", said)

    async def test_a_box_gets_what_it_runs_with_and_nothing_to_test_with(
        self, boxes: dict[str, Box]
    ) -> None:
        packages = boxes["cam"].run("ls /opt/fleet/current/lib/python3*/site-packages")
        assert "aiomqtt" in packages
        assert not re.search(r"^(_?pytest|mypy|selenium|hypothesis|ruff)$", packages, re.MULTILINE)

    async def test_systemd_finds_that_they_may_do_little(self, boxes: dict[str, Box]) -> None:
        for name, unit, most in (("server", "fleet-manager", 2.0), ("cam", "fleet-agent", 5.0)):
            said = boxes[name].run(f"systemd-analyze security {unit} --no-pager")
            level = re.search(rf"exposure level for {unit}.service: ([\d.]+)", said)
            assert level is not None, said
            assert float(level[1]) <= most

    async def test_it_ends_in_recordings(self, boxes: dict[str, Box]) -> None:
        (boxes["server"].root / "root/conference.toml").write_text(FILE)
        fleet(boxes, "fleet apply /root/conference.toml --yes")
        assert "all well" in fleet(boxes, "fleet status")
        for name in IDS:
            await records_on(boxes[name], 0)

    async def test_a_broker_that_is_killed_is_begun_anew_and_filled(
        self, boxes: dict[str, Box]
    ) -> None:
        limits = (
            "systemctl show mosquitto --property=MemoryMax,MemorySwapMax,StartLimitIntervalUSec"
        )
        assert boxes["server"].run(limits).split() == [
            f"MemoryMax={1 << 30}",
            "MemorySwapMax=0",
            "StartLimitIntervalUSec=0",
        ]
        before = {name: recorder(boxes[name]) for name in IDS}
        # As the kernel does at that limit, which not every machine can give to a container.
        boxes["server"].run(
            "systemctl kill -s KILL mosquitto; "
            "until systemctl show -p NRestarts mosquitto | grep -q =1; do sleep 0.1; done"
        )
        await until(
            lambda: "all well" in fleet(boxes, "fleet status", check=False), 60, "all well soon"
        )
        # One that knows nothing yet learns from what the broker was given anew.
        boxes["server"].run("systemctl restart fleet-manager")
        await until(
            lambda: "all well" in fleet(boxes, "fleet status", check=False), 60, "all well again"
        )
        said = fleet(boxes, "fleet status")
        assert all(name in said for name in ("hall1-cam", "hall1-slides"))
        assert {name: recorder(boxes[name]) for name in IDS} == before

    async def test_an_upgrade_leaves_the_recording_alone(self, boxes: dict[str, Box]) -> None:
        box, before = boxes["cam"], recorder(boxes["cam"])
        assert before
        newer = "sed -i 's/__version__ = .*/__version__ = \"99.0\"/' fleet/version.py"
        said = box.run(f"cd /opt/fleet-source && {newer} && scripts/install station")
        assert "restarting fleet-agent" in said
        await until(
            lambda: (
                "99.0" in box.run("fleet-agent --version")
                and "record/main" in box.run("fleet-agent status", check=False)
            ),
            30,
            "the new agent",
        )
        assert recorder(box) == before
        journal = box.journal()
        assert re.search(r" fleet-agent\[\d+\]: .* fleet-agent 99\.0, ", journal)
        assert "reception only permitted" not in journal, "its helpers speak to systemd"
        await until(lambda: len(box.run("ls /opt/fleet/releases").split()) >= 1)

    async def test_a_stop_just_after_a_crash_ends_the_recording(
        self, boxes: dict[str, Box]
    ) -> None:
        box = boxes["cam"]
        there = len(recordings(box))
        box.run(
            "systemctl kill -s KILL --kill-who=main fleet-agent; "
            "until systemctl show -p SubState fleet-agent | grep -q stop-post; do sleep 0.1; done; "
            "systemctl stop fleet-agent"
        )
        assert not recorder(box)
        box.run("systemctl start fleet-agent")
        await records_on(box, there)

    async def test_after_a_power_cut_it_records_on(self, boxes: dict[str, Box]) -> None:
        box = boxes["cam"]
        await box.cut_power()
        there = len(recordings(box))
        await box.boot()
        await records_on(box, there)

    async def test_after_a_reboot_of_all_it_records_on(self, boxes: dict[str, Box]) -> None:
        for box in boxes.values():
            await box.switch_off()
        there = {name: len(recordings(boxes[name])) for name in IDS}
        for box in boxes.values():
            await box.boot()
        for name in IDS:
            await records_on(boxes[name], there[name])
        await until(
            lambda: "all well" in fleet(boxes, "fleet status", check=False), 60, "all well again"
        )

    async def test_uninstalling_leaves_the_recordings(self, boxes: dict[str, Box]) -> None:
        box = boxes["slides"]
        said = box.run("cd /opt/fleet-source && scripts/install station --uninstall")
        assert "stopping and removing fleet-agent" in said
        assert box.run("command -v fleet-agent || true") == ""
        assert not recorder(box)
        assert len(recordings(box)) > 2
        boxes["server"].run("cd /opt/fleet-source && scripts/install server --uninstall")
        assert boxes["server"].run("command -v fleet-manager || true") == ""


@pytest.mark.asyncio(loop_scope="module")
async def test_password_files_stay(image: Path, boxes: dict[str, Box]) -> None:
    """The other way, on one machine for both; the server of before is gone by now."""
    assert boxes["server"].run("command -v fleet-manager || true") == ""
    boxes["server"].run("systemctl stop mosquitto")  # which is left as it runs, on the same ports
    box = Box("passwords", image, image.parent)
    try:
        await box.boot()
        type_in(box, ["apt install git", "git clone <this repository> /opt/fleet-source"])
        install = "cd /opt/fleet-source && scripts/install"
        box.run(f"{install} server")
        said = box.run(f"{install} station --broker mqtt://127.0.0.1:1883 --station old1")
        line = re.search(r"scripts/install (admit '.*')", said)
        assert line is not None, said
        box.run(f"{install} {line[1]}")
        await until(
            lambda: "missing" not in box.run("fleet-agent check", check=False), 60, "to be let in"
        )
        file = "FLEET_PASSWORD_FILE=/etc/fleet/operator.password"
        ask = f"FLEET_BROKER=mqtt://127.0.0.1:1884 FLEET_USERNAME=operator {file} fleet"
        await until(lambda: "old1" in box.run(f"{ask} status", check=False), 60, "it in status")
        refused = box.run(f"{ask} token", check=False)
        assert "mosquitto_passwd does" in refused
        box.run("chown root /etc/fleet/agent.password && chmod 600 /etc/fleet/agent.password")
        shut = box.run("fleet-agent check", check=False)
        assert "missing  broker  the password file /etc/fleet/agent.password cannot be" in shut

        moving = JOINING.split("**Moving.**", 1)[1]
        moves = re.findall(r"`(mv [^`]+)`", moving)
        assert len(moves) == 2
        for move in moves:
            box.run(move)
        box.run(f"{install} server --host 127.0.0.1")
        line = re.search(r"^fleet-agent join .+$", box.run("fleet token"), re.MULTILINE)
        assert line is not None
        names = re.search(r"take `(\w+)`, `(\w+)` and `(\w+)` out of", moving)
        assert names is not None
        box.run(f"sed -Ei '/^({'|'.join(names.groups())}) /d' /etc/fleet/agent.toml")
        box.run("systemctl restart fleet-agent")
        box.run(line[0])
        await until(lambda: "online" in box.run("fleet status", check=False), 60, "it again")
        assert "old1" in box.run("fleet status", check=False)
    finally:
        await box.switch_off()
