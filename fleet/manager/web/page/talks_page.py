"""Serves `/talks`: its files, a day as JSON, the receipt of a talk, and a word at each change.

A day is made when somebody looks and something has changed, one at a time, and no oftener than
leaves the manager time for the rest.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final
from zlib import crc32

import attrs
from aiohttp import web
from attrs import AttrsInstance

from fleet.manager.store import BadStore
from fleet.manager.web.page.days import DayLook
from fleet.manager.web.page.files import FRESH, PageFile
from fleet.manager.web.page.receipt_view import ReceiptView, receipt_view
from fleet.manager.web.page.talks import DayFacts, day_of, talks_day, zone_of
from fleet.schedule import day_at
from fleet.wire import dumps

log = logging.getLogger(__name__)

_FILES: Final = {
    "/talks": ("talks.html", "text/html"),
    "/page/talks.css": ("talks.css", "text/css"),
    "/page/talks.js": ("talks.js", "text/javascript"),
}
_GOOD: Final = 30.0
"""Seconds for which a day is good though nothing was heard: verdicts fall by the clock too."""
_PACE: Final = 2.0
_SHARE: Final = 10.0
"""How many times longer to rest than a day took to make."""
_DAYS: Final = 8
"""That are kept as they were made."""
_FAR: Final = 3650
"""Days from today that no conference is away."""


@attrs.frozen
class _Made:
    body: bytes
    tag: str
    state: object
    at: float
    cost: float

    def is_good(self, look: DayLook) -> bool:
        age = time.monotonic() - self.at
        rests = age < max(_PACE, _SHARE * self.cost)
        return rests or (age < _GOOD and self.state == look.state)


class TalksPage:
    """Makes days, and hands them out. `may_still`: whether whoever began a stream may go on."""

    def __init__(
        self, look: DayLook, may_still: Callable[[web.Request], bool] = lambda _: True
    ) -> None:
        self._look = look
        self._may_still = may_still
        self._made: OrderedDict[date, _Made] = OrderedDict()
        self._making = asyncio.Lock()
        self._free = 0.0
        """When the next may be made."""
        self._ended = asyncio.Event()

    def add_to(self, app: web.Application) -> None:
        """Serve it as part of `app`."""
        here = Path(__file__).parent
        for path, (name, kind) in _FILES.items():
            app.router.add_get(path, PageFile((here / name).read_bytes(), kind).serve)
        app.router.add_get("/talks.json", self._day)
        app.router.add_get("/talks/receipt.json", self._receipt)
        app.router.add_get("/talks/events", self._events)
        app.on_shutdown.append(self._end)

    async def _end(self, _: web.Application) -> None:
        self._ended.set()

    async def _day(self, request: web.Request) -> web.Response:
        made = await self._making_of(self._asked(request))
        now = self._look.now().timestamp()
        body = b'{"now":%.3f,"tag":"%s","day":%s}' % (now, made.tag.encode(), made.body)
        return _json(body)

    async def _receipt(self, request: web.Request) -> web.Response:
        room, guid, now = request.query.get("room"), request.query.get("talk"), self._look.now()
        talk = next((it for of, it in self._look.talks if of == room and it.guid == guid), None)
        if room is None or talk is None:
            raise _refused(web.HTTPNotFound, "the schedule has no such talk in this room")

        def made(facts: DayFacts) -> ReceiptView:
            found = facts.receipt(room, talk, facts.kept.get(room, ()), now)
            return receipt_view(found, facts.rooms.get(room, room), now)

        async with self._making:
            return _json(await self._make(day_of(talk, zone_of(now)), made))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The tag of the day as often as it changes, and a beat meanwhile."""
        self._asked(request)  # what is wrong with it is said before anything else
        headers = {**FRESH, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with suppress(ConnectionResetError):  # the browser has gone
            await response.write(b"retry: 1000\n\n")
            while not self._ended.is_set() and self._may_still(request):
                try:
                    tag = (await self._making_of(self._asked(request))).tag
                except web.HTTPException as error:
                    log.debug("the day cannot be made: %s", error.text)
                else:
                    said = (self._look.now().timestamp(), tag.encode())
                    await response.write(b'event: day\ndata: {"now":%.3f,"tag":"%s"}\n\n' % said)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PACE):
                        await self._ended.wait()
        return response

    def _asked(self, request: web.Request) -> date:
        """The day that is asked for: by date, by a talk of it, or today."""
        now = self._look.now()
        today, guid, day = day_at(now), request.query.get("talk"), request.query.get("day")
        if day:
            try:
                found = date.fromisoformat(day)
            except ValueError:
                raise _refused(web.HTTPBadRequest, "a day is given as 2026-11-14") from None
            if abs((found - today).days) > _FAR:
                raise _refused(web.HTTPNotFound, f"{found} is too far away")
            return found
        if guid:
            talk = next((it for _, it in self._look.talks if it.guid == guid), None)
            if talk is None:
                raise _refused(web.HTTPNotFound, "the schedule has no such talk any more")
            return day_of(talk, zone_of(now))
        return today

    async def _making_of(self, day: date) -> _Made:
        async with self._making:
            made, now = self._made.get(day), self._look.now()
            if made is None or not made.is_good(self._look):
                state, began = self._look.state, time.monotonic()
                body = await self._make(day, lambda facts: talks_day(day, facts, now))
                ended = time.monotonic()
                made = _Made(body, f"{crc32(body):08x}", state, ended, ended - began)
                self._made[day] = made
            self._made.move_to_end(day)
            while len(self._made) > _DAYS:
                self._made.popitem(last=False)
            return made

    async def _make(self, day: date, make: Callable[[DayFacts], AttrsInstance]) -> bytes:
        """What is made of a day's facts, as JSON; at most half of all time goes into that."""
        await asyncio.sleep(max(0.0, self._free - time.monotonic()))
        began = time.monotonic()
        try:
            facts = await self._look.facts(day)
        except BadStore as error:
            raise _refused(web.HTTPServiceUnavailable, str(error)) from None
        finally:
            self._free = 2 * time.monotonic() - began
        body = await asyncio.to_thread(lambda: dumps(attrs.asdict(make(facts))))
        self._free = 2 * time.monotonic() - began
        return body


def _json(body: bytes) -> web.Response:
    response = web.Response(body=body, content_type="application/json", headers=FRESH)
    response.enable_compression()
    return response


def _refused(kind: type[web.HTTPError], why: str) -> web.HTTPError:
    return kind(text=f"{why}\n", headers=FRESH)
