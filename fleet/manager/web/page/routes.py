"""Serves the page: its files, the board as JSON and as a stream of events, the thumbnails.

The stream says something at least every other second, and only while the board is being made: a
page that hears nothing knows that what it shows is old.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
from aiohttp import web

from fleet.manager.web.page.files import FRESH, PageFile
from fleet.manager.web.page.look import Look
from fleet.manager.web.page.talks_page import TalksPage
from fleet.wire import dumps

log = logging.getLogger(__name__)

_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    "/page/who.js": ("who.js", "text/javascript"),
    "/page/page.js": ("page.js", "text/javascript"),
    "/page/actions.js": ("actions.js", "text/javascript"),
    "/page/actions.css": ("actions.css", "text/css"),
    "/page/sign-in.css": ("sign-in.css", "text/css"),
    "/page/sign-in.js": ("sign-in.js", "text/javascript"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
_TICK: Final = 1.0
_HURRY: Final = 0.25
"""Seconds between two boards while somebody waits to see what became of what they did."""
_IDLE: Final = 10.0
"""Seconds between two boards while nobody watches: when troubles began is still known."""
_SHARE: Final = 4.0
"""How many times longer to rest than a board took to make: a large fleet has other work."""
_IDLE_SHARE: Final = 50.0
_LONGEST: Final = 3.0


class Page:
    """Makes the board about once a second while somebody watches, and hands it out.

    `may_still`: whether whoever began a stream may go on to see it.
    """

    def __init__(
        self,
        look: Look,
        talks: TalksPage,
        may_still: Callable[[web.Request], bool] = lambda _: True,
    ) -> None:
        self._look = look
        self._talks = talks
        self._may_still = may_still
        self._board = b""
        self._made = -_TICK
        self._cost = 0.0
        self._watchers = 0
        self._ended = False
        self._making = asyncio.Lock()
        self._ticked = asyncio.Event()
        self._wake = asyncio.Event()
        look.watch(self._wake.set)

    def add_to(self, app: web.Application) -> None:
        """Serve it as part of `app`."""
        here = Path(__file__).parent
        for path, (name, kind) in _FILES.items():
            app.router.add_get(path, PageFile((here / name).read_bytes(), kind).serve)
        app.router.add_get("/rooms.json", self._rooms)
        app.router.add_get("/events", self._events)
        app.router.add_get("/thumbnail/{station}/{role}/{instance}.jpg", self._thumbnail)
        self._talks.add_to(app)
        app.cleanup_ctx.append(self._run)
        app.on_shutdown.append(self._end)

    async def _run(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _end(self, _: web.Application) -> None:
        self._ended = True
        self._ticked.set()

    async def _keep(self) -> None:
        while True:
            try:
                await self._make()
            except Exception:  # whoever watches hears nothing more, and says so
                log.exception("the board cannot be made")
            else:
                ticked, self._ticked = self._ticked, asyncio.Event()
                ticked.set()
            if self._watchers:
                self._look.is_watched()
            tick = _HURRY if self._look.hurried else _TICK
            watched = max(tick, min(_SHARE * self._cost, _LONGEST))
            pace = watched if self._watchers else max(_IDLE, _IDLE_SHARE * self._cost)
            with suppress(TimeoutError):
                async with asyncio.timeout(pace):
                    await self._wake.wait()
                rest = self._made + max(_HURRY, _SHARE * self._cost) - time.monotonic()
                await asyncio.sleep(max(0.0, rest))  # however many do something
            self._wake.clear()

    async def _make(self) -> None:
        async with self._making:
            began = time.monotonic()
            board = await self._look.board()
            self._board = await asyncio.to_thread(lambda: dumps(attrs.asdict(board)))
            self._made = time.monotonic()
            self._cost = self._made - began

    async def _fresh(self) -> bytes:
        """The board, made anew where it is old."""
        if time.monotonic() - self._made >= _TICK and not self._making.locked():
            await self._make()
        async with self._making:
            return self._board

    async def _rooms(self, _: web.Request) -> web.Response:
        body = await self._fresh()
        return web.Response(body=body, content_type="application/json", headers=FRESH)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        headers = {**FRESH, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        self._watchers += 1
        self._wake.set()  # the next board is a second away, not ten
        shown = b""
        try:
            await response.write(b"retry: 1000\n\n")
            board = await self._fresh()
            while not self._ended and self._may_still(request):
                now = self._look.now()
                if board == shown:
                    event = b"event: beat\ndata: %.3f\n\n" % now
                else:
                    event = b'event: board\ndata: {"now":%.3f,"board":%s}\n\n' % (now, board)
                    shown = board
                await response.write(event)
                await self._ticked.wait()
                board = self._board
        except ConnectionResetError:
            pass  # the browser has gone
        finally:
            self._watchers -= 1
        return response

    async def _thumbnail(self, request: web.Request) -> web.Response:
        part = request.match_info
        jpeg = self._look.picture(part["station"], part["role"], part["instance"])
        if jpeg is None:
            raise web.HTTPNotFound(text="no picture has come from there\n", headers=FRESH)
        return web.Response(body=jpeg, content_type="image/jpeg", headers=FRESH)
