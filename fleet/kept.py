"""Files that outlive a power cut, and what a disk holds after one.

What is written here is the old or the new, never half of one. What is found may be anything:
zeros, nothing, half, another file's words, a directory or a pipe where a file was. It is set aside,
so that nothing stands in the way and nothing is lost, and said once.
"""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

_MOST_ASIDE: Final = 9
"""Damaged ones of one name that are kept."""
_NO_MEANS: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


def replace(
    path: Path,
    payload: bytes,
    *,
    sync: bool = True,
    mode: int = 0o666,
    owner: tuple[int, int] | None = None,
) -> None:
    """Have `payload` in `path`: safe on the disk where this returns, unless `sync` is False.

    `mode`: its rights, less the umask; `owner`: user and group that get it, before it has this
    name: what others put in its place later is not given to them.

    Raises:
        OSError: it is not; what was there before is.
    """
    new = path.with_name(path.name + ".new")
    for one in (new, path):
        if one.is_dir() and not one.is_symlink():
            set_aside(one, "not a file")
    try:
        new.unlink(missing_ok=True)
        with open(new, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(payload)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            if sync:
                os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
    if sync:
        _sync(path.parent)


def sync(path: Path) -> None:
    """Have what `replace` wrote safe on the disk.

    Raises:
        OSError: it is not, or it is gone.
    """
    _sync(path)
    _sync(path.parent)


def read(path: Path, parse: Callable[[bytes], T], most: int) -> T | None:
    """What `parse` makes of the file, which is None where there is none.

    Raises:
        OSError, ValueError: it is no file, cannot be read, is longer than `most` bytes, or `parse`
            says so.
    """
    try:
        with open(path, "rb", opener=opener) as file:
            payload = file.read(most + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise
        return None
    if len(payload) > most:
        raise ValueError(f"longer than {most} bytes")
    return parse(payload)


def opener(name: str, flags: int) -> int:
    """Opens a file for `open`, and nothing else: a pipe would have everybody wait for ever.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    number = os.open(name, flags | os.O_NONBLOCK, 0o666)
    if stat.S_ISREG(os.fstat(number).st_mode):
        return number
    os.close(number)
    raise OSError(errno.EINVAL, "not a file", name)


def make_way(path: Path) -> None:
    """Set aside what stands where a file is to be written in place and is none, or is a link: that
    would have another file written over.
    """
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        set_aside(path, "not a file")


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Have a directory, and those above it; what is in the way of any is set aside.

    A link above it that leads nowhere stays: a disk may not be mounted yet.

    Raises:
        OSError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=mode)
    except (FileExistsError, NotADirectoryError):
        for one in (*reversed(path.parents), path):
            if not one.is_dir() and (one.exists() or (one == path and one.is_symlink())):
                set_aside(one, "not a directory")
        path.mkdir(parents=True, exist_ok=True, mode=mode)


def set_aside(path: Path, why: object) -> None:
    """Move what is damaged out of the way, and say so; the oldest of many goes.

    Raises:
        OSError: `why`, where this process had no means to look: what is there may be whole.
    """
    if isinstance(why, OSError):
        if why.errno in _NO_MEANS:
            raise why
        why = why.strerror or why
    asides = [path.with_name(f"{path.name}.damaged")]
    asides += [path.with_name(f"{path.name}.damaged.{n}") for n in range(2, _MOST_ASIDE + 1)]
    aside = next((one for one in asides if not os.path.lexists(one)), asides[0])
    try:
        if os.path.lexists(aside):
            remove(aside)
        path.rename(aside)
    except OSError as error:
        log.error(
            "%s is damaged (%s) and cannot be set aside: %s", path, why, error.strerror or error
        )
    else:
        log.error("%s is damaged (%s): it is kept as %s", path, why, aside.name)


def remove(path: Path) -> None:
    """Have nothing there any more, whatever it is.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
