"""What a list of the web names inside our network is not asked for: real ffmpeg, real servers."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fleet.media.reach import webward, within
from tests.processes import until
from tests.roles.media import clip

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"


class Site(http.server.ThreadingHTTPServer):
    """Serves a list, a redirection and a film; `asked` has the paths."""

    daemon_threads = True

    def __init__(self, film: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.film = film
        self.named = "film.ts"
        """What the list, and the redirection, lead to."""
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        kind = self.path.rpartition(".")[2]
        self.send_response(302 if kind == "moved" else 200)
        self.send_header("Location", self.server.named)
        self.end_headers()
        self.wfile.write(
            HLS.format(self.server.named).encode() if kind == "m3u8" else self.server.film
        )

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def film(once: Callable[[str, Callable[[Path], object]], Path]) -> bytes:
    return once("clip.ts", clip).read_bytes()


@pytest.fixture
def sites(film: bytes) -> Iterator[tuple[Site, Site]]:
    both = Site(film), Site(film)
    yield both
    for one in both:
        one.shutdown()
        one.server_close()


def read(url: str) -> "subprocess.CompletedProcess[bytes]":
    """As a role reads it."""
    ffmpeg = ("ffmpeg", "-v", "error", *within(url), "-i", url, "-c", "copy", "-f", "mpegts", "-")
    return subprocess.run([*webward(url), *ffmpeg], capture_output=True, timeout=60, check=False)


def test_a_list_leads_to_its_own_site_and_to_no_other_inside(sites: tuple[Site, Site]) -> None:
    ours, inside = sites
    good = read(f"{ours.url}/live.m3u8")
    assert len(good.stdout) > 10_000
    assert ours.asked == ["/live.m3u8", "/film.ts"]
    ours.named = f"{inside.url}/film.ts?reboot=1"
    for path in ("live.m3u8", "film.moved"):
        bad = read(f"{ours.url}/{path}")
        assert bad.stdout == b""
        assert b"no list may lead" in bad.stderr
    assert inside.asked == []


def test_a_way_through_is_refused_as_a_page_is(sites: tuple[Site, Site]) -> None:
    ours, inside = sites
    ask = (
        "import os, socket; at = os.environ['http_proxy'].rpartition(':')[2];"
        "s = socket.create_connection(('127.0.0.1', int(at)));"
        f"s.sendall(b'CONNECT {inside.url[7:]} HTTP/1.1\\r\\n\\r\\n'); print(s.recv(99))"
    )
    done = subprocess.run(
        [*webward(ours.url), sys.executable, "-c", ask], capture_output=True, text=True, check=True
    )
    assert "403 Forbidden" in done.stdout


async def test_the_program_is_the_process_that_was_begun_and_takes_its_proxy_along(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    argv = [*webward(sites[0].url), "sleep", "60"]
    with subprocess.Popen(argv, env={**os.environ, "FLEET_MARK": "x"}) as program:  # noqa: ASYNC220
        process = psutil.Process(program.pid)
        await until(lambda: process.name() == "sleep", what="the program")
        (proxy,) = process.children()
        await until(lambda: "--serve" in proxy.cmdline(), what="the proxy")
        assert "FLEET_MARK" not in proxy.environ()
        address = await until(lambda: process.environ().get("http_proxy"), what="its environment")
        port = int(address.rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port), 5).close()
        program.send_signal(signal.SIGKILL)
    await until(lambda: not proxy.is_running(), what="the end of the proxy")


def test_nothing_stands_between_a_role_and_what_is_not_of_the_web() -> None:
    assert webward("tcp://10.0.0.1:9710", "icecast://live.example.org:8000/a") == []
    (*_, places, _) = webward("https://me:pw@live.example.org/a?b", "rtmp://x.example.org/app")
    assert places == "https://live.example.org,rtmp://x.example.org"
