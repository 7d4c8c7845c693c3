"""A web server that publishes a schedule as the real ones do: with an ETag, or with trouble."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import define, field


@define
class Publisher:
    """What it answers with now. `cut`: bytes after which it hangs up; `hang`: it never answers."""

    url: str = ""
    content: bytes = b""
    status: int = 200
    cut: int | None = None
    hang: bool = False
    location: str | None = None
    asked: list[int] = field(factory=list)
    """The status of each answer."""
    released: asyncio.Event = field(factory=asyncio.Event)
    """Ends what hangs."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.hang:
            await self.released.wait()
        if self.location:
            self.asked.append(302)
            raise web.HTTPFound(self.location)
        etag = f'"{hashlib.sha1(self.content, usedforsecurity=False).hexdigest()}"'
        status = self.status
        if status == 200 and request.headers.get("If-None-Match") == etag:
            status = 304
        self.asked.append(status)
        body = self.content if status != 304 else b""
        answer = web.StreamResponse(status=status, headers={"ETag": etag})
        answer.content_length = len(body) if status != 304 else None
        await answer.prepare(request)
        await answer.write(body[: self.cut])
        if self.cut is not None and request.transport is not None:
            request.transport.abort()
        return answer


@asynccontextmanager
async def publishing(content: bytes) -> AsyncIterator[Publisher]:
    """One on a free port of loopback."""
    publisher = Publisher(content=content)
    app = web.Application()
    app.add_routes([web.get("/{name:.*}", publisher.answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        publisher.url = f"http://127.0.0.1:{runner.addresses[0][1]}/schedule.json"
        yield publisher
    finally:
        publisher.released.set()
        await runner.cleanup()
