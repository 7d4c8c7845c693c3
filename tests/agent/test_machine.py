"""The box is read from the files Linux tells it in; here from a tree made for it (no hardware)."""

from pathlib import Path

import pytest

from fleet.agent.box import machine
from fleet.agent.local import check
from fleet.model import Device


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def card(root: Path, name: str, mac: str, index: int, *, real: bool) -> None:
    put(root, f"sys/class/net/{name}/address", mac + "\n")
    put(root, f"sys/class/net/{name}/ifindex", f"{index}\n")
    if real:
        (root / f"sys/class/net/{name}/device").mkdir()


def test_id_comes_from_the_first_real_card(tmp_path: Path) -> None:
    card(tmp_path, "lo", "00:00:00:00:00:00", 1, real=False)
    card(tmp_path, "docker0", "02:42:AC:11:00:02", 2, real=False)
    card(tmp_path, "wlan0", "b8:27:eb:00:00:b2", 4, real=True)
    card(tmp_path, "eth0", "B8:27:EB:00:00:A1", 3, real=True)
    assert machine.mac(tmp_path) == "b827eb0000a1"


def test_virtual_card_is_better_than_none(tmp_path: Path) -> None:
    assert machine.mac(tmp_path) is None
    card(tmp_path, "tun0", "", 2, real=False)
    card(tmp_path, "dummy0", "00:00:00:00:00:00", 3, real=False)
    assert machine.mac(tmp_path) is None
    card(tmp_path, "eth0", "02:42:ac:11:00:02", 9, real=False)
    assert machine.mac(tmp_path) == "0242ac110002"


def test_devices_are_named_by_what_stays_the_same(tmp_path: Path) -> None:
    put(tmp_path, "dev/video0")
    put(tmp_path, "sys/class/video4linux/video0/name", "Cam Link 4K: Cam Link 4K\n")
    by_id = tmp_path / "dev/v4l/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-Elgato_Cam_Link_4K-video-index0").symlink_to("../../video0")
    put(
        tmp_path,
        "proc/asound/cards",
        " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n"
        "                      HDA Intel PCH at 0xb1230000 irq 145\n"
        " 1 [CODEC          ]: USB-Audio - USB Audio CODEC\n"
        "                      Burr-Brown USB Audio CODEC at usb-0000:00:14.0-2\n",
    )
    put(tmp_path, "proc/asound/card0/pcm0p/info")
    put(tmp_path, "proc/asound/card1/pcm0c/info")
    assert machine.devices(tmp_path) == (
        Device("v4l2", "usb-Elgato_Cam_Link_4K-video-index0", "Cam Link 4K: Cam Link 4K"),
        Device("alsa", "CODEC", "USB Audio CODEC"),
    )
    assert [one.text for one in check.devices(tmp_path)] == [
        'Cam Link 4K: Cam Link 4K  {type = "v4l2", device = "usb-Elgato_Cam_Link_4K-video-index0"}',
        'USB Audio CODEC  {type = "alsa", device = "hw:CARD=CODEC"}',
    ]


def test_no_devices_is_no_error(tmp_path: Path) -> None:
    assert machine.devices(tmp_path) == ()
    assert [one.text for one in check.devices(tmp_path)] == ["none is plugged in"]


@pytest.mark.parametrize("text", ["garbage", " x [y]", "\0\xff"])
def test_odd_files_are_no_error(tmp_path: Path, text: str) -> None:
    put(tmp_path, "proc/asound/cards", text)
    assert machine.devices(tmp_path) == ()


def test_addresses_leave_out_what_nobody_else_can_reach() -> None:
    assert not any(one.startswith(("127.", "fe80:")) for one in machine.addresses())
