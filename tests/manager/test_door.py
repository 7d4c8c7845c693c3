"""Who is let in over HTTP: real connections to a real server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from aiohttp import web
from attrs import frozen

from fleet.manager.web import door as door_module
from fleet.manager.web.door import Door, counted_as, shows, while_connected
from fleet.manager.web.server import SharedRendering


@frozen
class House:
    """A server behind a door; `release` lets the slow answers out, `inside` counts them."""

    port: int
    release: asyncio.Event
    inside: asyncio.Semaphore

    async def call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def get(self, host: str, path: str = "/") -> str:
        reader, writer = await self.call()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(
                errors="surrogateescape"
            )
        )
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(door_module, "MOST_OF_ONE", 8)
    release, inside = asyncio.Event(), asyncio.Semaphore(0)

    async def fine(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    async def slow(_: web.Request) -> web.Response:
        inside.release()
        await release.wait()
        return web.Response(text="at last")

    async def stream(request: web.Request) -> web.Response:
        found = await while_connected(slow(request))
        inside.release()
        return found or web.Response()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(65536))
        finally:
            inside.release()

    async def token(request: web.Request) -> web.Response:
        return web.Response(text=str(shows(request, "one")))

    door = Door(["Fleet.Example.ORG"])
    app = web.Application(middlewares=[door.middleware])
    app.add_routes([web.get("/", fine), web.get("/slow", slow), web.get("/stream", stream)])
    app.add_routes([web.get("/endless", endless), web.get("/token", token)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(door.around(runner.server), "127.0.0.1", 0)
    yield House(server.sockets[0].getsockname()[1], release, inside)
    release.set()
    server.close()
    await runner.cleanup()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not said what they want within this is let go."""
    monkeypatch.setattr(door_module, "HEADERS_SECONDS", 2.0)
    monkeypatch.setattr(door_module, "READING_SECONDS", 2.0)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n"])
async def test_who_says_half_a_request_or_none_is_let_go(house: House, said: bytes) -> None:
    reader, writer = await house.call()
    writer.write(said)
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_a_second_half_request_is_no_better_than_a_first(house: House) -> None:
    reader, writer = await house.call()
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT")
    async with asyncio.timeout(60):
        try:
            assert b"fine" in await reader.read()
        except ConnectionResetError:
            pytest.fail("the first was not answered")
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_an_answer_may_take_its_time(house: House) -> None:
    waiting = asyncio.create_task(house.get("127.0.0.1", "/slow"))
    await house.inside.acquire()
    silent, writer = await house.call()
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            await silent.read()  # the silent one that came later is let go first
    writer.close()
    assert not waiting.done()
    house.release.set()
    assert "at last" in await waiting


@pytest.mark.usefixtures("hurried")
async def test_who_reads_no_answer_is_let_go(house: House) -> None:
    _, writer = await house.call()  # it reads 64 KiB ahead, and no more
    writer.write(b"GET /endless HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(60):
        await house.inside.acquire()
    writer.close()


async def test_a_stream_that_nobody_hears_any_more_is_over_at_once(house: House) -> None:
    _, writer = await house.call()
    writer.write(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(60):
        await house.inside.acquire()
        writer.close()
        await house.inside.acquire()
    waiting = asyncio.create_task(house.get("127.0.0.1", "/stream"))
    await house.inside.acquire()
    house.release.set()
    assert "at last" in await waiting


async def test_one_address_takes_not_all_connections(house: House) -> None:
    waiting = [asyncio.create_task(house.get("127.0.0.1", "/slow")) for _ in range(8)]
    for _ in waiting:
        await house.inside.acquire()
    with suppress(ConnectionResetError):
        assert await house.get("127.0.0.1") == ""
    house.release.set()
    assert all("at last" in answer for answer in await asyncio.gather(*waiting))
    assert "fine" in await house.get("127.0.0.1")


def test_who_has_many_addresses_is_counted_as_one() -> None:
    one = {counted_as(f"2001:db8:0:1::{n:x}") for n in range(9)}
    assert one == {"2001:db8:0:1::/64"}
    assert counted_as("2001:db8:0:2::1") == "2001:db8:0:2::/64"
    assert counted_as("fe80::1%eth0") == "fe80::/64"
    assert counted_as("192.0.2.1") != counted_as("192.0.2.2")
    assert counted_as("::ffff:192.0.2.1") != counted_as("::ffff:192.0.2.2")
    assert counted_as("") == ""


async def test_what_is_dear_is_made_once_for_all_who_wait_and_then_rests() -> None:
    loop, made, makes = asyncio.get_running_loop(), [], asyncio.Event()

    def collect() -> Callable[[], bytes]:
        made.append(loop.time())
        makes.set()
        time.sleep(0.02)
        number = len(made)
        return lambda: b"%d" % number

    rendering = SharedRendering(collect)
    first = asyncio.gather(*(rendering.body() for _ in range(50)))
    await makes.wait()
    # Who asks once it is collected waits for what is so later.
    assert await rendering.body() == b"2"
    assert await first == [b"1"] * 50
    # Who asks while it rests waits, and is given what is so then.
    later = await asyncio.gather(*(rendering.body() for _ in range(50)))
    assert later == [b"3"] * 50
    assert made[1] - made[0] >= 4 * 0.02

    def fail() -> Callable[[], bytes]:
        raise ValueError("no")

    broken = SharedRendering(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await broken.body()


@pytest.mark.parametrize(
    ("said", "right"), [("Bearer one", True), ("Bearer \udcff", False), ("", False)]
)
async def test_a_token_of_any_bytes_is_no_mistake_of_ours(
    house: House, said: str, right: bool
) -> None:
    answer = await house.get(f"localhost\r\nAuthorization: {said}", "/token")
    assert answer.endswith(str(right))


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1:9700", True),
        ("[::1]:9700", True),
        ("manager:9700", True),
        ("localhost", True),
        ("fleet.local", True),
        ("fleet.example.org:9700", True),
        ("FLEET.example.org.", True),
        ("attacker.example", False),
        ("attacker.example:9700", False),
        ("127.0.0.1.attacker.example", False),
        ("local.attacker.example", False),
        ("attacker.example/.local", False),
        ("attacker.example#.local", False),
        ("attacker.example\udcff", False),
    ],
)
async def test_a_name_that_an_attacker_can_have_point_here_is_not_answered(
    house: House, host: str, let_in: bool
) -> None:
    answer = await house.get(host)
    assert (" 200 OK" in answer) is let_in
    assert (" 421 " in answer) is not let_in
