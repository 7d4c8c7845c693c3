"""Where each program's settings come from: flags, then FLEET_*, then TOML, then defaults.

Flags and environment are Typer's; this reads the TOML files and the secrets they point at.
"""

import logging
import os
import resource
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import attrs

from fleet.model import is_name, plain
from fleet.strict import Mistakes, structure

log = logging.getLogger(__name__)

T = TypeVar("T")

AGENT_FILE = Path("/etc/fleet/agent.toml")
"""Read by `fleet-agent` when it is there and no other file is named."""


class BadSettings(ValueError):
    """A settings file that cannot be used; the text says what, where and why."""


def valid_prefix(text: str) -> None:
    """Raises: ValueError: topics cannot begin with it."""
    if not all(map(is_name, text.split("/"))):
        raise ValueError(f"{text!r} cannot be a prefix of topics: expected names such as 'fleet'")


def read_text(path: Path) -> str:
    """The text of a file as people save it: UTF-8 in any locale, a BOM and CRLF do not count.

    Raises:
        OSError, ValueError: it cannot be read, or is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")


def load(path: Path, cls: type[T]) -> T:
    """The TOML file at `path` as a `cls`.

    Raises:
        BadSettings: it cannot be read, is not TOML, or has mistakes (all are named).
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise BadSettings(f"{path} cannot be read: {plain(error)}") from None
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{path} is not TOML: {error}") from None
    try:
        return structure(value, cls)
    except Mistakes as wrong:
        lines = (
            f"{path}: {m.pointer.strip('/').replace('/', '.') or 'the file'} {m.message}"
            for m in wrong.mistakes
        )
        raise BadSettings("\n".join(lines)) from None


def overridden(settings: T, given: Mapping[str, Any]) -> T:
    """`settings` with what was `given` on the command line, None being nothing, in their place.

    Raises:
        BadSettings: with every mistake.
    """
    told = {key: value for key, value in given.items() if value is not None}
    try:
        structure(told, type(settings))
    except Mistakes as wrong:
        raise BadSettings("\n".join(mistake.message for mistake in wrong.mistakes)) from None
    changed: T = attrs.evolve(settings, **told)  # type: ignore[misc]
    return changed


def read_password(path: Path | None) -> str | None:
    """The first line of a password file, or None where no file is named.

    Raises:
        BadSettings: it cannot be read or is empty.
    """
    if path is None:
        return None
    try:
        keep_from_others(path, stat.S_IRWXO | stat.S_IWGRP)  # a team may read one as a group
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise BadSettings(f"the password file {path} cannot be read: {plain(error)}") from None
    if not lines or not lines[0].strip():
        raise BadSettings(f"the password file {path} is empty: expected the password in a line")
    return lines[0]


def keep_from_others(path: Path, others: int = stat.S_IRWXG | stat.S_IRWXO) -> None:
    """Take the rights of `others` at a secret from them, where it is ours; it is said, once.

    Raises:
        OSError, ValueError: it cannot be looked at.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode) or not mode & others:
        return
    could = "read" if mode & others & (stat.S_IRGRP | stat.S_IROTH) else "written"
    left = mode & ~others
    change = "whoever else uses this machine may know it: have it changed"
    if found.st_uid == os.geteuid():
        with suppress(OSError):
            path.chmod(left)
            _warn(f"{path} could be {could} by others; now it cannot (chmod {left:o}). {change}")
            return
    _warn(f"{path} can be {could} by others: chmod {left:o} {path}. {change}")


@lru_cache(maxsize=100)
def _warn(text: str) -> None:
    log.warning("%s", text)


def leave_no_core() -> None:
    """Have no crash write down the memory of this program, or of any that it starts.

    A handler of crashes that ignores the limit still heeds what of a core is to be written.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/coredump_filter").write_text("0")
