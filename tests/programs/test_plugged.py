"""Devices are read from the files Linux tells of them in; here from a made tree (no hardware)."""

from pathlib import Path

import pytest

from fleet.agent.local import check
from fleet.programs.plugged import Plugged, plugged, the_only

CARDS = """\
 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xb1230000 irq 145
 1 [CODEC          ]: USB-Audio - USB Audio CODEC
                      Burr-Brown USB Audio CODEC at usb-0000:00:14.0-2
"""


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def camera(root: Path, number: int, name: str, *links: str, **properties: str) -> None:
    """A video device as the kernel and udev show it."""
    node = f"sys/class/video4linux/video{number}"
    put(root, f"dev/video{number}")
    put(root, f"{node}/name", f"{name}\n")
    put(root, f"{node}/index", f"{properties.pop('index', '0')}\n")
    put(root, f"{node}/dev", f"81:{number}\n")
    if properties:
        lines = [f"E:{key}={value}\n" for key, value in properties.items()]
        put(root, f"run/udev/data/c81:{number}", "".join(lines))
    for link in links:
        place = root / "dev/v4l" / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(f"../../video{number}")


def sound(root: Path) -> None:
    put(root, "proc/asound/cards", CARDS)
    put(root, "proc/asound/card0/pcm0p/info")
    put(root, "proc/asound/card1/pcm0c/info")


ELGATO = "usb-Elgato_Cam_Link_4K-video-index0"


def test_devices_are_named_by_what_stays_the_same(tmp_path: Path) -> None:
    camera(tmp_path, 0, "Cam Link 4K: Cam Link 4K", f"by-id/{ELGATO}")
    sound(tmp_path)
    put(tmp_path, "dev/blackmagic/io0")
    assert plugged(tmp_path) == [
        Plugged("v4l2", ELGATO, "Cam Link 4K: Cam Link 4K", f"/dev/v4l/by-id/{ELGATO}"),
        Plugged("alsa", "CODEC", "USB Audio CODEC", "hw:CARD=CODEC"),
        Plugged("decklink", "0", "Blackmagic input 0", "0"),
    ]
    assert [one.text for one in check.devices(tmp_path)][1:] == [
        f'Cam Link 4K: Cam Link 4K  {{type = "v4l2", device = "{ELGATO}"}}',
        'USB Audio CODEC  {type = "alsa", device = "hw:CARD=CODEC"}',
        'Blackmagic input 0  {type = "decklink", device = 0}',
    ]


def test_two_of_a_make_without_serial_numbers_are_told_apart_by_their_socket(
    tmp_path: Path,
) -> None:
    camera(tmp_path, 0, "Grab", "by-path/pci-usb-1", "by-id/usb-Grab")
    camera(tmp_path, 2, "Grab", "by-path/pci-usb-2", "by-id/usb-Grab")
    camera(tmp_path, 10, "Card")
    assert [(one.id, one.device) for one in plugged(tmp_path)] == [
        ("/dev/v4l/by-path/pci-usb-1", "/dev/v4l/by-path/pci-usb-1"),
        ("usb-Grab", "/dev/v4l/by-id/usb-Grab"),
        ("/dev/video10", "/dev/video10"),
    ]


def test_what_gives_no_pictures_is_no_capture_device(tmp_path: Path) -> None:
    camera(tmp_path, 0, "Camera", ID_V4L_CAPABILITIES=":capture:")
    camera(tmp_path, 1, "Its other data", index="1")
    camera(tmp_path, 2, "Decoder", ID_V4L_CAPABILITIES=":")
    camera(tmp_path, 3, "Output", ID_V4L_CAPABILITIES=":video_output:")
    assert [one.name for one in plugged(tmp_path)] == ["Camera"]


def test_the_only_one_is_taken_and_none_or_several_are_named(tmp_path: Path) -> None:
    for kind, none in (
        ("v4l2", "no video device is plugged in"),
        ("alsa", "no sound card is plugged in"),
        ("decklink", "no decklink input is plugged in"),
    ):
        with pytest.raises(LookupError, match=none):
            the_only(kind, tmp_path)
    camera(tmp_path, 0, "Cam Link 4K", f"by-id/{ELGATO}")
    sound(tmp_path)
    put(tmp_path, "dev/blackmagic/io0")
    assert [the_only(kind, tmp_path).device for kind in ("v4l2", "alsa", "decklink")] == [
        f"/dev/v4l/by-id/{ELGATO}",
        "hw:CARD=CODEC",
        "0",
    ]
    camera(tmp_path, 1, "Mini", "by-id/usb-Mini")
    several = rf'2 video devices are plugged in, "any" takes one: {ELGATO} \(Cam.*usb-Mini \(Mini\)'
    with pytest.raises(LookupError, match=several):
        the_only("v4l2", tmp_path)


def test_no_devices_is_no_error(tmp_path: Path) -> None:
    assert plugged(tmp_path) == []
    assert [one.text for one in check.devices(tmp_path)] == [
        "none runs here: a new device is noticed within a minute",
        "none is plugged in",
    ]


@pytest.mark.parametrize("text", ["garbage", " x [y]", "\0\xff"])
def test_odd_files_are_no_error(tmp_path: Path, text: str) -> None:
    put(tmp_path, "proc/asound/cards", text)
    put(tmp_path, "sys/class/video4linux/video/dev", text)
    assert [one.name for one in plugged(tmp_path)] == ["/dev/video"]
