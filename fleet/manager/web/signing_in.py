"""Lets people sign in on the page, and says of each request whose it is.

Without a sign-in nothing is shown once anybody is in the list of people, unless the page is
public; what changes something is asked with a proof that only a page of ours has.
"""

import asyncio
import html
import ipaddress
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import quote, urlsplit

from aiohttp import web

from fleet.manager.people.keeper import People
from fleet.manager.people.passwords import TooBusy
from fleet.manager.people.tries import Tries
from fleet.manager.store import BadStore
from fleet.manager.web.door import HEADERS_SECONDS, counted_as, is_said, while_connected
from fleet.manager.web.sessions import LASTS, Sessions, proof
from fleet.model import is_name, printable

log = logging.getLogger(__name__)

COOKIE: Final = "fleet_session"
PROOF: Final = "X-Fleet-Proof"
"""The header in which a page of ours sends what `/who` told it."""
OPEN: Final = frozenset({"/alerts", "/healthz", "/metrics", "/signin", "/signout", "/who"})
"""Paths for everybody, beside the files of the page; two of them ask for a token themselves."""
PUBLIC: Final = frozenset(
    {
        *("/", "/rooms.json", "/events"),
        *("/talks", "/talks.json", "/talks/receipt.json", "/talks/events"),
    }
)
"""Paths that a public page shows: neither pictures nor logs, and nothing that acts."""
ASKING_THEMSELVES: Final = frozenset({"/signin", "/alerts"})
"""Where something is sent that proves itself."""
STREAMS: Final = frozenset({"/events", "/talks/events"})
MOST_STREAMS: Final = 400
MOST_STREAMS_OF_ONE: Final = 40
"""Of one person, or of one address without sign-in."""
MOST_STREAMS_OF_STRANGERS: Final = 200
"""Of all who are not signed in: on a public page they leave room for those who are."""
NOBODY: Final = (
    "Nobody can sign in yet. fleet user passwd, typed where fleet is set up, gives you a password."
)
_FILES: Final = "/page/"
_MOST_SAID: Final = 4096
"""Bytes of a form."""
_OWN: Final = re.compile(r"[a-z0-9_-]{0,100}(\?[\w.~=&%:-]{0,500})?")
"""Where a sign-in may lead: a page beside it."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # else a form says that it comes from nowhere
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class SigningIn:
    """The sign-in of one page. `public`: whether it is shown to those who are not signed in;
    `closed`: whether it is shown to nobody else even while nobody is in the list of people.

    `now` gives monotonic seconds.
    """

    def __init__(
        self,
        people: People,
        sessions: Sessions,
        public: bool = False,
        closed: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._people = people
        self._sessions = sessions
        self._public = public
        self._closed = closed
        self._now = now
        self._tries = Tries()
        self._streams: Counter[str] = Counter()
        page = Path(__file__).parent / "page"
        self._form = Template((page / "sign-in.html").read_text(encoding="utf-8"))

    def add_to(self, app: web.Application) -> None:
        """Serve the form as part of `app`, whose middleware is `middleware`."""
        app.router.add_get("/signin", self._show)
        app.router.add_post("/signin", self._sign_in)
        app.router.add_post("/signout", self._sign_out)
        app.router.add_get("/who", self._who)

    def caller_of(self, request: web.Request) -> str | None:
        """Who is signed in, None for nobody."""
        return self._sessions.name_of(_token(request))

    def may_still(self, request: web.Request) -> bool:
        """Whether whoever began a stream may go on to see it."""
        return self._may_see(request.path, self.caller_of(request))

    @property
    def middleware(self) -> Any:
        """Says whose a request is, and lets through what they may see or do."""

        @web.middleware
        async def let_through(request: web.Request, handler: Handler) -> web.StreamResponse:
            name = self.caller_of(request)
            path = request.path
            sent = request.method not in ("GET", "HEAD")
            if sent and not _is_own(request):
                return _no(403, "this was asked by a page of another site")
            if sent and path not in ASKING_THEMSELVES:
                if name is None:
                    return _no(401, self._why_not())
                if not is_said(request, PROOF, proof(_token(request))):
                    return _no(403, "the page is older than your sign-in: load it again")
            elif not self._may_see(path, name):
                if "text/html" in request.headers.get("Accept", ""):
                    here = quote(request.path_qs.lstrip("/"), safe="")
                    led = {"Location": f"signin?next={here}"}
                    return web.Response(status=303, headers=_HEADERS | led)
                return _no(401, "sign in first")
            if path not in STREAMS:
                return await handler(request)
            return await self._stream(request, name, handler)

        return let_through

    def _why_not(self) -> str:
        if self._people.begun:
            return "sign in first"
        return NOBODY

    def _may_see(self, path: str, name: str | None) -> bool:
        if path in OPEN or path.startswith(_FILES):
            return True
        if not self._people.known:  # and nothing else is known of anything
            return path in PUBLIC
        if self._public and path in PUBLIC:
            return True
        return name is not None or not (self._people.begun or self._closed)

    async def _stream(
        self, request: web.Request, name: str | None, handler: Handler
    ) -> web.StreamResponse:
        whose = f"person {name}" if name else f"address {address(request)}"
        strangers = sum(many for of, many in self._streams.items() if of.startswith("address "))
        if (
            self._streams.total() >= MOST_STREAMS
            or self._streams[whose] >= MOST_STREAMS_OF_ONE
            or (name is None and strangers >= MOST_STREAMS_OF_STRANGERS)
        ):
            return _no(503, "too many look at this page at once; close some of yours")
        self._streams[whose] += 1
        try:
            said = await while_connected(handler(request))
            return web.Response() if said is None else said
        finally:
            self._streams[whose] -= 1
            self._streams += Counter()  # only those that are left

    async def _who(self, request: web.Request) -> web.Response:
        name = self.caller_of(request)
        rights = self._people.rights_of(name) if name else None
        signed_in = name is not None and rights is not None
        told = {
            "name": name,
            "rights": str(rights) if signed_in else None,
            "rooms": sorted(rights.rooms) if signed_in and rights else [],
            "proof": proof(_token(request)) if signed_in else None,
            "can_sign_in": self._people.begun,
            "must_sign_in": not self._may_see("/", name),
            "pictures": self._may_see("/thumbnail", name),
        }
        return web.json_response(told, headers=_HEADERS)

    async def _show(self, request: web.Request) -> web.Response:
        return self._page(_next(request.query.get("next", "")))

    def _page(
        self, leads_to: str, said: str = "", name: str = "", status: int = 200, wait: int = 0
    ) -> web.Response:
        if not self._people.begun and not said:
            said = NOBODY
        text = self._form.substitute(
            said=html.escape(said),
            name=html.escape(name),
            next=html.escape(leads_to),
            hidden="" if said else "hidden",
            first="" if name else "autofocus",
            second="autofocus" if name else "",
        )
        headers = dict(_HEADERS)
        if wait:
            headers["Retry-After"] = str(wait)
        return web.Response(text=text, content_type="text/html", headers=headers, status=status)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        if (request.content_length or _MOST_SAID + 1) > _MOST_SAID:
            return _no(413, "expected a name and a password")
        try:
            async with asyncio.timeout(HEADERS_SECONDS):
                form = await request.post()
        except (TimeoutError, ValueError):
            return _no(400, "expected a name and a password")
        name, password, leads_to = (
            said if isinstance(said := form.get(key), str) else ""
            for key in ("name", "password", "next")
        )
        name, leads_to = name.strip(), _next(leads_to)
        keys = (f"name {name.casefold()[:64]}", f"address {address(request)}")
        if wait := self._tries.wait(keys, self._now()):
            seconds = math.ceil(wait)
            said = f"That was wrong too often. Try again in {seconds} s."
            return self._page(leads_to, said, name[:64], 429, seconds)
        self._tries.count(keys, self._now())
        try:
            fits = is_name(name) and await self._people.check(name, password)
            if fits:
                token = await self._sessions.begin(name, _token(request))
        except TooBusy:
            return self._page(leads_to, "Too many sign in just now. Try again.", name, 503, 5)
        except BadStore as error:
            return self._page(leads_to, f"The manager cannot keep this: {error}", name, 503, 5)
        if not fits:
            log.warning(
                "%s from %s said a wrong password", printable(name[:64]) or "-", address(request)
            )
            said = (
                "Name and password do not fit. Mind capital letters; an admin gives you another "
                f"password with: fleet user passwd {name if is_name(name) else 'NAME'}"
            )
            return self._page(leads_to, said, name[:64], 401)
        self._tries.forget(keys)
        log.info("%s signed in from %s", name, address(request))
        response = web.Response(status=303, headers={**_HEADERS, "Location": leads_to or "./"})
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(LASTS.total_seconds()),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=is_secure(request),
        )
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        name = self.caller_of(request)
        await self._sessions.end(_token(request))
        log.info("%s signed out", name)
        response = web.Response(status=204, headers=_HEADERS)
        response.del_cookie(
            COOKIE, path="/", httponly=True, samesite="Strict", secure=is_secure(request)
        )
        return response


def address(request: web.Request) -> str:
    """Where a request comes from, also behind a proxy on this machine: what is counted as one."""
    said = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    try:
        here = ipaddress.ip_address(said)
        if here.is_loopback and forwarded:
            said = str(ipaddress.ip_address(forwarded.rpartition(",")[2].strip()))
    except ValueError:
        return said[:64]
    return counted_as(said)


def is_secure(request: web.Request) -> bool:
    """Whether the browser speaks HTTPS, with us or with a proxy in front."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _token(request: web.Request) -> str:
    return request.cookies.get(COOKIE, "")


def _is_own(request: web.Request) -> bool:
    """Whether a page of ours asks, as the browser says; what is no browser says nothing."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == request.host


def _next(text: str) -> str:
    return text if _OWN.fullmatch(text) else ""


def _no(status: int, text: str) -> web.Response:
    return web.json_response(
        {"result": None, "error": {"type": "Forbidden", "message": text, "problems": []}},
        status=status,
        headers=_HEADERS,
    )
