"""A real sshd with keys of its own, and a connection to it that can be cut."""

import asyncio
import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.processes import free_port


def key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """Make a pair; the private one. The public one is beside it."""
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True)
    return path.read_text()


def public(path: Path) -> str:
    return path.with_name(f"{path.name}.pub").read_text().strip()


class Sshd:
    """Takes one key, and shows one; `target(path)` are settings that fit it.

    `env`: what a shell there finds, beside a home in which nothing tells it what to do.
    """

    def __init__(self, directory: Path, more: str = "", **env: str) -> None:
        self.directory, self.port = directory, free_port()
        directory.mkdir()
        self.host_key, self.user_key = directory / "host", directory / "user"
        key(self.host_key)
        self.secret = key(self.user_key)
        self.log = directory / "sshd.log"
        given = " ".join(
            f"{name}={value}" for name, value in {"HOME": str(directory), **env}.items()
        )
        (directory / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile none\n"
            f"AuthorizedKeysFile {self.user_key}.pub\nPasswordAuthentication no\nUsePAM no\n"
            f"KbdInteractiveAuthentication no\nStrictModes no\nPermitRootLogin yes\n"
            "KexAlgorithms curve25519-sha256\n"  # the usual one takes a multiple of its time
            f"SetEnv {given}\n{more}\n"
        )
        # As root it wants a directory below /run, which is made where nobody else sees it.
        private = "mount -t tmpfs none /run && mkdir /run/sshd && "
        apart = ["unshare", "--mount"] if os.geteuid() == 0 else []
        command = f"{private if apart else ''}exec /usr/sbin/sshd -D -e -f {directory}/sshd_config"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([*apart, "sh", "-c", command], stderr=log)

    def target(self, path: Path, **more: Any) -> dict[str, Any]:
        return {
            "type": "ssh",
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "path": str(path),
            "key": {"secret": "sync-key"},
            "host_key": public(self.host_key),
            **more,
        }

    async def listens(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            assert self._process.poll() is None, self.log.read_text()
            await asyncio.sleep(0.02)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(60)


class Relay:
    """A way to a port that breaks after `most` bytes towards it; None: it does not.

    While `passes` is cleared it takes what is sent, and hands nothing on.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.most: int | None = None
        self.sent = 0
        self.passes = asyncio.Event()
        self.passes.set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, out]
        await asyncio.gather(self._pass(reader, out, True), self._pass(there, writer, False))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if counted:
                    self.sent += len(data)
                    if self.most is not None and self.sent > self.most:
                        self.cut()
                        return
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Both sides get a reset, as of a cable that was pulled and put in again."""
        while self._writers:
            self._writers.pop().transport.abort()

    def close(self) -> None:
        self.cut()
        self._server.close()


@contextlib.contextmanager
def sshd(directory: Path, more: str = "", **env: str) -> Iterator[Sshd]:
    """One with `more` in its configuration."""
    server = Sshd(directory, more, **env)
    try:
        yield server
    finally:
        server.close()
