"""Runs a program that reads the web, and lets no list that it reads there lead into our network.

Run as `python3 web.py ADDRESS[,ADDRESS…] -- PROGRAM ARGUMENT…`. The program is told of a proxy of
its own (http_proxy) that ends with it. The proxy goes anywhere on the public internet; of what only
this network can reach, to the hosts and ports of the ADDRESSes, if they are there themselves.
"""

import asyncio
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

# Nothing but its neighbours, which need no packages: it is to start at once.
sys.path.append(str(Path(__file__).parents[2]))
from fleet.programs.beside import Answer, begin, pass_on, run

HEAD_SECONDS = 10.0
AT_ONCE = 32
"""Connections."""
_PORTS = {"http": 80, "https": 443, "rtmps": 443}
Origin = tuple[str, int]


class Elsewhere(OSError):
    """It is inside, and nobody said that it may be asked."""


def origin(url: str) -> Origin:
    """Host and port of an address.

    >>> origin("http://me:pw@Live.example.org/a.m3u8"), origin("https://[2001:db8::1]:8443/")
    (('live.example.org', 80), ('2001:db8::1', 8443))
    """
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)


def is_outside(address: str) -> bool:
    """Whether everybody can reach it.

    >>> [is_outside(one) for one in ("192.0.2.1", "1.1.1.1", "127.0.0.1", "::ffff:10.0.0.5")]
    [False, True, False, False]
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped or ip
    return ip.is_global and not ip.is_multicast


class Proxy:
    """`known`: what may be asked though it is inside."""

    def __init__(self, known: Iterable[Origin]) -> None:
        self._known = frozenset(known)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the program."""
        async with self._places:
            with suppress(OSError, ValueError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                await self._serve(reader, writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        line, _, rest = head.partition(b"\r\n")
        method, target, version = line.decode("ascii").split(" ")
        wanted = origin(f"https://{target}" if method == "CONNECT" else target)
        try:
            far, to_far = await self._open(*wanted)
        except OSError as error:
            # What a program says of its proxy would name the wrong one.
            print(f"web: {target[:300]}: {error.strerror or error}", file=sys.stderr, flush=True)
            if isinstance(error, Elsewhere):
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            to_far.write(f"{method} {path} {version}\r\nConnection: close\r\n".encode())
            to_far.write(b"\r\n".join(one for one in rest.split(b"\r\n") if not _is_of_hop(one)))
        there = asyncio.create_task(pass_on(reader, to_far))
        try:
            await pass_on(far, writer)
        finally:
            there.cancel()
            to_far.close()

    async def _open(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises: OSError: nobody is there; Elsewhere: it is inside."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        if (host, port) not in self._known:
            addresses = [one for one in addresses if is_outside(one)]
        if not addresses:
            raise Elsewhere("it is inside this network, where no list may lead")
        for one in addresses[:-1]:
            with suppress(OSError):
                return await asyncio.open_connection(one, port)
        return await asyncio.open_connection(addresses[-1], port)


def _is_of_hop(line: bytes) -> bool:
    name = line.partition(b":")[0].strip().lower()
    return name in (b"connection", b"proxy-connection", b"proxy-authorization", b"keep-alive")


async def _beside(addresses: str) -> Answer:
    loop = asyncio.get_running_loop()
    known = []
    for one in map(origin, addresses.split(",")):
        # A name that leads outside now is not to lead inside later.
        with suppress(OSError):
            found = await loop.getaddrinfo(*one, type=socket.SOCK_STREAM)
            if not all(is_outside(str(address[0])) for *_, address in found):
                known.append(one)
    return Proxy(known).serve


def main(argv: Sequence[str]) -> None:
    """Become the program, with a proxy beside it."""
    addresses, program = argv[0], list(argv[2:])
    if "http_proxy" not in os.environ:  # else that one decides who may go where
        os.environ["http_proxy"] = f"http://127.0.0.1:{begin(__file__, addresses)}"
        os.environ.pop("no_proxy", None)
    os.execvp(program[0], program)  # noqa: S606


if __name__ == "__main__":
    run(main, _beside)
