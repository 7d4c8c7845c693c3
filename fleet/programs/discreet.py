"""Runs a program that knows a login, and keeps that out of what it says.

ffmpeg names an address with user and password when it cannot open it. Run as `python3 discreet.py
PROGRAM ARGUMENT…`; standard input and output are the program's, its standard error goes on line by
line. A signal is handed to the program, and this ends after it, with its status.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Sequence

_LOGIN = re.compile(rb"(?<=://)[^/\s'\"]*@")
_PASSPHRASE = re.compile(rb"(?i)(passphrase[ =:]+'?)[^\s'&]+")


def without_login(line: bytes) -> bytes:
    """A line with `…` for what opens an address.

    >>> without_login(b"cannot open 'rtsp://me:pw@camera/1'").decode()
    "cannot open 'rtsp://…@camera/1'"
    """
    return _PASSPHRASE.sub(rb"\1...", _LOGIN.sub("…@".encode(), line))


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status."""
    child = subprocess.Popen(argv, stderr=subprocess.PIPE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: child.send_signal(number))
    if child.stderr is None:
        raise RuntimeError("a pipe was asked for")
    for line in child.stderr:
        sys.stderr.buffer.write(without_login(line))
        sys.stderr.buffer.flush()
    return abs(child.wait())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
