"""Starts the programs of `fleet` from a process that has read their modules already.

    python -m tests.warm FD PID

Each is a process of its own, with the environment, directory and files that it is given, and does
what its console script does. Only reading the modules, most of a short command's time, is done
once; and at its end it does not take apart piece by piece what it shares with the others. What a
test does not want to wait for is put in the place of a module's constants. Over each connection to
the socket FD comes a JSON object a program, with its standard files and a pipe for the exit status;
its process id is the answer. All is over with the process PID.
"""

import atexit
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

MAINS = {
    "fleet": "fleet.cli",
    "fleet-agent": "fleet.agent.cli",
    "fleet-manager": "fleet.manager.cli",
    "small-agent": "tests.agent.small_agent",
}
READ_AT_WORK = (
    "alembic.command",
    "alembic.config",
    "encodings.idna",
    "pyudev",
    "rich._emoji_codes",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "typer._adapters",
)
"""What others read only when they are first used."""

_WHO = (socket.SOL_SOCKET, socket.SO_PEERCRED)
_reports: dict[int, int] = {}
"""Process id -> the pipe that waits for its exit status."""


def _read_all(package: str) -> None:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(getattr(found, "__path__", ()), f"{package}."):
        if ".migrations." not in module.name:  # alembic alone imports these
            importlib.import_module(module.name)


def _work_out() -> None:
    """What the programs make of classes when they first meet one, and keep."""
    from fleet import model, role, station, wire
    from fleet.agent.config.declared import describe

    operations = [sys.modules[name] for name in sys.modules if name.startswith("fleet.operations.")]
    for module in (model, station, *operations):
        for cls in vars(module).values():
            if isinstance(cls, type) and attrs.has(cls) and not getattr(cls, "__parameters__", ()):
                wire._converter.get_structure_hook(cls)
                wire._converter.get_unstructure_hook(cls)
    for factory in role.factories.values():
        describe(factory)


def _reap() -> None:
    while _reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        report = _reports.pop(pid)
        with suppress(OSError):  # who asked has died
            os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(report)


def serve(door: socket.socket, until: int) -> Callable[[], Any]:
    """Start programs until a process ends. In each of them: what it is to do."""
    ended, ending = socket.socketpair()
    for end in (ended, ending):
        end.setblocking(False)
    signal.set_wakeup_fd(ending.fileno())  # a handler alone is not run while this waits
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who waits for this
    over = os.pidfd_open(until)
    asking: list[socket.socket] = []
    while True:
        looked_at: list[socket.socket | int] = [over, ended, door, *asking]
        ready, _, _ = select.select(looked_at, [], [])
        if over in ready:
            return lambda: None
        if ended in ready:
            ended.recv(512)
            _reap()
        if door in ready:
            asks, _ = door.accept()
            _, user, _ = struct.unpack("3i", asks.getsockopt(*_WHO, 12))
            asking.append(asks) if user == os.getuid() else asks.close()
        for asks in [one for one in asking if one in ready]:
            message: bytes = b""
            files: list[int] = []
            with suppress(OSError):  # it has died before it had its answer
                message, files, _, _ = socket.recv_fds(asks, 1 << 18, 4)
            if not message:
                asking.remove(asks)
                asks.close()
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(over)
                for one in (ended, ending, door, *asking):
                    one.close()
                return _become(json.loads(message), files)
            _reports[pid] = files.pop()
            for file in files:
                os.close(file)
            with suppress(OSError):
                asks.send(str(pid).encode())


def _become(asked: dict[str, Any], files: list[int]) -> Callable[[], Any]:
    for report in _reports.values():
        os.close(report)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for standard, file in enumerate(files[:3]):
        os.dup2(file, standard)
    for file in files:
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    for name, seconds in asked["instead"].items():
        _replace(name, seconds)
    sys.argv = asked["argv"]
    sys.modules["__main__"].__package__ = None  # a script is named by its argv
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 (as Python does it)
    sys.stdout = _writes(1, "strict", unbuffered)
    sys.stderr = _writes(2, "backslashreplace", unbuffered)
    Path("/proc/self/comm").write_text(asked["program"])
    main: Callable[[], Any] = importlib.import_module(MAINS[asked["program"]]).main
    return lambda: _end_by(main)


def _replace(constant: str, seconds: float) -> None:
    module, _, name = constant.rpartition(".")
    found = importlib.import_module(module)
    is_span = isinstance(getattr(found, name), timedelta)
    setattr(found, name, timedelta(seconds=seconds) if is_span else seconds)


def _end_by(main: Callable[[], Any]) -> None:
    """What Python does at the end of a script, except for taking itself apart."""
    try:
        main()
        status = 0
    except SystemExit as error:
        if not isinstance(error.code, int | None):
            raise
        status = error.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)  # Python has a way to complain of that
    os._exit(status & 0xFF)


def _writes(file: int, errors: str, unbuffered: bool) -> io.TextIOWrapper:
    """A standard file as Python opens it: errors, and what goes to a terminal, line by line."""
    return io.TextIOWrapper(
        open(file, "wb", buffering=0 if unbuffered else -1),
        encoding="utf-8",
        errors=errors,
        line_buffering=file == 2 or os.isatty(file),
        write_through=unbuffered,
    )


def _leave_nothing_idle() -> None:
    """What is done at idle priority is done at an ordinary one: other tests leave it nothing."""
    decoding = importlib.import_module("fleet.agent.box.decoding")
    decoding.idle = lambda process: None  # type: ignore[attr-defined]


if __name__ == "__main__":
    _leave_nothing_idle()  # before others import it
    _read_all("fleet.cli")
    _read_all("fleet.agent")
    _read_all("fleet.roles")
    _read_all("fleet.manager")
    for name in READ_AT_WORK:
        importlib.import_module(name)
    _work_out()
    gc.collect()
    gc.freeze()
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))())
