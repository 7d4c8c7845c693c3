"""What this box is: its name, its network card, its capture devices.

Linux tells all of it in files; `root` is where they lie, so that tests can bring their own.
"""

import re
import socket
from pathlib import Path
from typing import Final

import psutil

from fleet.model import Device

_ROOT: Final = Path("/")
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def hostname() -> str:
    """The machine's own name."""
    return socket.gethostname()


def mac(root: Path = _ROOT) -> str | None:
    """The primary network card's address, lower hex without colons; None if there is none.

    Real cards go before virtual ones, and lower kernel numbers before higher ones: which cable
    is plugged in at the moment must not decide what a station is called.
    """
    found = []
    for card in (root / "sys/class/net").glob("*"):
        address = _read(card / "address").lower()
        if card.name != "lo" and _MAC.fullmatch(address) and address.strip("0:"):
            number = _read(card / "ifindex")
            order = int(number) if number.isdigit() else 0
            found.append((not (card / "device").exists(), order, address))
    return min(found)[2].replace(":", "") if found else None


def addresses() -> tuple[str, ...]:
    """The machine's IP addresses, without loopback and link-local ones."""
    found = [
        address.address
        for card in psutil.net_if_addrs().values()
        for address in card
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    local = ("127.", "169.254.", "::1", "fe80:")
    return tuple(sorted(one for one in found if not one.startswith(local)))


def devices(root: Path = _ROOT) -> tuple[Device, ...]:
    """The capture devices, video first; an id stays the same over a reboot."""
    return (*_video(root), *_sound(root))


def device_files(device: Device, root: Path = _ROOT) -> list[Path]:
    """The files one opens to capture from it."""
    if device.kind == "v4l2":
        return [(root / "dev/v4l/by-id" / device.id).resolve()]
    card = (root / "proc/asound" / device.id).resolve().name.removeprefix("card")
    return sorted((root / "dev/snd").glob(f"pcmC{card}D*c"))


def _video(root: Path) -> list[Device]:
    found = []
    for link in sorted((root / "dev/v4l/by-id").glob("*")):
        name = _read(root / "sys/class/video4linux" / link.resolve().name / "name")
        found.append(Device("v4l2", link.name, name or link.name))
    return found


def _sound(root: Path) -> list[Device]:
    found = []
    for line in _read(root / "proc/asound/cards").splitlines():
        match = re.match(r"\s*(\d+) \[(\S+)\s*\]: (.+)", line)
        # `pcm0c` is a stream that captures, `pcm0p` one that plays.
        if match and any((root / f"proc/asound/card{match[1]}").glob("pcm*c")):
            found.append(Device("alsa", match[2], match[3].partition(" - ")[2] or match[3]))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
