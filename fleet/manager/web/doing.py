"""What people ask for on the page: the same operations, rights and answers as over MQTT."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from fleet.manager.people.tries import AtOnce
from fleet.manager.web.door import HEADERS_SECONDS
from fleet.model import is_name

_MOST_ASKED: Final = 64 * 1024
"""Bytes of what is asked: no page sends a conference file."""
_AT_ONCE: Final = 8
"""Answers that one person waits for."""
_SECONDS: Final = 30.0
"""For an answer; after them nothing is done any more."""
_STATUS: Final = {"Forbidden": 403, "UnknownCommand": 404, "InvalidArguments": 400}
_FAILED: Final = 409

Answer = Callable[[str, str, bytes, float], Awaitable[bytes]]
"""(caller, operation, payload, deadline in monotonic seconds) -> the reply as it travels."""


class Doing:
    """`POST /do/OPERATION` with the arguments as JSON; the reply is the manager's."""

    def __init__(self, answer: Answer, caller_of: Callable[[web.Request], str | None]) -> None:
        self._answer = answer
        self._caller_of = caller_of
        self._asking = AtOnce(_AT_ONCE)

    def add_to(self, app: web.Application) -> None:
        """Serve it as part of `app`, behind the sign-in."""
        app.router.add_post("/do/{operation}", self._do)

    async def _do(self, request: web.Request) -> web.Response:
        caller, operation = self._caller_of(request), request.match_info["operation"]
        if caller is None:
            return _refused(401, "sign in first")
        if request.content_type != "application/json" or not is_name(operation):
            return _refused(400, "what is asked is JSON")
        if (request.content_length or _MOST_ASKED + 1) > _MOST_ASKED:
            return _refused(413, f"1 to {_MOST_ASKED} bytes are asked here")
        try:
            with self._asking.one(caller) as may_ask:
                if not may_ask:
                    text = f"{caller} waits for {_AT_ONCE} answers; one after the other"
                    return _refused(429, text)
                async with asyncio.timeout(HEADERS_SECONDS):
                    payload = await request.read()
                body = await self._answer(caller, operation, payload, time.monotonic() + _SECONDS)
        except TimeoutError:
            return _refused(408, "what is asked did not come in time")
        error = json.loads(body)["error"]
        status = _STATUS.get(error["type"], _FAILED) if error else 200
        return web.Response(body=body, status=status, content_type="application/json")


def _refused(status: int, text: str) -> web.Response:
    error = {"type": "InvalidArguments", "message": text, "problems": []}
    return web.json_response({"result": None, "error": error}, status=status)
