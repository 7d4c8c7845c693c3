"""Takes what Alertmanager posts, from this machine or with a token, and from nobody else."""

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Final

from aiohttp import web

from fleet.manager.notifications.concerns import AlertGroup
from fleet.manager.web.door import HEADERS_SECONDS, shows
from fleet.wire import Undecodable, decode

PATH: Final = "/alerts"
_MOST: Final = 1024 * 1024
"""Bytes of one post."""
_RESTS: Final = 3.0

_BY_PROXY: Final = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
"""With one of these it comes from elsewhere, through a proxy on this machine."""


class AlertReceiver:
    """`POST /alerts` in the form of Alertmanager's webhook. `token`: None where none is set."""

    def __init__(self, hear: Callable[[AlertGroup], None], token: str | None) -> None:
        self._hear = hear
        self._token = token
        self._turn = asyncio.Lock()
        self._rests_until = 0.0

    def add_to(self, app: web.Application) -> None:
        """Serve it as part of `app`."""
        app.router.add_post(PATH, self._take)

    async def _take(self, request: web.Request) -> web.Response:
        if (why := self._why_not(request)) is not None:
            return web.Response(status=401, text=f"{why}\n")
        if (request.content_length or _MOST + 1) > _MOST:
            return web.Response(status=413, text=f"1 to {_MOST} bytes are read\n")
        try:
            async with asyncio.timeout(HEADERS_SECONDS), self._turn:
                await self._read(request)
        except TimeoutError:
            return web.Response(status=408, text="it did not come in time\n")
        except Undecodable as error:
            return web.Response(status=400, text=f"not Alertmanager's webhook: {error}\n")
        return web.Response(text="heard\n")

    async def _read(self, request: web.Request) -> None:
        """One after the other, with a rest of three times as long as it took.

        Raises: Undecodable.
        """
        loop = asyncio.get_running_loop()
        payload = await request.read()
        await asyncio.sleep(self._rests_until - loop.time())
        began = loop.time()
        try:
            self._hear(decode(payload, AlertGroup, _MOST))
        finally:
            self._rests_until = loop.time() + _RESTS * (loop.time() - began)

    def _why_not(self, request: web.Request) -> str | None:
        if self._token is not None:
            if shows(request, self._token):
                return None
            return "the token is another than in alerts_token_file"
        try:
            here = ipaddress.ip_address(request.remote or "").is_loopback
        except ValueError:
            here = False
        if here and not any(one in request.headers for one in _BY_PROXY):
            return None
        return "from another machine it takes a token: set alerts_token_file for the manager"
