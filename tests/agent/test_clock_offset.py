"""How far the clock is off comes from a real chronyd, which is told to leave the clock alone.

It has sockets of its own, so one that keeps this machine's clock is not disturbed.
"""

import getpass
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.agent.box.figures import clock_offset
from tests.processes import ROOT

BINS = ("sbin", "bin")
PLACES = ":".join(("/usr/sbin", "/usr/bin", *(f"{ROOT}/.venv/chrony/usr/{d}" for d in BINS)))
CHRONYD, CHRONYC = (shutil.which(name, path=PLACES) for name in ("chronyd", "chronyc"))
SAMPLE = struct.Struct("=qqdiiii")
MAGIC = 0x534F434B


def until(there: Callable[[], float | None]) -> float:
    deadline = time.monotonic() + 60
    while (found := there()) is None:
        assert time.monotonic() < deadline, "chronyd does not follow its source"
        time.sleep(0.1)
    return found


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A chronyd whose one source of time is this socket; `chronyc` asks it."""
    assert CHRONYD, "`make parts` gets chrony"
    assert CHRONYC
    run = tmp_path / "run"
    run.mkdir(0o700)
    config = tmp_path / "chrony.conf"
    config.write_text(
        f"port 0\ncmdport 0\nbindcmdaddress {run}/command\npidfile {run}/pid\n"
        f"refclock SOCK {run}/source poll 0 filter 4 refid TEST\n"
    )
    shim = tmp_path / "bin" / "chronyc"
    shim.parent.mkdir()
    alone = '[ -z "$NOTIFY_SOCKET" ]'  # else systemd would hear of it in the agent's name
    shim.write_text(f'#!/bin/sh\n{alone} && exec {CHRONYC} -h {run}/command "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent), prepend=":")
    monkeypatch.setenv("NOTIFY_SOCKET", str(run / "systemd"))
    argv = [str(CHRONYD), "-x", "-U", "-d", "-u", getpass.getuser(), "-f", str(config)]
    with (tmp_path / "chronyd.log").open("w") as log:
        chronyd = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        there = (run / "source", run / "command")
        until(lambda: 0.0 if all(one.exists() for one in there) else None)
        yield run / "source"
    finally:
        chronyd.terminate()
        chronyd.wait(60)


def test_chronys_offset_is_told_once_it_follows_a_source(source: Path) -> None:
    assert clock_offset() is None, "it follows nobody yet"
    over = threading.Event()

    def tell() -> None:  # more often than chronyc answers on a busy machine: old samples go unused
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            while not over.wait(0.05):
                now = time.time()
                sample = (int(now), int(now % 1 * 1e6), 0.25, 0, 0, 0, MAGIC)
                sender.sendto(SAMPLE.pack(*sample), str(source))

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        assert until(clock_offset) == pytest.approx(0.25, abs=0.01)
    finally:
        over.set()
        telling.join()
