"""The files of the pages, as a browser gets them: read once, and with what it may do with them."""

from typing import Final

from aiohttp import web

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

FRESH: Final = HEADERS | {"Cache-Control": "no-store"}
"""Of what is for those who may see it: no browser and no proxy keeps it."""


class PageFile:
    """A file of a page, read once."""

    def __init__(self, body: bytes, kind: str) -> None:
        self._body = body
        self._kind = kind

    async def serve(self, _: web.Request) -> web.Response:
        """The file as it is."""
        return web.Response(
            body=self._body, content_type=self._kind, charset="utf-8", headers=HEADERS
        )
