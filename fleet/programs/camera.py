"""Runs a program that reads a camera by RTSP with a login, and lets nobody send it elsewhere.

Who is sent elsewhere by ffmpeg's RTSP takes the login along. Run as `python3 camera.py PLACE --
PROGRAM ARGUMENT…`, PLACE being the camera's address without login and path; the program reads the
address from a list on its standard input. There this puts an address of its own in place of the
camera's, hands all on, and ends a connection whose answer leads elsewhere.

Until the program has pictures sent, which is after it follows anybody, every answer is put into
words of our own, so that none is read otherwise here than there.
"""

import asyncio
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

# Nothing but its neighbours, which need no packages: it is to start at once.
sys.path.append(str(Path(__file__).parents[2]))
from fleet.programs.beside import CHUNK, Answer, begin, pass_on, run

ELSEWHERE = "sends its readers elsewhere"
MOST_BODY = 1 << 20
"""Bytes of what is said of tracks."""
_MOST_LINES = 100
_ENTRY = re.compile(rb"^file 'rtsps?://([^@\n]*@)[^/?'\n]*", re.MULTILINE)
_STATUS = re.compile(rb"RTSP/1\.\d +(\d{3})(?: .*)?")
_ASKED = re.compile(rb"[A-Z_]+ [!-~]+ RTSP/1\.0")
_HEADER = re.compile(rb"([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)")
_CONTROL = bytes([*range(9), *range(10, 32), 127])


class Diverted(ValueError):
    """Where an answer leads."""


class Camera:
    """Hands on what goes between the program and the camera at `place`."""

    def __init__(self, place: str) -> None:
        parts = urlsplit(place)
        self._place, self._host = place, parts.hostname or ""
        self._tls = _trusting() if parts.scheme == "rtsps" else None
        self._port = parts.port or (322 if self._tls else 554)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the program."""
        try:
            far, to_far = await asyncio.open_connection(
                self._host, self._port, ssl=self._tls, limit=CHUNK
            )
        except OSError as error:
            # What a program says of its connection would name the wrong one.
            self._say(error.strerror or str(error))
            writer.close()
            return
        plays = asyncio.Event()
        there = asyncio.create_task(_ask(reader, to_far, plays))
        try:
            await self._answer(far, writer, str(to_far.get_extra_info("peername")[0]), plays)
        except Diverted as error:
            self._say(f"{ELSEWHERE}: {error}")
        except ValueError as error:
            self._say(f"speaks no RTSP: {error}")
        except (OSError, EOFError):
            pass  # the program says so itself
        finally:
            there.cancel()
            to_far.close()
            writer.close()

    async def _answer(
        self,
        far: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
        plays: asyncio.Event,
    ) -> None:
        while True:
            first = await far.readexactly(1)
            if plays.is_set():
                writer.write(first)
                break
            if first == b"$":  # comes too early for anybody
                size = (await far.readexactly(3))[1:]
                await far.readexactly(int.from_bytes(size))
                continue
            writer.write(await _said(first, far, peer))
            await writer.drain()
        await pass_on(far, writer)

    def _say(self, what: str) -> None:
        print(f"camera: {self._place}: {what}", file=sys.stderr, flush=True)


async def _ask(
    reader: asyncio.StreamReader, to_far: asyncio.StreamWriter, plays: asyncio.Event
) -> None:
    with suppress(OSError):
        while some := await reader.read(CHUNK):
            if some.startswith(b"PLAY "):
                plays.set()
            to_far.write(some)
            await to_far.drain()
        to_far.close()


async def _said(first: bytes, far: asyncio.StreamReader, peer: str) -> bytes:
    """What it says, with nothing in it that could be read otherwise.

    Raises:
        Diverted: it leads there.
        ValueError: it is not RTSP.
    """
    lines = [line.translate(None, _CONTROL) async for line in _lines(first, far)]
    if not lines:
        return b""
    status = _STATUS.fullmatch(lines[0])
    if status is None and not _ASKED.fullmatch(lines[0]):
        raise ValueError(repr(lines[0][:60]))
    headers = [found.groups() for line in lines[1:] if (found := _HEADER.fullmatch(line))]
    if status is not None and status[1].startswith(b"3"):
        raise Diverted(_where({name.lower(): value for name, value in headers}))
    size = 0
    said = [lines[0]]
    for name, value in headers:
        match name.lower():
            case b"location":
                continue
            case b"content-length":
                size = int(value)
                continue
            case b"transport" if b"client_port" in value and b"source=" not in value:
                value += f";source={peer}".encode()
        said.append(name + b": " + value)
    if not 0 <= size <= MOST_BODY:
        raise ValueError(f"{size} bytes of what it sends")
    if size:
        said.append(b"Content-Length: %d" % size)
    return b"\r\n".join((*said, b"", await far.readexactly(size)))


async def _lines(first: bytes, far: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Of a head, without what ends them; none if it begins with an empty one."""
    for _ in range(_MOST_LINES):
        line = first if first == b"\n" else first + await far.readline()
        first = b""
        if not line.endswith(b"\n"):
            raise EOFError
        if not line.strip(b"\r\n"):
            return
        yield line
    raise ValueError("a head without an end")


def _where(headers: dict[bytes, bytes]) -> str:
    """Where an answer leads, with nothing else of it."""
    parts = urlsplit(headers.get(b"location", b"").decode("ascii", "replace"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200]


def _trusting() -> ssl.SSLContext:
    """As ffmpeg takes them: many a camera signs for itself."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _beside(place: str) -> Answer:
    return Camera(place).serve


def past(list_: bytes, port: int) -> bytes:
    """The list, with a port of ours in place of the camera.

    Raises:
        ValueError: no camera with a login is in it, so that nobody would stand before it.

    >>> past(b"file 'rtsps://me:pw@[::1]:8322/a@b'", 9)
    b"file 'rtsp://me:pw@127.0.0.1:9/a@b'"
    """
    found, many = _ENTRY.subn(rb"file 'rtsp://\g<1>127.0.0.1:%d" % port, list_, count=1)
    if not many:
        raise ValueError("a list with a camera and its login is expected on standard input")
    return found


def main(argv: Sequence[str]) -> None:
    """Become the program, with what stands before the camera beside it."""
    place, program = argv[0], list(argv[2:])
    with open(0, "rb", closefd=False) as given:
        said = past(given.read(), begin(__file__, place))
    number = os.memfd_create("list")
    os.write(number, said)
    os.lseek(number, 0, os.SEEK_SET)
    os.dup2(number, 0)
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    run(main, _beside)
