"""Peers of the media roles: senders, readers and listeners, each a real ffmpeg."""

import itertools
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from tests.processes import PATIENCE, go_first

QUIET = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y")


class Peer:
    """A process that ends with its block."""

    def __init__(self, *argv: str, keep: tuple[int, ...] = ()) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=keep,
            start_new_session=True,
        )
        go_first(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def listens(self) -> bool:
        """Whether it has a socket open; asking does not connect to it."""
        assert self.running, self.end()
        return bool(psutil.Process(self._process.pid).net_connections("inet"))

    def end(self) -> str:
        """Interrupt it; what it said."""
        if self.running:
            self._process.terminate()
        said, _ = self._process.communicate(timeout=60)
        return said.decode(errors="replace")


def reader(url: str, file: Path, seconds: float) -> Peer:
    """Copies `seconds` of what a port offers."""
    copy = ("-map", "0", "-c", "copy", "-t", str(seconds))
    return Peer(*QUIET, "-analyzeduration", "1000000", "-i", url, *copy, str(file))


def sender(url: str, size: str, rate: int, volume: float = 1.0) -> Peer:
    """Sends a moving test picture and a tone as MPEG-TS."""
    picture = ("-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}")
    sound = ("-re", "-f", "lavfi", "-i", f"sine=sample_rate=48000,volume={volume}")
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", str(rate))
    return Peer(
        *(*QUIET, *picture, *sound, *h264, "-pix_fmt", "yuv420p", "-c:a", "aac"),
        *("-f", "mpegts", url),
    )


def takes_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


RATE = 25


class Looping(threading.Thread):
    """A web server that sends files as fast as they play, and the last of them over and over.

    All are as long; each but for its first `header` bytes, which come once. Who connects again
    gets the last alone. `stands`: when it sends nothing for how long, and then all of that at once.
    `ends`: it closes each connection once the files are through.
    """

    def __init__(
        self,
        files: list[Path],
        seconds: float,
        header: int = 0,
        stands: tuple[float, float] = (0.0, 0.0),
        ends: bool = False,
    ) -> None:
        super().__init__(daemon=True)
        self._ends = ends
        self._stands = stands
        self._files = [file.read_bytes() for file in files]
        self._seconds, self._header = seconds, header
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._done = threading.Event()
        self.begun = 0.0
        """When it began to send, on the monotonic clock."""
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/live"

    def run(self) -> None:
        with self._socket, suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client, suppress(OSError):
                    self._send(client)
                self._files = self._files[-1:]

    def _send(self, client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + self._files[0][: self._header])
        pieces = round(self._seconds * RATE)
        begun = self.begun = time.monotonic()
        for count in itertools.count():
            turn, piece = divmod(count, pieces)
            if self._ends and turn == len(self._files):
                return
            body = self._files[min(turn, len(self._files) - 1)][self._header :]
            client.sendall(body[len(body) * piece // pieces : len(body) * (piece + 1) // pieces])
            at, stood = self._stands
            until = at + stood if at <= count / RATE < at + stood else count / RATE
            if self._done.wait(max(0.0, begun + until - time.monotonic())):
                return

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.join()


_ICECAST = """<icecast>
  <limits><sources>4</sources></limits>
  <authentication><source-password>{password}</source-password></authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
  <paths><basedir>/usr/share/icecast2</basedir><logdir>{directory}</logdir>
    <webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot>
  </paths>
  <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog></logging>
</icecast>"""


def icecast(directory: Path, port: int, password: str) -> Peer:
    """A server that takes connections; it refuses to be root, so it is made to think it is not.

    It crashes now and then while it begins: it is begun again until it has answered some times.
    """
    file = directory / "icecast.xml"
    file.write_text(_ICECAST.format(port=port, password=password, directory=directory))
    user = ("unshare", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
    deadline = time.monotonic() + PATIENCE
    server, answered = Peer(*user, "icecast2", "-c", str(file)), 0
    while answered < 6:
        assert time.monotonic() < deadline, f"icecast2 does not start: {server.end()}"
        time.sleep(0.04)
        if not server.running:
            server.end()
            server, answered = Peer(*user, "icecast2", "-c", str(file)), 0
        answered = answered + 1 if _answers(port) else 0
    return server


def _answers(port: int) -> bool:
    """Whether a web server does, in full."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as asked:
        asked.sendall(b"GET /status-json.xsl HTTP/1.0\r\n\r\n")
        return asked.recv(4096).startswith(b"HTTP/1.0 200")
    return False


_NGINX = """load_module modules/ngx_rtmp_module.so;
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; {rules} }} }} }}
"""


def nginx_rtmp(directory: Path, port: int, rules: str = "") -> Peer:
    """An RTMP server that passes on what is published, and keeps its players meanwhile."""
    file = directory / "nginx.conf"
    file.write_text(_NGINX.format(port=port, directory=directory, rules=rules))
    server = Peer("/usr/sbin/nginx", "-p", "/usr/share/nginx", "-c", str(file))
    deadline = time.monotonic() + PATIENCE
    while not takes_connections(port):
        assert server.running, server.end()
        assert time.monotonic() < deadline, "nginx does not start"
        time.sleep(0.02)
    return server
