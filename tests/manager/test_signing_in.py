"""Signing in on the page: a real server, a real store, a clock of the test."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from aiohttp import ClientResponse, ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer
from attrs import define

from fleet.manager.people import passwords
from fleet.manager.people.keeper import People
from fleet.manager.people.rights import Rights
from fleet.manager.store import ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.manager.web import doing
from fleet.manager.web import signing_in as module
from fleet.manager.web.doing import Doing
from fleet.manager.web.page.routes import Page
from fleet.manager.web.page.talks_page import TalksPage
from fleet.manager.web.sessions import Sessions
from fleet.manager.web.signing_in import COOKIE, OPEN, PROOF, PUBLIC, STREAMS, SigningIn
from fleet.model import Forbidden
from fleet.operations.stations import TalkArguments

SAID = "korrekt-pferd"
HTML = {"Accept": "text/html"}


@define
class House:
    """The page's door, with one room behind it. `now`: the clock; `asked`: what was let through."""

    ledger: Ledger
    people: People
    app: web.Application
    server: TestServer
    client: ClientSession
    asked: list[tuple[str, str, bytes]]
    ticks: asyncio.Event
    now: float = 0.0

    async def get(self, path: str, **headers: str) -> ClientResponse:
        return await self.client.get(
            self.server.make_url(path), headers=headers, allow_redirects=False
        )

    async def post(self, path: str, data: Any = None, **headers: str) -> ClientResponse:
        return await self.client.post(
            self.server.make_url(path), data=data, headers=headers, allow_redirects=False
        )

    async def sign_in(
        self, name: str = "ann", said: str = SAID, next_: str = "", **headers: str
    ) -> ClientResponse:
        form = {"name": name, "password": said, "next": next_}
        return await self.post("/signin", form, **headers)

    async def who(self) -> dict[str, Any]:
        found: dict[str, Any] = await (await self.get("/who")).json()
        return found

    async def do(self, operation: str, arguments: Any, **headers: str) -> ClientResponse:
        headers = {"Content-Type": "application/json"} | headers
        return await self.post(f"/do/{operation}", json.dumps(arguments), **headers)


@pytest.fixture(autouse=True)
def made(tmp_path: Path, new_store: Path) -> None:
    shutil.copy(new_store, tmp_path)


async def build(directory: Path, public: bool = False, closed: bool = False) -> House:
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(directory))
    people = People(ledger.let_in, lambda name: name == "b827eb0000a1")
    asked: list[tuple[str, str, bytes]] = []
    ticks = asyncio.Event()

    async def answer(caller: str, operation: str, payload: bytes, deadline: float) -> bytes:
        asked.append((caller, operation, payload))
        kind = {"status": None, "apply": "Forbidden", "talk": "InvalidArguments"}.get(operation, "")
        error = {"type": kind, "message": "no", "problems": []} if kind is not None else None
        return json.dumps({"result": None if error else {}, "error": error}).encode()

    async def fine(_: web.Request) -> web.Response:
        return web.Response(text="a room")

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while sign_in.may_still(request):
            await response.write(b"beat\n")
            ticks.clear()
            await ticks.wait()
        return response

    sign_in = SigningIn(people, Sessions(ledger.let_in, people), public, closed, lambda: found.now)
    app = web.Application(middlewares=[sign_in.middleware])
    for path in ("/", "/rooms.json", "/thumbnail/a/b/c.jpg", "/page/style.css", "/healthz", "/new"):
        app.router.add_get(path, fine)
    app.router.add_get("/events", events)
    sign_in.add_to(app)
    Doing(answer, sign_in.caller_of).add_to(app)
    server = TestServer(app)
    await server.start_server()
    client = ClientSession(cookie_jar=CookieJar(unsafe=True))
    found = House(ledger, people, app, server, client, asked, ticks)
    return found


async def close(house: House) -> None:
    await house.client.close()
    await house.server.close()
    await house.ledger.close()


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs nothing here."""
    monkeypatch.setattr(passwords, "_N", 2)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With ann, who may act in hall1, and root, who put her there."""
    found = await build(tmp_path)
    await found.people.add("root", "ann", Rights.parse("room:hall1"), SAID)
    yield found
    await close(found)


async def test_while_nobody_is_in_the_list_all_is_shown_and_nothing_is_done(tmp_path: Path) -> None:
    house = await build(tmp_path)
    assert (await house.get("/", **HTML)).status == 200
    assert (await house.get("/thumbnail/a/b/c.jpg")).status == 200
    assert (await house.who())["can_sign_in"] is False
    refused = await house.do("status", {})
    assert refused.status == 401
    assert "fleet user passwd" in (await refused.json())["error"]["message"]
    assert "fleet user passwd" in await (await house.get("/signin")).text()
    assert house.asked == []
    await close(house)


async def test_with_somebody_in_it_nothing_is_shown_without_signing_in(house: House) -> None:
    led = await house.get("/new?day=2", **HTML)
    assert (led.status, led.headers["Location"]) == (303, "signin?next=new%3Fday%3D2")
    for path in ("/", "/rooms.json", "/events", "/thumbnail/a/b/c.jpg", "/new", "/nowhere"):
        assert (await house.get(path)).status == 401, path
    for path in ("/healthz", "/page/style.css", "/signin"):
        assert (await house.get(path)).status == 200, path
    assert (await house.who())["must_sign_in"] is True


@pytest.mark.parametrize(
    "path",
    [
        "/page/../rooms.json",
        "/page/%2e%2e/rooms.json",
        "/page/..%2frooms.json",
        "//rooms.json",
        "/./rooms.json",
        "/rooms.json%20",
        "/%72ooms.json",
        "/healthz/../rooms.json",
        "http://127.0.0.1/rooms.json",
        "/page//thumbnail/a/b/c.jpg",
    ],
)
async def test_no_other_way_to_write_a_path_leads_behind_the_door(house: House, path: str) -> None:
    reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    assert int(answer.split()[1]) in (400, 401, 404), answer
    assert "a room" not in answer


async def test_who_signs_in_sees_and_acts_under_their_name(house: House) -> None:
    came = await house.sign_in(next_="new?day=2")
    assert (came.status, came.headers["Location"]) == (303, "new?day=2")
    assert (await house.get("/thumbnail/a/b/c.jpg")).status == 200
    who = await house.who()
    assert (who["name"], who["rights"], who["rooms"]) == ("ann", "room:hall1", ["hall1"])
    done = await house.do("status", {"a": 1}, **{PROOF: who["proof"]})
    assert (done.status, await done.json()) == (200, {"result": {}, "error": None})
    assert house.asked == [("ann", "status", b'{"a": 1}')]
    statuses = {"apply": 403, "talk": 400, "other": 409}
    for operation, status in statuses.items():
        answer = await house.do(operation, {}, **{PROOF: who["proof"]})
        assert answer.status == status, operation


@pytest.mark.parametrize(
    ("headers", "secure"),
    [({}, False), ({"X-Forwarded-Proto": "https"}, True)],
)
async def test_the_cookie_is_for_this_page_and_no_script(
    house: House, headers: dict[str, str], secure: bool
) -> None:
    came = await house.sign_in(**headers)
    cookie = SimpleCookie(came.headers["Set-Cookie"])[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert bool(cookie["secure"]) is secure
    assert cookie.value not in str(
        house.ledger.let_in.signed_in
    )  # whoever reads the store is nobody


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {PROOF: "wrong"},
        {PROOF: "right", "Origin": "https://attacker.example"},
        {PROOF: "right", "Origin": "null"},
        {PROOF: "right", "Origin": "http://127.0.0.1"},
        {PROOF: "right", "Origin": "http://127.0.0.1.attacker.example"},
        {PROOF: "right", "Sec-Fetch-Site": "cross-site"},
        {PROOF: "right", "Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_does_nothing_in_somebodys_name(
    house: House, headers: dict[str, str]
) -> None:
    await house.sign_in()
    proof = (await house.who())["proof"]
    sent = {name: proof if value == "right" else value for name, value in headers.items()}
    assert (await house.do("status", {}, **sent)).status == 403
    assert (await house.post("/signout", **sent)).status == 403
    assert house.asked == []
    own = f"http://{house.server.host}:{house.server.port}"
    sent = {PROOF: proof, "Origin": own, "Sec-Fetch-Site": "same-origin"}
    assert (await house.do("status", {}, **sent)).status == 200


async def test_another_site_signs_nobody_in(house: House) -> None:
    assert (await house.sign_in(**{"Sec-Fetch-Site": "cross-site"})).status == 403
    assert (await house.sign_in(Origin="https://attacker.example")).status == 403
    assert (await house.who())["name"] is None


@pytest.mark.parametrize(
    "next_",
    ["//attacker.example", "https://attacker.example", "/\\a", "a/../b", "x" * 900, "%0d%0a"],
)
async def test_a_sign_in_leads_nowhere_else(house: House, next_: str) -> None:
    form = await house.get(f"/signin?next={next_}")
    assert 'name="next" type="hidden" value=""' in await form.text()
    came = await house.sign_in(next_=next_)
    assert (came.status, came.headers["Location"]) == (303, "./")


async def test_wrong_passwords_are_slowed_by_name_and_by_address(house: House) -> None:
    for _ in range(5):
        wrong = await house.sign_in(said="wrong-one")
        assert wrong.status == 401
        assert "do not fit" in await wrong.text()
    late = await house.sign_in()
    assert (late.status, late.headers["Retry-After"]) == (429, "1")
    house.now += 1
    assert (await house.sign_in(name="nobody")).status == 401  # as one more try from here
    assert (await house.sign_in()).status == 429
    house.now += 2
    assert (await house.sign_in()).status == 303
    assert (await house.sign_in(said="wrong-one")).status == 401


async def test_who_comes_through_a_proxy_of_this_machine_is_told_apart(house: House) -> None:
    for number in range(5):
        answer = await house.sign_in(
            name=f"n{number}", **{"X-Forwarded-For": "10.0.0.9, 2001:db8::7"}
        )
        assert answer.status == 401
    assert (await house.sign_in(**{"X-Forwarded-For": "2001:db8::8"})).status == 429
    assert (await house.sign_in(**{"X-Forwarded-For": "2001:db8::8, 10.0.0.9"})).status == 303


@pytest.mark.parametrize(
    "name",
    ["", "ann ", "ANN", "root", "<b>&\"'", "x" * 4000, "\x1b[2J", "x\nann signed in from 10.0.0.1"],
)
async def test_no_other_name_fits_and_none_gets_into_page_or_log(
    house: House, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await house.sign_in(name=name)
    assert all(one.getMessage().isprintable() for one in caplog.records)
    if name == "ann ":  # as a phone's keyboard leaves it
        assert answer.status == 303
        return
    assert answer.status in (401, 413)
    text = await answer.text()
    assert "<b>" not in text
    assert (await house.who())["name"] is None


async def test_a_restart_signs_nobody_out_and_a_new_password_everybody(
    house: House, tmp_path: Path
) -> None:
    await house.sign_in()
    cookie = next(iter(house.client.cookie_jar)).value
    again = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    people = People(again.let_in, lambda _: False)
    assert Sessions(again.let_in, people).name_of(cookie) == "ann"
    await again.close()

    await house.people.passwd("root", "ann", "another-one")
    assert (await house.who())["name"] is None
    assert (await house.sign_in()).status == 401
    assert (await house.sign_in(said="another-one")).status == 303
    await house.people.remove("root", "ann")
    assert (await house.who())["name"] is None
    assert (await house.sign_in(said="another-one")).status == 401


async def test_what_somebody_planted_in_a_browser_is_nobody_also_once_it_signs_in(
    house: House,
) -> None:
    for planted in ("planted", "x" * 5000, "%00", "../ann"):
        came = await house.sign_in(Cookie=f"{COOKIE}={planted}")
        given = SimpleCookie(came.headers["Set-Cookie"])[COOKIE].value
        assert given != planted
        house.client.cookie_jar.clear()
        assert (await house.get("/", Cookie=f"{COOKIE}={planted}")).status == 401
    # Whose browser it was before is signed out of it, whoever has that cookie.
    await house.sign_in(Cookie=f"{COOKIE}={given}")
    house.client.cookie_jar.clear()
    assert (await house.get("/", Cookie=f"{COOKIE}={given}")).status == 401


async def test_who_may_less_has_less_at_once_with_the_cookie_and_the_stream_they_have(
    house: House,
) -> None:
    await house.sign_in()
    stream = await house.get("/events")
    asked = TalkArguments("hall1", "on", None)
    house.people.allow("ann", "talk", asked, lambda: ["hall1"])
    await house.people.add("root", "ann", Rights.parse("viewer"), None)
    assert (await house.who())["rights"] == "viewer"
    with pytest.raises(Forbidden):
        house.people.allow("ann", "talk", asked, lambda: ["hall1"])
    house.ticks.set()  # and what everybody may see, they see on
    assert await stream.content.readline() == b"beat\n"
    await house.people.remove("root", "ann")
    house.ticks.set()
    assert (await stream.read()).replace(b"beat\n", b"") == b""
    assert (await house.get("/rooms.json")).status == 401


async def test_nobody_learns_by_trying_who_is_in_the_list(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.people.add("root", "bob", Rights.parse("viewer"), None)  # without a password
    looked, is_it = [], passwords.is_it

    def look(said: str, kept: str) -> bool:
        looked.append(kept)
        return is_it(said, kept)

    monkeypatch.setattr(passwords, "is_it", look)
    told = set()
    for name in ("ann", "bob", "zoe"):
        answer = await house.sign_in(name=name, said="wrong-one")
        headers = {key: value for key, value in answer.headers.items() if key != "Date"}
        headers.pop("Content-Length")
        text = (await answer.text()).replace(name, "NAME")
        told.add((answer.status, text, tuple(headers.items())))
    assert len(told) == 1
    assert len(looked) == 3, "each costs the same"
    costs = {tuple(one.split("$")[:4]) for one in looked}
    assert len(costs) == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/signin", "application/x-www-form-urlencoded"), ("/do/status", "application/json")],
)
async def test_a_form_without_end_or_that_never_comes_is_let_go(
    house: House, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    await house.sign_in()
    cookie = next(iter(house.client.cookie_jar)).value
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nCookie: {COOKIE}={cookie}\r\n"
        f"{PROOF}: {(await house.who())['proof']}\r\n"
    )
    for slow in (module, doing):
        monkeypatch.setattr(slow, "HEADERS_SECONDS", 0.05)
    for more, statuses in (
        ("Content-Length: 100\r\n\r\nname=", (400, 408)),  # and no more
        ("Content-Length: 99999999\r\n\r\nname=", (413,)),
        ("Transfer-Encoding: chunked\r\n\r\nfffffff\r\nname=", (413,)),
    ):
        reader, writer = await asyncio.open_connection(house.server.host, house.server.port)
        writer.write((head + more).encode())
        async with asyncio.timeout(60):
            status = int((await reader.readline()).split()[1])
        writer.close()
        assert status in statuses, more
    assert house.asked == []


async def test_who_signs_out_is_out_also_with_the_old_cookie(house: House) -> None:
    await house.sign_in()
    cookie = next(iter(house.client.cookie_jar)).value
    proof = (await house.who())["proof"]
    assert (await house.post("/signout", **{PROOF: proof})).status == 204
    assert (await house.get("/", Cookie=f"{COOKIE}={cookie}")).status == 401


async def test_strangers_leave_room_for_those_who_are_signed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STREAMS_OF_STRANGERS", 2)
    house = await build(tmp_path, public=True)
    await house.people.add("root", "ann", Rights.parse("viewer"), SAID)
    streams = [await house.get("/events") for _ in range(3)]
    assert [one.status for one in streams] == [200, 200, 503]
    await house.sign_in()
    streams.append(await house.get("/events"))
    assert streams[-1].status == 200
    for one in streams:
        one.close()
    await close(house)


async def test_a_public_page_shows_rooms_and_nothing_more(tmp_path: Path) -> None:
    house = await build(tmp_path, public=True)
    await house.people.add("root", "ann", Rights.parse("viewer"), SAID)
    shown = {"/": 200, "/rooms.json": 200, "/thumbnail/a/b/c.jpg": 401, "/new": 401}
    for path, status in shown.items():
        assert (await house.get(path)).status == status, path
    assert (await house.do("status", {})).status == 401
    who = await house.who()
    assert (who["must_sign_in"], who["pictures"], who["can_sign_in"]) == (False, False, True)
    assert (await house.sign_in()).status == 303
    assert (await house.get("/thumbnail/a/b/c.jpg")).status == 200
    await close(house)


async def test_streams_are_limited_and_end_with_the_sign_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STREAMS_OF_ONE", 2)
    await house.sign_in()
    streams = [await house.get("/events") for _ in range(2)]
    assert [one.status for one in streams] == [200, 200]
    assert (await house.get("/events")).status == 503
    await house.people.passwd("root", "ann", "another-one")
    house.ticks.set()
    for one in streams:
        assert (await one.read()) == b"beat\n"
    assert (await house.get("/events")).status == 401
    await house.sign_in(said="another-one")
    last = await house.get("/events")
    assert last.status == 200
    last.close()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
async def test_what_is_no_json_or_too_much_is_not_asked(house: House, kind: str) -> None:
    await house.sign_in()
    proof = {PROOF: (await house.who())["proof"]}
    assert (await house.do("status", {}, **proof, **{"Content-Type": kind})).status == 400
    assert (await house.do("status", "x" * 70_000, **proof)).status == 413
    assert house.asked == []


async def test_the_form_is_one_that_password_managers_and_keyboards_know(house: House) -> None:
    text = await (await house.get("/signin")).text()
    for wanted in ('autocomplete="username"', 'autocomplete="current-password"', "autofocus"):
        assert wanted in text
    assert len(re.findall(r'<label for="(name|password)">', text)) == 2
    assert "no-store" in (await house.get("/signin")).headers["Cache-Control"]


async def test_a_page_of_a_broker_with_accounts_is_closed_until_somebody_can_sign_in(
    tmp_path: Path,
) -> None:
    house = await build(tmp_path, closed=True)
    assert (await house.get("/", **HTML)).status == 303
    assert (await house.get("/rooms.json")).status == 401
    await house.people.passwd("ann", "ann", SAID)
    assert (await house.sign_in()).status == 303
    assert (await house.who())["rights"] == "admin"
    await close(house)


def test_every_path_of_the_page_is_for_somebody() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    app = web.Application()
    nothing: Any = MagicMock()  # only its paths are looked at
    for part in (Page(nothing, TalksPage(nothing)), Doing(never, nothing)):
        part.add_to(app)
    SigningIn(nothing, nothing).add_to(app)
    paths = {str(one.canonical) for one in app.router.resources()}
    files = {one for one in paths if one.startswith("/page/")}
    behind = {"/thumbnail/{station}/{role}/{instance}.jpg", "/do/{operation}"}
    assert paths - files == (OPEN - {"/alerts", "/healthz", "/metrics"}) | PUBLIC | behind
    assert {one for one in paths if one.endswith("events")} == STREAMS
