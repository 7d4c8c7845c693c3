"""A login goes to the host that a conference file names, wherever that one sends us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from fleet.roles import Failed
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import Record
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost

MakeHost = Callable[..., RealHost]
Until = Callable[..., Awaitable[None]]


class Server:
    """Speaks HTTP and RTSP, and wants a login in clear text; then it leads to `moved`, if any."""

    def __init__(self) -> None:
        self.moved = ""
        self.asked: list[bool] = []
        """Of each request, whether a login came with it."""
        self.left = 0
        """Connections that came and went."""

    async def listen(self, address: str) -> asyncio.Server:
        self._server = await asyncio.start_server(self._serve, address, 0)
        return self._server

    @property
    def place(self) -> str:
        return ":".join(map(str, self._server.sockets[0].getsockname()))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                known = any(one.lower().startswith("authorization:") for one in lines)
                self.asked.append(known)
                number = [one for one in lines if one.lower().startswith("cseq:")]
                said = ["401 Unauthorized", 'WWW-Authenticate: Basic realm="x"']
                if lines[0].startswith("OPTIONS") and self.moved:
                    said = ["200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY"]
                elif known and self.moved:
                    said = ["302 Found", f"Location: {self.moved}"]
                version = "RTSP/1.0" if number else "HTTP/1.1"
                answer = [f"{version} {said[0]}", *number, *said[1:], "Content-Length: 0", "", ""]
                writer.write("\r\n".join(answer).encode())
                await writer.drain()
        except (OSError, EOFError):
            self.left += 1
        finally:
            writer.close()


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Server, Server]]:
    """That of the file, and the one elsewhere."""
    both = Server(), Server()
    listening = [
        await one.listen(host) for one, host in zip(both, ("127.0.0.1", "127.0.0.2"), strict=True)
    ]
    yield both
    for one in listening:
        one.close()


def source(scheme: str, at: Server) -> dict[str, Any]:
    login = {"user": "me", "password": {"secret": "camera"}}
    return {"type": "url", "url": f"{scheme}://{at.place}/live.ts", **login}


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
async def test_an_ingest_that_is_sent_elsewhere_keeps_its_login_to_itself(
    make_host: MakeHost,
    until: Until,
    servers: tuple[Server, Server],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    # Elsewhere is inside here, where the web would not be let; it stands for one that is outside.
    monkeypatch.setattr("fleet.roles.ingest.webward", lambda *_: [])
    ours, elsewhere = servers
    ours.moved = f"{scheme}://{elsewhere.place}/live.ts"
    given = {"picture": source(scheme, ours), "size": "160x90", "port": free_port()}
    host = make_host(role="ingest")
    host.secrets["camera"] = "hunter2"
    role = Ingest(host, structure(given | {"local_copy": {"enabled": False}}, IngestSettings))
    starting = asyncio.create_task(role.start())
    # It begins anew once it is through with all that it tries.
    await until(lambda: sum(ours.asked) >= 2 and (scheme == "http" or elsewhere.left))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await role.stop()
    assert not any(elsewhere.asked), "it was told who we are"
    assert bool(elsewhere.asked) == (scheme == "rtsp")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
async def test_a_recording_that_is_sent_elsewhere_keeps_its_login_to_itself(
    make_host: MakeHost,
    record_settings: Callable[..., Any],
    servers: tuple[Server, Server],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    monkeypatch.setattr("fleet.media.reading.webward", lambda *_: [])  # as above
    ours, elsewhere = servers
    ours.moved = f"{scheme}://{elsewhere.place}/live.ts"
    host = make_host()
    host.secrets["camera"] = "hunter2"
    role = Record(host, record_settings(source=source(scheme, ours)))
    with pytest.raises(Failed) as failed:
        await role.start()
    await role.stop()
    assert any(ours.asked)
    assert not any(elsewhere.asked), "it was told who we are"
    assert bool(elsewhere.asked) == (scheme == "http")
    if scheme == "rtsp":
        assert failed.value.reason == "SourceRefused"
        assert f"sends its readers elsewhere: rtsp://{elsewhere.place})" in failed.value.message
