"""Draws docs/pictures/board*.png: `make picture`, once npm has got what package.json names.

A real broker, manager and Prometheus; the boxes are pretended. Each panel's own queries are asked,
and Grafana's own components draw the answers in a Chromium (`board.jsx`); no Grafana server.
"""

import asyncio
import functools
import http.server
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from grafana.picture.conference import MINUTES, ROOM, play
from tests.board import boards
from tests.board.prometheus import Prometheus
from tests.page.browser import Browser
from tests.page.stage import jpeg
from tests.processes import ROOT, Mosquitto, Programs, free_port
from tests.stranger import Stranger

_HERE: Final = Path(__file__).parent
_PICTURES: Final = ROOT / "docs/pictures"
_SHOWN: Final = (MINUTES - 1) * 60
"""Seconds back; the first minute is for rates to settle."""
_WIDTH: Final = 1600


def _answers(server: Prometheus, board: dict[str, Any]) -> dict[str, Any]:
    """Panel -> query -> what Prometheus says; keys as in the board."""
    return {
        str(panel["id"]): {
            target["refId"]: server.range(_chosen(target["expr"]), _SHOWN)
            if target["range"]
            else server.query(_chosen(target["expr"]))
            for target in panel["targets"]
        }
        for panel in boards.panels(board)
    }


def _chosen(expression: str) -> str:
    return expression.replace("$room", ROOM)


async def _ask(directory: Path) -> dict[str, Any]:
    """Name of a board -> all that its picture needs."""
    broker, programs, port = Mosquitto(directory), Programs(directory), free_port()
    server = Prometheus(directory, f"127.0.0.1:{port}", hasty=False)
    try:
        broker.start()
        programs.manager(broker, http=port)
        server.start()
        await server.ready()
        async with Stranger(broker.port, "fleet/v1/manager/#", "fleet/v1/+/+/config") as stranger:
            await play(stranger, jpeg(directory))
            end = server.moment = server.now()
            return {
                name: {
                    "board": board,
                    "answers": _answers(server, board),
                    "variables": {"room": ROOM},
                    "from": end - _SHOWN,
                    "to": end,
                }
                for name in ("rooms", "room")
                for board in [boards.load(name)]
            }
    finally:
        server.stop()
        programs.end()
        broker.stop()


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody wants to know."""


def _draw(directory: Path, found: dict[str, Any]) -> None:
    subprocess.run(
        [
            *("npx", "esbuild", "board.jsx", "--bundle", "--minify", "--format=iife"),
            *("--jsx=automatic", "--loader:.woff2=dataurl", "--loader:.woff=empty"),
            *('--define:process.env.NODE_ENV="production"', "--define:global=window"),
            *("--alias:react-custom-scrollbars-2=./scrollbars.js", "--external:monaco-editor"),
            *("--log-level=error", f"--outfile={directory}/board.js"),
        ],
        cwd=_HERE,
        check=True,
    )
    (directory / "public").symlink_to(_HERE / "node_modules/@grafana/ui/dist/public")
    (directory / "index.html").write_text((_HERE / "index.html").read_text())
    browser = Browser(directory)
    try:
        with _serving(directory) as url:
            for name, one in found.items():
                (directory / f"{name}.json").write_text(json.dumps(one))
                _take(browser, f"{url}/?{name}", _PICTURES / f"board-{name}.png")
    finally:
        browser.close()


def _take(browser: Browser, url: str, picture: Path) -> None:
    browser.look_as((_WIDTH, 1000), "dark", motion=False)
    browser.open(url)
    height = browser.run("return window.drawn")  # a promise, that Chromium waits for
    browser.look_as((_WIDTH, height), "dark", motion=False)
    browser.screenshot(picture)


def main() -> None:
    """Play, ask, draw."""
    with tempfile.TemporaryDirectory(prefix="fleet-picture-") as name:
        directory = Path(name)
        _draw(directory, asyncio.run(_ask(directory)))


if __name__ == "__main__":
    main()
