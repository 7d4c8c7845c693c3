"""The capture devices that are plugged in, from the files in which Linux tells of them.

Read by the agent and by what it starts, the capture program among them, so it needs no packages.
`root` is where those files lie: tests bring their own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ANY = "any"
"""Stands in a conference file for the only device of its kind."""
WORDS = {"v4l2": "video device", "alsa": "sound card", "decklink": "decklink input"}
_ROOT = Path("/")
_MOST = 32
"""Devices of a kind that are told."""


class Plugged(NamedTuple):
    """A device. `id` stays the same over a reboot; `device`: as ffmpeg and GStreamer open it."""

    kind: str
    id: str
    name: str
    device: str


def the_only(kind: str, root: Path = _ROOT) -> Plugged:
    """The device of a kind, where there is but one.

    Raises:
        LookupError: there is none, or there are several; the text names them.
    """
    found, what = list(_KINDS[kind](root)), WORDS[kind]
    if not found:
        raise LookupError(f"no {what} is plugged in")
    if len(found) > 1:
        several = ", ".join(f"{one.id} ({one.name})" for one in found)
        raise LookupError(f'{len(found)} {what}s are plugged in, "{ANY}" takes one: {several}')
    return found[0]


def plugged(root: Path = _ROOT) -> list[Plugged]:
    """All of them, video first, at most `_MOST` of a kind."""
    return [one for list_ in _KINDS.values() for one in list(list_(root))[:_MOST]]


def _video(root: Path) -> Iterator[Plugged]:
    links: dict[str, str] = {}
    for way in ("by-path", "by-id"):
        for link in sorted((root / "dev/v4l" / way).glob("*")):
            # Two of a make without serial numbers share the one, and have the other each.
            links[link.resolve().name] = (
                link.name if way == "by-id" else f"/dev/v4l/{way}/{link.name}"
            )
    for node in sorted((root / "sys/class/video4linux").glob("video*"), key=_number):
        id_ = links.get(node.name, f"/dev/{node.name}")
        if _captures(root, node):
            device = id_ if id_.startswith("/") else f"/dev/v4l/by-id/{id_}"
            yield Plugged("v4l2", id_, _read(node / "name") or id_, device)


def _captures(root: Path, node: Path) -> bool:
    """Whether pictures come out of it: of a camera's second file other data do."""
    known = _read(node / "uevent") + "\n" + _read(root / f"run/udev/data/c{_read(node / 'dev')}")
    found = re.search(r"^(?:E:)?ID_V4L_CAPABILITIES=(.*)$", known, re.MULTILINE)
    if found:
        return ":capture:" in found[1]
    return _read(node / "index") in ("", "0")


def _sound(root: Path) -> Iterator[Plugged]:
    for line in _read(root / "proc/asound/cards").splitlines():
        match = re.match(r"\s*(\d+) \[(\S+)\s*\]: (.+)", line)
        # `pcm0c` is a stream that captures, `pcm0p` one that plays.
        if match and any((root / f"proc/asound/card{match[1]}").glob("pcm*c")):
            name = match[3].partition(" - ")[2] or match[3]
            yield Plugged("alsa", match[2], name, f"hw:CARD={match[2]}")


def _decklink(root: Path) -> Iterator[Plugged]:
    for number, _ in enumerate(sorted((root / "dev/blackmagic").glob("io*"), key=_number)):
        yield Plugged("decklink", str(number), f"Blackmagic input {number}", str(number))


_KINDS = {"v4l2": _video, "alsa": _sound, "decklink": _decklink}


def _number(path: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", path.name)
    return int(digits or 0), path.name


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):
        return ""
