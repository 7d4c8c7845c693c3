"""A socket in the state directory, for whoever stands at the box with no network.

One JSON line asks (`{"ask": "status"}`), one answers (`{"result": …, "error": …}`). A socket's
path may have 107 bytes and a state directory's more, so both sides reach it through an open
directory.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from fleet import kept
from fleet.model import CommandFailed, Error, InstanceStatus, Refusal, Reply, UnknownCommand, plain
from fleet.strict import Mistakes, structure
from fleet.wire import Undecodable, decode, dumps, encode, from_json, to_json

if TYPE_CHECKING:
    from fleet.host import Command  # whoever asks needs none

log = logging.getLogger(__name__)

_NAME: Final = "agent.sock"
_LIMIT: Final = 16 * 1024 * 1024
_PATIENCE: Final = 10.0
"""Seconds an agent may take to answer whoever stands at the box."""


class NoAgent(Exception):
    """No agent runs on this state directory."""


class SilentAgent(NoAgent):
    """One runs there, and does not answer."""


@frozen
class Ask:
    """What is asked: `status`, `restart`, `stop` or `reload`."""

    ask: str
    arguments: Mapping[str, Any] = {}


@frozen
class LocalStatus:
    """What the agent itself knows. `broker` and `connected`: where it reports to.

    `trouble`: why it is not connected, None where it is.
    """

    station: str
    agent: str
    broker: str
    connected: bool
    trouble: str | None
    revision: int
    rejected: Error | None
    """Why a later revision was refused."""
    roles: Mapping[str, Mapping[str, InstanceStatus]]


class LocalServer:
    """Answers on the socket from `start` to `close`."""

    def __init__(self, directory: Path, commands: "Mapping[str, Command]") -> None:
        self._directory = directory
        self._commands = commands
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; whoever may enter the state directory may ask.

        Where that is impossible (disk full) nobody can ask, and all else goes on.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if not (self._directory / _NAME).is_socket():
                kept.make_way(self._directory / _NAME)
            with _reachable(self._directory) as path:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 (a Path would be resolved)
                sock.bind(path)
        except OSError as error:
            sock.close()
            log.error("nobody at the box can ask this agent: %s: %s", self._directory, plain(error))
            return
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_LIMIT)

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with suppress(OSError):
                (self._directory / _NAME).unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ValueError):
            writer.write(await self._answer(await reader.readline()) + b"\n")
            await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> bytes:
        try:
            asked = decode(line, Ask)
            command = self._commands.get(asked.ask)
            if command is None:
                raise UnknownCommand(f"{asked.ask!r} is none of {', '.join(self._commands)}")
            result = await command.handler(structure(dict(asked.arguments), command.arguments))
            return dumps({"result": to_json(result), "error": None})
        except (Undecodable, Mistakes) as error:
            return encode(Reply(None, CommandFailed(str(error)).error))
        except Refusal as refusal:
            return encode(Reply(None, refusal.error))


def ask(directory: Path, what: str, **arguments: str) -> Any:
    """The answer of the agent that runs on `directory`, as plain JSON values.

    Raises:
        NoAgent: none does; a `SilentAgent` if it has not answered in time.
        Refusal: it says no.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE)
        try:
            with _reachable(directory) as path:
                sock.connect(path)
            sock.sendall(encode(Ask(what, arguments)) + b"\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except (TimeoutError, BlockingIOError):  # the latter where many have asked before
            raise SilentAgent(
                f"the fleet-agent that has {directory} has not answered for {_PATIENCE:g} s: "
                "systemctl restart fleet-agent starts another, what it records goes on"
            ) from None
        except OSError as error:
            why = error.strerror or error
            raise NoAgent(f"no fleet-agent answers in {directory}: {why}") from None
    reply = decode(answer, Reply, _LIMIT)
    if reply.error is not None:
        raise CommandFailed(reply.error.message)
    return reply.result


def status(directory: Path) -> LocalStatus:
    """What the agent on `directory` does.

    Raises:
        NoAgent: none runs.
    """
    return from_json(ask(directory, "status"), LocalStatus)


@contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A short path of the socket, good while the context lasts."""
    number = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{number}/{_NAME}"
    finally:
        os.close(number)
