"""Tells systemd how the agent is: the protocol of sd_notify(3), a datagram to a socket."""

import os
import socket
from contextlib import suppress


class Notifier:
    """Sends to `$NOTIFY_SOCKET`; without one, nothing happens."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = os.environ.get("WATCHDOG_USEC", "") if own else ""
        self.watchdog: float | None = int(micros) / 1e6 / 2 if micros.isdigit() else None
        """Seconds between two `alive`; None where no watchdog is set."""

    def ready(self) -> None:
        """The agent runs what it has to."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={' '.join(text.split())}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # systemd that does not listen is no reason to stop recording
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode(), self._address)
