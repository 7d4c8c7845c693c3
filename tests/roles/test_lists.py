"""A source that is a list of other things to read leads a recording nowhere else: real ffmpeg."""

import contextlib
import json
import socketserver
import subprocess
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleet.media.inputs import FileInput
from fleet.media.pipelines import CAPTURE, offered, raw, raw_output
from fleet.media.sources import FileSource, Source, UrlSource
from fleet.roles import Failed
from fleet.roles.ingest import Ingest, IngestSettings
from fleet.roles.record import RecordSettings
from fleet.strict import structure
from tests.processes import free_port
from tests.roles.host import RealHost
from tests.roles.media import clip

MakeHost = Callable[..., RealHost]
Settings = Callable[..., RecordSettings]
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
LISTS = {
    "hls": HLS,
    "ffconcat": "ffconcat version 1.0\nfile '{}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 33\na=control:{}\n",
    "m3u": "#EXTM3U\n{}\n",
}


class Sender:
    """Says the same to whoever connects, or what is `besides`, and keeps what each asked for."""

    def __init__(
        self, text: bytes, *, web: bool, head: bytes, besides: Mapping[bytes, bytes]
    ) -> None:
        self.called: list[bytes] = []
        called = self.called
        answered = b"HTTP/1.0 200 OK\r\n"

        class Answer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if web:
                    called.append(self.request.recv(4096))
                path = called[-1].split(b" ")[1].rpartition(b"/")[2] if web else b""
                said = b"\r\n" + besides[path] if path in besides else head + b"\r\n" + text
                with contextlib.suppress(OSError):
                    self.request.sendall(answered + said if web else text)
                if not web:
                    called.append(b"")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def send() -> Iterator[Callable[..., Sender]]:
    begun: list[Sender] = []

    def send(
        text: bytes,
        *,
        web: bool = True,
        head: bytes = b"",
        besides: Mapping[bytes, bytes] = types.MappingProxyType({}),
    ) -> Sender:
        begun.append(Sender(text, web=web, head=head, besides=besides))
        return begun[-1]

    yield send
    for one in begun:
        one.end()


def read(source: Source, host: RealHost, target: Path) -> int:
    """Read it for ever so short, as every role does; bytes that came of it."""
    argv = ["ffmpeg", "-v", "error", "-y", *source.inputs(host), "-c", "copy", "-t", "1"]
    private = source.private(host) if isinstance(source, UrlSource) else None
    subprocess.run([*argv, "-f", "mpegts", str(target)], input=private or b"", timeout=60)
    return target.stat().st_size if target.exists() else 0


@pytest.fixture(scope="session")
def canary(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return once("clip.ts", clip)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("scheme", ["http", "tcp", "login", "reference", "file"])
def test_a_list_that_names_a_file_gives_nothing_of_it(
    make_host: MakeHost,
    record_settings: Settings,
    send: Callable[..., Sender],
    canary: Path,
    tmp_path: Path,
    kind: str,
    scheme: str,
) -> None:
    host = make_host()
    text = LISTS[kind].format(f"file://{canary}").encode()
    sender = send(text, web=scheme in ("http", "login"))
    source: dict[str, Any] = {"type": "url", "url": f"http://127.0.0.1:{sender.port}/live.m3u8"}
    if scheme == "tcp":
        source["url"] = f"tcp://127.0.0.1:{sender.port}"
    elif scheme == "login":
        source |= {"user": "ann", "password": {"secret": "camera"}}
        host.secrets["camera"] = "hunter2"
    elif scheme == "reference":
        source = {"host": "127.0.0.1", "port": sender.port}
    elif scheme == "file":
        (tmp_path / "list.m3u8").write_bytes(text)
        source = {"type": "file", "path": str(tmp_path / "list.m3u8"), "loop": False}
    assert read(record_settings(source=source).source, host, tmp_path / "out.ts") == 0
    assert scheme == "file" or sender.called


@pytest.mark.parametrize("scheme", ["tcp", "reference", "file"])
def test_only_an_address_of_the_web_may_be_a_list_of_the_web(
    make_host: MakeHost,
    record_settings: Settings,
    send: Callable[..., Sender],
    canary: Path,
    tmp_path: Path,
    scheme: str,
) -> None:
    other = send(canary.read_bytes())
    text = HLS.format(f"http://127.0.0.1:{other.port}/one.ts").encode()
    sender = send(text, web=False)
    source: dict[str, Any] = {"type": "url", "url": f"tcp://127.0.0.1:{sender.port}"}
    if scheme == "reference":
        source = {"host": "127.0.0.1", "port": sender.port}
    elif scheme == "file":
        (tmp_path / "list.m3u8").write_bytes(text)
        source = {"type": "file", "path": str(tmp_path / "list.m3u8"), "loop": False}
    assert read(record_settings(source=source).source, make_host(), tmp_path / "out.ts") == 0
    assert other.called == []
    web = {"type": "url", "url": f"http://127.0.0.1:{send(text).port}/live.m3u8"}
    assert read(record_settings(source=web).source, make_host(), tmp_path / "out.ts") > 0
    assert other.called


@pytest.mark.parametrize("where", ["a file", "another host inside", "its own host"])
def test_an_ingest_follows_a_list_on_its_own_host_and_to_nothing_inside(
    make_host: MakeHost,
    send: Callable[..., Sender],
    canary: Path,
    where: str,
) -> None:
    other = send(canary.read_bytes())
    named = canary.as_uri() if where == "a file" else f"http://127.0.0.1:{other.port}/one.ts"
    named = "one.ts" if where == "its own host" else named
    sender = send(
        HLS.format(named).encode(),
        head=b"Content-Type: application/x-mpegURL\r\n",
        besides={b"one.ts": canary.read_bytes()},
    )
    source = {"type": "url", "url": f"http://127.0.0.1:{sender.port}/live.m3u8"}
    settings = structure({"picture": source, "port": free_port()}, IngestSettings)
    host = make_host()
    ingest = Ingest(host, settings)
    argv, given = ingest.argv(), ingest.stdin()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            program.stdin.write(given.decode())
            program.stdin.close()
            for line in program.stdout:
                key, _, value = line.strip().partition("=")
                if (key, value) == ("picture", "present"):
                    assert where == "its own host"
                    break
                if key == "picture_error" and value and sender.called and where != "its own host":
                    break
        finally:
            program.kill()
    assert sender.called
    assert other.called == []


def test_a_file_is_read_only_where_the_station_gives_it_away(
    make_host: MakeHost, tmp_path: Path
) -> None:
    host = make_host()
    host.media_dirs = (tmp_path / "media",)
    for directory in (host.recordings, tmp_path / "media", tmp_path / "mediator"):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "in.ts").touch()
    (host.recordings / "out.ts").symlink_to(tmp_path / "mediator/in.ts")
    (host.recordings / "in-link.ts").symlink_to(tmp_path / "media/in.ts")
    for path in ("in.ts", "gone.ts", "in-link.ts", str(tmp_path / "media/in.ts")):
        source = FileSource("file", path)
        assert source.inputs(host)[-1] == f"file:{(host.recordings / path).resolve()}"
    outside = (
        "out.ts",
        "../../etc/shadow",
        "/etc/shadow",
        str(tmp_path / "media/../mediator/in.ts"),
    )
    for path in outside:
        for take in (FileSource("file", path).inputs, FileInput("file", path).properties):
            with pytest.raises(Failed, match="media_dirs") as refused:
                take(host)
            assert refused.value.reason == "NotPermitted"


def test_a_mixer_takes_what_another_box_offers_for_mpeg_ts_whatever_it_is(
    send: Callable[..., Sender], tmp_path: Path
) -> None:
    clip(tmp_path / "film.mkv")
    sender = send((tmp_path / "film.mkv").read_bytes(), web=False)
    rate, caps = "5/1", raw("160x90")
    source = offered("127.0.0.1", sender.port, caps, rate)
    leaves = raw_output(f"{caps},framerate={rate}").replace("fdsink", "fakesink")
    told = json.dumps({"output": leaves, "rate": [5, 1], "sources": [source]})
    with subprocess.Popen([*CAPTURE, told], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            for line in program.stdout:
                key, _, value = line.strip().partition("=")
                assert (key, value) != ("picture", "present")
                if key == "picture_error" and value:
                    break
        finally:
            program.kill()
    assert sender.called
