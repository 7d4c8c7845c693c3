"""HTTPS and the token of `/metrics`, of a whole manager; and who only pretends to speak TLS."""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web
from attrs import frozen

from fleet.manager.access.authority import new_authority, new_certificate
from fleet.manager.web import certificate as certificate_module
from fleet.manager.web import door as door_module
from fleet.manager.web.certificate import BadCertificate, PageCertificate
from fleet.manager.web.door import Door
from tests.board.prometheus import Prometheus
from tests.processes import ROOT, Mosquitto, Programs, until


@frozen
class Files:
    """A certificate for 127.0.0.1 and its key, and whom a browser trusts."""

    certificate: Path
    key: Path
    ca: Path
    trust: ssl.SSLContext


def make(directory: Path) -> Files:
    ca = new_authority()
    made = new_certificate(ca, ["127.0.0.1"])
    page, key, above = (directory / name for name in ("page.pem", "page.key", "ca.pem"))
    files = Files(page, key, above, ssl.create_default_context(cadata=ca.certificate))
    files.ca.write_text(ca.certificate)
    files.certificate.write_text(made.certificate)
    files.key.write_text(made.key)
    return files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make(tmp_path)


async def test_page_and_metrics_speak_https_and_metrics_want_their_token(
    files: Files, broker: Mosquitto, programs: Programs, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("prometheus-alone\n")
    manager = programs.manager(
        broker,
        *("--http-certificate", str(files.certificate), "--http-key", str(files.key)),
        *("--metrics-token-file", str(token)),
    )
    await manager.says(r"serving https://127\.0\.0\.1:\d+/metrics")
    url = manager.log().partition("serving ")[2].partition("/metrics")[0]
    async with ClientSession(connector=TCPConnector(ssl=files.trust)) as client:
        for header, status in {
            "": 401,
            "Bearer wrong": 401,
            "Bearer prometheus-alone": 200,
        }.items():
            async with client.get(f"{url}/metrics", headers={"Authorization": header}) as answer:
                assert answer.status == status, header
                assert answer.headers["Server"] == "fleet"
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cache-Control"] == "no-store"
        async with client.get(f"{url}/signin") as answer:
            assert answer.status == 200

    # Prometheus, as docs/people.md has it.
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/people.md").read_text(), re.DOTALL)
    assert found
    config = found[1].replace("av.example.org:9700", url.removeprefix("https://"))
    for said, here in (("ca.pem", files.ca), ("metrics.token", token)):
        config = config.replace(f"/etc/fleet/{said}", str(here))
    prometheus = Prometheus(tmp_path, "")
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 1s}\n" + config)
    prometheus.start()
    try:
        await prometheus.ready()
        await until(lambda: prometheus.query("up == 1"), what="a scrape")
    finally:
        prometheus.stop()


@pytest.fixture
async def port(files: Files, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server with a door of its own."""
    monkeypatch.setattr(door_module, "MOST_OF_ONE", 5)
    monkeypatch.setattr(certificate_module, "_LOOK", 0.0)

    async def fine(request: web.Request) -> web.Response:
        return web.Response(text=request.scheme)

    door = Door((), PageCertificate(files.certificate, files.key))
    app = web.Application(middlewares=[door.middleware])
    app.add_routes([web.get("/", fine)])
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(door.around(runner.server), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await runner.cleanup()


async def get(port: int, trust: ssl.SSLContext) -> str:
    async with (
        ClientSession(connector=TCPConnector(ssl=trust)) as client,
        client.get(f"https://127.0.0.1:{port}/") as answer,
    ):
        return await answer.text()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n"])
async def test_who_begins_no_tls_takes_no_place_for_long(
    port: int, files: Files, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(door_module, "HEADERS_SECONDS", 0.3)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for _, writer in silent:
        writer.write(said)
    async with asyncio.timeout(60):
        for reader, writer in silent:
            with suppress(ConnectionResetError):
                await reader.read()
            writer.close()
        monkeypatch.setattr(door_module, "HEADERS_SECONDS", 60.0)
        assert await get(port, files.trust) == "https"


async def test_places_are_counted_before_any_tls(port: int, files: Files) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 60) == b""
    assert not any(one.at_eof() for one, _ in silent), "whose time is not over"
    for _, one in [*silent, (reader, writer)]:
        one.close()


async def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    port: int, files: Files, tmp_path: Path
) -> None:
    renewed = make(tmp_path)
    with pytest.raises(Exception, match="certificate verify failed"):
        await get(port, files.trust)
    assert await get(port, renewed.trust) == "https"
    renewed.key.write_text("nothing")
    os.utime(renewed.certificate, (1, 1))
    assert await get(port, renewed.trust) == "https"


def test_files_that_are_none_are_said(tmp_path: Path, files: Files) -> None:
    with pytest.raises(BadCertificate, match=r"nowhere\.pem .*cannot be read"):
        PageCertificate(tmp_path / "nowhere.pem", files.key)
    files.key.write_text("x")
    with pytest.raises(BadCertificate, match="are no certificate and its key"):
        PageCertificate(files.certificate, files.key)
