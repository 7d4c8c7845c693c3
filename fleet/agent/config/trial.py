"""Tries what registers roles in a process of its own, where nothing can hang or end the agent."""

import importlib
import importlib.util
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

TRY_SECONDS: Final = 10.0
"""That the import of one may take."""
_LARGEST: Final = 1024 * 1024
"""Bytes of a role's file."""
_START_SECONDS: Final = 60.0
"""That the other process may take to begin; else nothing can be said."""


def hazards(wanted: Sequence[str]) -> dict[str, str]:
    """Those of the files (paths) and modules (names) whose import hangs or ends its process; why.

    What they raise is told when they are imported for good.
    """
    found: dict[str, str] = {}
    left = list(wanted)
    while left:
        done, why = _try(left)
        del left[:done]
        if why is None:
            break
        found[left.pop(0)] = why
    return found


def _try(wanted: Sequence[str]) -> tuple[int, str | None]:
    """How many can be imported, and what becomes of the next one, None: nothing can be said."""
    argv = [sys.executable, "-P", "-m", __name__, *wanted]
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return 0, None
    assert child.stdout is not None  # noqa: S101 (it is a pipe)
    with child:
        try:
            return _follow(child, child.stdout, len(wanted))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _follow(
    child: "subprocess.Popen[bytes]", said: IO[bytes], count: int
) -> tuple[int, str | None]:
    if not (select.select([said], [], [], _START_SECONDS)[0] and os.read(said.fileno(), 1)):
        return 0, None
    for done in range(count):
        if not select.select([said], [], [], TRY_SECONDS)[0]:
            return done, f"its import is not over after {TRY_SECONDS:g} s"
        if not os.read(said.fileno(), 1):
            status = child.wait()
            end = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            return done, f"its import would have ended the agent ({end})"
    return count, None


def import_file(file: Path, name: str) -> None:
    """Import a role's file as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations in it are looked up there
    try:
        # What Python keeps of a file is as good as its size and the second it was written in.
        exec(compile(_text(file), file, "exec"), vars(module))  # noqa: S102 (a role's file)
    except BaseException:
        sys.modules.pop(name, None)
        raise


def _text(file: Path) -> bytes:
    """What stands in a role's file, which nobody has to wait for."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise ImportError(f"{file} is not a file")
    with file.open("rb") as opened:
        text = opened.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ImportError(f"{file} is larger than a role's file can be, {_LARGEST} bytes")
    return text


def _main(wanted: Sequence[str]) -> None:
    report = os.dup(1)
    os.dup2(2, 1)  # a role may print
    os.write(report, b".")
    for one in wanted:
        with suppress(BaseException):
            if one.endswith(".py"):
                import_file(Path(one), f"roles_dir.{Path(one).stem}")
            else:
                importlib.import_module(one)
        os.write(report, b".")
    os._exit(0)


if __name__ == "__main__":
    import fleet.roles  # noqa: F401 (what all need takes none of their time)

    _main(sys.argv[1:])
