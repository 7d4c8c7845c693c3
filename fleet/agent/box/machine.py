"""What this box is: its name, its network card, its addresses.

Linux tells all of it in files; `root` is where they lie, so that tests can bring their own.
"""

import re
import socket
from pathlib import Path
from typing import Final

import psutil

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


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
