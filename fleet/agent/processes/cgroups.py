"""A cgroup for each child, where systemd gave the agent a tree of its own (`Delegate=yes`).

Nothing that a child starts gets out of its cgroup, whatever it does to its session, its
environment and its files. An agent that was not given a tree makes none.
"""

import errno
import logging
import os
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


def put(pid: int, id_: str) -> None:
    """Have that process, and all it starts from now on, in the cgroup of a child."""
    place = tree()
    if place is None:
        return
    try:
        (place / f"{_NAME}{id_}").mkdir(exist_ok=True)
        (place / f"{_NAME}{id_}/cgroup.procs").write_text(str(pid))
    except OSError as error:
        if error.errno != errno.ESRCH:  # else it has ended
            log.warning("process %d gets no cgroup of its own: %s", pid, plain(error))


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
