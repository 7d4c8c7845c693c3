"""Devices that come and go are told of; a udev of umockdev's says so, as no device is real here."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent.box.devices import CaptureDevices, device_files, read_formats
from fleet.model import Device, DeviceFormat
from fleet.wire import encode
from tests.processes import PATIENCE, ROOT, Mosquitto, Programs
from tests.stranger import Stranger
from tests.wire.sides import Boss

PRELOAD = "libumockdev-preload.so.0"
UDEV = (
    *("unshare", "--map-root-user", "--mount", "sh", "-c"),
    'mount -t tmpfs none /run && mkdir /run/udev && touch /run/udev/control && exec "$@"',
    "sh",
)
"""Runs a program where there seems to be a udev: umockdev has all of one but its files in /run."""
SAID = """\
ioctl: VIDIOC_ENUM_FMT
\tType: Video Capture

\t[0]: 'MJPG' (Motion-JPEG, compressed)
\t\tSize: Discrete 1920x1080
\t\t\tInterval: Discrete 0.033s (30.000 fps)
\t\t\tInterval: Discrete 0.017s (60.000 fps)
\t\tSize: Discrete 640x480
\t\t\tInterval: Discrete 0.033s (30.000 fps)
\t[1]: 'YUYV' (YUYV 4:2:2)
\t\tSize: Stepwise 48x32 - 2592x1944 with step 2/2
\t\t\tInterval: Continuous 0.011s - 1.000s (1.000-90.000 fps)
"""
FORMATS = (
    DeviceFormat("MJPG", "1920x1080", (30.0, 60.0)),
    DeviceFormat("MJPG", "640x480", (30.0,)),
    DeviceFormat("YUYV", "2592x1944", (90.0,)),
)


class Plugs:
    """Plugs devices into a udev of its own and pulls them."""

    def __init__(self) -> None:
        argv = ["umockdev-wrapper", "/usr/bin/python3", str(ROOT / "tests/agent/plugs.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(argv, **pipes)  # type: ignore[call-overload]
        self.root = Path(self._process.stdout.readline().strip())

    def tell(self, words: str) -> None:
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for drivers answer when a busy machine lets them."""
    for name in ("_ASK", "_END"):
        monkeypatch.setattr(f"fleet.agent.box.devices.{name}", PATIENCE)


@pytest.fixture
def plugs() -> Iterator[Plugs]:
    plugs = Plugs()
    yield plugs
    plugs.end()


async def test_a_device_that_is_plugged_in_or_pulled_is_told_of_at_once(
    broker: Mosquitto, stranger: Stranger, programs: Programs, plugs: Plugs, tmp_path: Path
) -> None:
    driver = tmp_path / "bin/v4l2-ctl"  # nothing here answers for a driver
    driver.parent.mkdir()
    driver.write_text(f"#!/bin/sh\ncat <<'END'\n{SAID}END\n")
    driver.chmod(0o755)
    env = programs.environment(
        LD_PRELOAD=PRELOAD,
        UMOCKDEV_DIR=str(plugs.root),
        PATH=f"{driver.parent}:{os.environ['PATH']}",
    )
    place = ("--state-dir", str(tmp_path / "state"))
    argv = [*UDEV, f"{Path(sys.executable).parent}/fleet-agent", "run", "--broker", broker.url]
    with (tmp_path / "log").open("w") as log:
        agent = subprocess.Popen(  # noqa: ASYNC220 (its environment is not for the warm one)
            [*argv, "--station", "cam1", *place], env=env, stderr=log
        )
    boss = Boss(stranger, "cam1")
    seconds = []
    try:
        await boss.online()
        said = await stranger.expect(boss.topic("registration"))
        assert said["devices"] == []
        for words, names in (
            ("plug 0 Cam_Link", ["Cam_Link"]),
            ("plug 1 Mini", ["Cam_Link", "Mini"]),
            ("pull 0", ["Mini"]),
        ):
            mark, at = stranger.mark(), time.monotonic()
            plugs.tell(words)
            said = await stranger.expect(
                boss.topic("registration"),
                lambda one: (
                    [it["name"] for it in one["devices"]] == names  # noqa: B023
                    and all(it["formats"] for it in one["devices"])
                ),
                after=mark,
            )
            seconds.append(time.monotonic() - at)
    finally:
        agent.terminate()
        agent.wait(60)
    assert "udev" not in (tmp_path / "log").read_text()
    (device,) = said["devices"]
    assert device["id"] == "usb-Mini-video-index0"
    assert device["formats"] == json.loads(encode(FORMATS))
    assert min(seconds) < 10, "nobody waited for the look of each minute"


def test_formats_are_read_as_a_driver_says_them() -> None:
    assert tuple(read_formats(SAID)) == FORMATS
    assert tuple(read_formats("Failed to open /dev/video0\n\xff\n\t[0]: ''\n")) == ()


def tree(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_is_told_of_is_bounded_and_a_driver_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "".join(f"\t[{n}]: 'Y{n}'\n\t\tSize: Discrete {n}x8\n" for n in range(1000))
    program = tmp_path / "bin/v4l2-ctl"
    tree(tmp_path, "bin/v4l2-ctl", f"#!/bin/sh\necho >>{tmp_path}/asked\ncat {tmp_path}/said\n")
    program.chmod(0o755)
    tree(tmp_path, "said", many)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    for number in range(40):
        tree(tmp_path, f"sys/class/video4linux/video{number}/name", "x" * 5000)
    devices = CaptureDevices(tmp_path)
    for _ in range(2):
        devices.look()
    assert [len(one.formats) for one in devices.found] == [24] * 32
    assert {len(one.name) for one in devices.found} == {200}
    assert (tmp_path / "asked").read_text().count("\n") == 32
    assert len(encode(devices.found)) < 64 * 1024


def test_a_driver_that_hangs_is_not_waited_for_and_one_that_was_slow_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "bin/v4l2-ctl", "#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin/v4l2-ctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr("fleet.agent.box.devices._ASK", 0.05)
    tree(tmp_path, "sys/class/video4linux/video0/name", "Stuck")
    devices = CaptureDevices(tmp_path)
    devices.look()
    assert devices.found == (Device("v4l2", "/dev/video0", "Stuck"),)
    words = iter([None, SAID])  # it may have been the box that was slow
    monkeypatch.setattr("fleet.agent.box.devices._said", lambda *_: next(words))
    for _ in range(3):
        devices.look()
    assert devices.found[0].formats == FORMATS
    words = iter([None] * 3)
    devices = CaptureDevices(tmp_path)
    for _ in range(5):
        devices.look()
    assert devices.found[0].formats == ()


def test_a_blackmagic_input_has_its_makers_name_where_that_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        tree(tmp_path, f"dev/blackmagic/io{number}")
    devices = CaptureDevices(tmp_path)
    devices.look()
    assert [one.name for one in devices.found] == ["Blackmagic input 0", "Blackmagic input 1"]
    assert device_files(devices.found[1], tmp_path) == [tmp_path / "dev/blackmagic/io1"]
    said = "0: /dev/blackmagic/io0 [DeckLink Mini Recorder]  0xB14B  OK"
    tree(tmp_path, "bin/BlackmagicFirmwareUpdater", f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "bin/BlackmagicFirmwareUpdater").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    devices.look()
    assert [one.name for one in devices.found] == ["DeckLink Mini Recorder", "Blackmagic input 1"]


async def test_where_no_udev_runs_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await CaptureDevices(tmp_path).watch(never)
    assert (
        "no udev runs here: a device that is plugged in is noticed within a minute" in caplog.text
    )
