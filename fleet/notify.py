"""Tells systemd how a program is, and its log what it does.

The protocol of sd_notify(3), a datagram to a socket; lines on stderr that carry their time.
"""

import asyncio
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from typing import Final

from fleet.model import printable


class Notifier:
    """Sends to `$NOTIFY_SOCKET`; without one, nothing happens."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = os.environ.get("WATCHDOG_USEC", "") if own else ""
        # Twice as often as is asked for.
        self._watchdog: float | None = int(micros) / 1e6 / 2 if micros.isdigit() else None

    @property
    def listening(self) -> bool:
        """Whether systemd started us and wants to be told."""
        return bool(self._address)

    def ready(self) -> None:
        """The program does what it has to."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    async def keep_alive(self) -> None:
        """Feed the watchdog, if there is one, as long as the event loop makes progress."""
        while self._watchdog is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog)

    def stopping(self) -> None:
        """The program ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # that systemd does not listen is no reason to stop
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode(), self._address)


_SHOWN: Final = 300
"""Characters of a topic, or of what is wrong with a message, in one line."""
_A_SECOND: Final = 5
_LONGEST: Final = 8192
"""Characters of what is logged at once: a refused config may be megabytes."""


class Complaints:
    """Logs what is wrong with what others send, five times a second at most: one broken sender must
    not fill the log, and with it push out what it did before.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._since = 0.0
        self._said = 0
        self._unsaid = 0

    def say(self, text: str, *of: str) -> None:
        """`text` with `of` in it, each cut short; else count it."""
        now = time.monotonic()
        if now - self._since >= 1:
            self._since, self._said = now, 0
        if self._said >= _A_SECOND:
            self._unsaid += 1
            return
        self._said += 1
        more = f" ({self._unsaid} more were not logged)" if self._unsaid else ""
        self._unsaid = 0
        self._log.warning(text + "%s", *(one[:_SHOWN] for one in of), more)


class _Honest(logging.Formatter):
    """No line begins in a message but its own: those that follow are indented. Of very much, the
    beginning and the end are told.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if len(text) <= _LONGEST:
            return text
        return f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (of the library)
        record.message = "\n    ".join(map(printable, record.message.splitlines()))
        return super().formatMessage(record)


def start_logging() -> None:
    """Log on stderr; each line has its time in UTC, unless the journal gives it one."""
    form = _Honest("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s")
    form.default_time_format, form.default_msec_format = "%Y-%m-%dT%H:%M:%S", ""
    form.converter = time.gmtime
    if _is_journal():
        form = _Honest("%(levelname)-7s %(message)s")
    handler = logging.StreamHandler()
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _is_journal() -> bool:
    """Whether stderr is the journal: JOURNAL_STREAM alone is inherited by anybody."""
    with suppress(OSError, ValueError):
        there = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
    return False
