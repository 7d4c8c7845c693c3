"""Lets requests in: how many from whom, how long they may take to be said, and to which name.

A browser that an attacker's page sends here by a name of the attacker's gets nothing, a client that
says half a request, none, or reads no answer is let go, and no address takes all connections.
"""

import asyncio
import hmac
import ipaddress
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from aiohttp import web

from fleet.manager.web.certificate import PageCertificate
from fleet.model import printable

HEADERS_SECONDS: Final = 10.0
"""What a request may take to be said, and a connection to be idle."""
READING_SECONDS: Final = 30.0
"""What somebody who reads may take for the next 48 KiB."""
MOST: Final = 800
"""Connections at once."""
MOST_OF_ONE: Final = 200
"""Of one address: a proxy has all its readers on one."""
_OURS: Final = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
"""Ends of names that nobody outside can have point here."""

_NO_NAME: Final = re.compile(r"[^a-z0-9._:%-]")
"""In what is no name or address, whatever it ends with."""

Handler = Callable[[web.Request], Any]
T = TypeVar("T")
_guest: ContextVar["_Guest | None"] = ContextVar("guest", default=None)
"""Whose request is answered."""


def counted_as(address: str) -> str:
    """An address as what is counted as one: of IPv6 the /64, of which anybody has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def shows(request: web.Request, token: str) -> bool:
    """Whether a program shows this token, as a bearer does."""
    return is_said(request, "Authorization", f"Bearer {token}")


def is_said(request: web.Request, header: str, what: str) -> bool:
    """Whether a header has exactly this, which is not found out by how long it takes to say."""
    said = request.headers.get(header, "").encode("utf-8", "surrogateescape")  # any bytes may come
    return hmac.compare_digest(said, what.encode())


async def while_connected(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None where whoever asked has gone, and it is given up at once."""
    task, guest = asyncio.ensure_future(work), _guest.get()
    if guest is not None:
        guest.stream = task
    try:
        return await task
    except asyncio.CancelledError:
        asked = asyncio.current_task()
        if asked is not None and asked.cancelling():
            raise
        return None


class Door:
    """One listening address. `names`: what it is called besides, as `fleet.example.org`;
    `certificate`: that HTTPS is spoken with, None for HTTP.
    """

    def __init__(
        self, names: Iterable[str] = (), certificate: PageCertificate | None = None
    ) -> None:
        self.certificate = certificate
        here = (socket.gethostname(), *names)
        self._names = frozenset(name.casefold().rstrip(".") for name in here)
        self._guests: dict[Any, _Guest] = {}
        self._of: Counter[str] = Counter()

    def around(self, protocol: Callable[[], Any]) -> Callable[[], asyncio.Protocol]:
        """What makes the protocol of each connection, from what makes aiohttp's."""
        return lambda: _Guest(self, protocol())

    @property
    def middleware(self) -> Any:
        """For the application that the protocols serve."""

        @web.middleware
        async def let_in(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self._is_ours(request.host):
                return web.Response(
                    status=421,
                    text=f"this manager is not called {printable(request.host[:100])}; if it is: "
                    "fleet-manager run --http-name NAME\n",
                )
            guest = self._guests.get(request.transport)
            if guest is None:
                return await handler(request)  # type: ignore[no-any-return]
            _guest.set(guest)
            with guest:
                return await handler(request)  # type: ignore[no-any-return]

        return let_in

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names us, or a place that no attacker can have point here."""
        name = host.rpartition("]")[0].lstrip("[") or host.partition(":")[0]
        name = name.casefold().rstrip(".")
        if _NO_NAME.search(name):
            return False
        if "." not in name or name in self._names or name.endswith(_OURS):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def came(self, guest: "_Guest", transport: Any, address: str) -> bool:
        """Somebody connects; whether there is room."""
        if len(self._guests) >= MOST or self._of[address] >= MOST_OF_ONE:
            return False
        self._guests[transport] = guest
        self._of[address] += 1
        return True

    def encrypted(self, transport: Any, within: Any) -> None:
        """What is said on a connection is said within TLS from now on."""
        if guest := self._guests.pop(transport, None):
            self._guests[within] = guest

    def left(self, transport: Any, address: str) -> None:
        """Somebody who was let in has gone."""
        if self._guests.pop(transport, None) is not None:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]


class _Guest(asyncio.Protocol):
    """One connection: aiohttp's protocol, and a clock for what it waits for."""

    def __init__(self, door: Door, inner: Any) -> None:
        self._door = door
        self._inner = inner
        self._transport: Any = None
        self._spoken: Any = None
        """What requests come over: the transport, or TLS within it."""
        self._early: list[bytes] = []
        """What came before anybody could hear it."""
        self._made = False
        self._handshake: asyncio.Task[None] | None = None
        self._address = ""
        self._answering = 0
        self.stream: asyncio.Task[Any] | None = None
        """What is said for as long as somebody listens."""
        self._since = 0.0
        self._unread: float | None = None
        """Since when no more can be said, for nobody reads what was."""
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._answering += 1

    def __exit__(self, *_: object) -> None:
        self._answering -= 1
        self._since = asyncio.get_running_loop().time()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._address = counted_as(str((transport.get_extra_info("peername") or ("",))[0]))
        if not self._door.came(self, transport, self._address):
            self._inner = None
            transport.abort()
            return
        self._spoken = transport
        self._since = asyncio.get_running_loop().time()
        self._look()
        if self._door.certificate is None:
            self._let_in(transport)
        else:
            transport.pause_reading()
            context = self._door.certificate.context
            self._handshake = asyncio.ensure_future(self._encrypt(context))

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            within = await loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HEADERS_SECONDS,
            )
        except OSError as error:  # it speaks no TLS, does not trust us, or has gone
            self.connection_lost(error)
            return
        if within is None or self._transport.is_closing():
            if within is not None:
                within.close()
            self.connection_lost(None)
            return
        self._door.encrypted(self._transport, within)
        self._let_in(within)

    def _let_in(self, transport: Any) -> None:
        self._spoken, self._made = transport, True
        self._inner.connection_made(transport)
        for data in self._early:
            self._inner.data_received(data)
        self._early.clear()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        late = loop.time() - self._since
        unread = 0.0 if self._unread is None else loop.time() - self._unread
        if unread >= READING_SECONDS or (not self._answering and late >= HEADERS_SECONDS):
            self._transport.abort()
            return
        wait = HEADERS_SECONDS if self._answering else HEADERS_SECONDS - late
        self._timer = loop.call_later(wait, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.stream is not None:
            self.stream.cancel()
        self._door.left(self._spoken, self._address)
        if self._made:
            self._made = False
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._made:
            self._inner.data_received(data)
        elif self._inner is not None:
            self._early.append(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._made else None

    def pause_writing(self) -> None:
        self._unread = asyncio.get_running_loop().time()
        if self._made:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._unread = None
        if self._made:
            self._inner.resume_writing()
