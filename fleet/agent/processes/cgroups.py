"""A cgroup for each child, where systemd gave the agent a tree of its own (`Delegate=yes`).

Nothing that a child starts gets out of its cgroup, whatever it does to its session, its
environment and its files. An agent that was not given a tree makes none.
"""

import errno
import logging
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from fleet.model import plain

log = logging.getLogger(__name__)

_DELEGATED: Final = "user.delegate"
"""What systemd marks a cgroup with that is its service's own."""
_NAME: Final = "child-"


@cache
def tree() -> Path | None:
    """The cgroup this process began in, where it may make others below it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        (own,) = (line.removeprefix("0::") for line in lines if line.startswith("0::"))
        place = next(Path(at[1]) for at in mounts if at[2] == "cgroup2") / own.lstrip("/")
        delegated = os.getxattr(place, _DELEGATED) == b"1"
    except (OSError, ValueError, StopIteration):
        return None
    return place if delegated and os.access(place, os.W_OK) else None


def door(id_: str) -> int | None:
    """An open file by which a process enters the cgroup of a new child; None where it has none."""
    place = tree()
    if place is None:
        return None
    try:
        (place / f"{_NAME}{id_}").mkdir()
        return os.open(place / f"{_NAME}{id_}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        log.warning("a child gets no cgroup of its own: %s", plain(error))
        return None


def enter(door: int) -> None:
    """Go in, in the child itself: what it starts could else be started before it is in."""
    with suppress(OSError):
        os.write(door, b"0")


def members(id_: str) -> list[int]:
    """The processes of a child, none where it has no cgroup.

    One of another process namespace, where two containers share a tree, is none of ours: the kernel
    calls it 0, and 0 would be ourselves.
    """
    place = tree()
    if place is None:
        return []
    try:
        pids = (place / f"{_NAME}{id_}/cgroup.procs").read_text().split()
    except OSError:
        return []
    return [int(pid) for pid in pids if int(pid) > 0]


def remove(id_: str) -> None:
    """Forget a child all of whose processes are gone."""
    place = tree()
    if place is not None:
        try:
            (place / f"{_NAME}{id_}").rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY):
                log.warning("the cgroup of a child stays: %s", plain(error))


def children() -> list[str]:
    """Whose cgroups are there, also those of an earlier agent."""
    place = tree()
    found = place.glob(f"{_NAME}*") if place is not None else ()
    return [one.name.removeprefix(_NAME) for one in found]
