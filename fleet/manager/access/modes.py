"""Who else may read or write what `fleet-manager init` made, as ssh looks at its keys.

What others can read is no secret any more (addresses of `notify` have passwords in them), and
whoever can write `manager.toml` says whom the manager believes. What we own is mended, and said;
what somebody else owns is refused.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from fleet.manager.access.init import (
    ACCOUNTS,
    BROKER,
    CA,
    CA_KEY,
    CONF,
    KEY,
    MANAGER_USER,
    PAGE,
    PASSWORD,
    TOKEN,
)
from fleet.manager.settings import MANAGER_FILE
from fleet.settings import BadSettings

_BELIEVED: Final = (CA, CONF, PAGE[0])
"""Whoever writes there says whom manager and broker believe."""
_SECRET: Final = (MANAGER_FILE, PASSWORD, PAGE[1], TOKEN, CA_KEY, KEY, ACCOUNTS)
_OTHERS_READ: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def mended(directory: Path) -> list[str]:
    """What was wrong with the rights there and is mended, a line each.

    Raises:
        BadSettings: something is wrong that is not ours to mend; what to type.
    """
    said: list[str] = []
    wrong: list[str] = []
    owners = _owners(directory)
    for path, others in _looked_at(directory):
        try:
            found = path.stat()
        except OSError:
            continue  # whoever needs it says that it is not there, or not ours to read
        if found.st_uid not in owners:
            name = _name(found.st_uid)
            wrong.append(f"{path} belongs to {name}: chown {_name(os.geteuid())} {path}")
        # As other services have it: root's own, which the group of who needs it may read.
        fine = stat.S_IRGRP if found.st_uid == 0 else 0
        if mode := stat.S_IMODE(found.st_mode) & others & ~fine:
            left = stat.S_IMODE(found.st_mode) & ~others
            could = "written" if mode & _OTHERS_WRITE else "read"
            with suppress(OSError):
                path.chmod(left)
                said.append(f"{path} could be {could} by others; now it cannot (chmod {left:o})")
                continue
            wrong.append(f"{path} can be {could} by others: chmod {left:o} {path}")
    if wrong:
        raise BadSettings("\n".join(wrong))
    return said


def _looked_at(directory: Path) -> Iterator[tuple[Path, int]]:
    """Each path, and the rights that others must not have."""
    for path in (directory, directory / BROKER, *(directory / name for name in _BELIEVED)):
        yield path, _OTHERS_WRITE
    for name in _SECRET:
        yield directory / name, _OTHERS_READ


def _owners(directory: Path) -> set[int]:
    """Who may own what is there; whoever owns the directory can put anything into it."""
    found = {0, os.geteuid()}
    with suppress(OSError):
        found.add(directory.stat().st_uid)
    for name in (MANAGER_USER, BROKER):
        with suppress(KeyError):
            found.add(pwd.getpwnam(name).pw_uid)
    return found


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
