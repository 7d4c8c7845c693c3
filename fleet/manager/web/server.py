"""What the manager serves over HTTP: the page, `/metrics` for Prometheus, `/healthz`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fleet.manager.web.alerts import AlertReceiver
from fleet.manager.web.certificate import PageCertificate
from fleet.manager.web.doing import Doing
from fleet.manager.web.door import Door, shows
from fleet.manager.web.page.routes import Page
from fleet.manager.web.signing_in import SigningIn
from fleet.model import plain

_RESTS: Final = 3.0
_STRICT: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What an answer has where its page says nothing else: no browser frames, guesses or keeps it."""


class CannotListen(Exception):
    """The address cannot be listened on; the text says why and what to do."""


class _NotOurFault(logging.Filter):
    """Leaves out what is no HTTP, and that somebody has gone before they were answered: whoever
    does that chooses how often it would be logged.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


class SharedRendering:
    """What is dear to make is made for all who wait for it at once, and then rests three times as
    long as it held the event loop: whoever asks again and again slows themselves alone.

    `collect` gives what is to be written out, which is done in a thread.
    """

    def __init__(self, collect: Callable[[], Callable[[], bytes]]) -> None:
        self._collect = collect
        self._making = asyncio.Lock()
        self._next: asyncio.Task[bytes] | None = None
        self._rests_until = 0.0

    async def body(self) -> bytes:
        """As it is now, or a moment later."""
        if self._next is None:
            self._next = asyncio.create_task(self._render())
        return await asyncio.shield(self._next)

    async def _render(self) -> bytes:
        loop = asyncio.get_running_loop()
        async with self._making:
            await asyncio.sleep(max(0.0, self._rests_until - loop.time()))
            self._next, began = None, loop.time()  # who asks from now on is shown what is so then
            rest = 0.0
            try:
                write = self._collect()
                rest = _RESTS * (loop.time() - began)
                return await asyncio.to_thread(write)
            finally:
                self._rests_until = loop.time() + rest


class _Collected(Collector):
    """What a registry had at one moment, so that a thread can write it out."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families = tuple(registry.collect())

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _be_strict(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _STRICT.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "fleet"  # which releases it is made of is nobody's business


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    registry: CollectorRegistry,
    ailing: Callable[[], Awaitable[str | None]],
    page: Page,
    signing_in: SigningIn,
    doing: Doing,
    alerts: AlertReceiver,
    names: Sequence[str] = (),
    certificate: PageCertificate | None = None,
    token: str | None = None,
) -> AsyncIterator[str]:
    """Serve while inside; gives the address, `http://127.0.0.1:9700`.

    `ailing` says why the manager cannot do its work, None while it can. Port 0 takes a free one;
    `names`: what people call this place besides its address and host name; `certificate`: that it
    speaks HTTPS with, None for HTTP; `token`: what Prometheus has to show, None for nothing.

    Raises:
        CannotListen: the port is taken or the host is not one of ours.
    """

    # To write it out takes several times as long as to collect it, and holds up nobody in a thread.
    rendering = SharedRendering(lambda: partial(generate_latest, _Collected(registry)))

    async def metrics(request: web.Request) -> web.Response:
        if token is not None and not shows(request, token):
            return web.Response(
                status=401,
                text="the metrics are for those who have their token\n",
                headers={"WWW-Authenticate": "Bearer"},
            )
        body = await rendering.body()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        reason = await ailing()
        if reason is None:
            return web.Response(text="ok\n")
        return web.Response(text=f"{reason}\n", status=503)

    door = Door(names, certificate)
    app = web.Application(middlewares=[door.middleware, signing_in.middleware])
    app.on_response_prepare.append(_be_strict)
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz)])
    page.add_to(app)
    signing_in.add_to(app)
    doing.add_to(app)
    alerts.add_to(app)
    logger = logging.getLogger("aiohttp.server")
    if not logger.filters:
        logger.addFilter(_NotOurFault())
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1,
        auto_decompress=False,  # two megabytes may be packed so that they unpack for ten seconds
    )
    await runner.setup()
    try:
        try:
            assert runner.server is not None  # noqa: S101 (it has been set up)
            factory = door.around(runner.server)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(factory, host, port, reuse_address=True)
        except OSError as error:
            raise CannotListen(
                f"cannot listen on {host}:{port}: {plain(error)}; give another address with --http"
            ) from None
        bound = server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        try:
            yield f"http{'s' if certificate else ''}://{shown}:{bound[1]}"
        finally:
            server.close()
    finally:
        await runner.cleanup()
