"""Draws docs/pictures/page-*.webp and talks-*.webp: `make pages`.

The page is the real one, judged and served by the manager's own code and drawn by a real Chromium;
the fleet that it shows is played, so that all that can go wrong is on one picture.
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from fleet.manager.web.page.routes import Page
from fleet.manager.web.page.talks_page import TalksPage
from tests.page.browser import Browser
from tests.page.played import Play, halls
from tests.page.played_talks import PlayedDay
from tests.processes import ROOT

SIZES: Final = {"phone": (390, 844), "wall": (1920, 1080), "wall-4k": (3840, 2160)}
COUNTS: Final = (1, 5, 15, 40)
TALKS: Final = ("phone", "wall")
_PICTURES: Final = ROOT / "docs/pictures"
_BOXES: Final = {
    "cam": (
        "color=0x1c2630:s=320x180",
        [
            "drawbox=0:128:320:52:0x3b2f2a",
            "drawbox=30:20:150:84:0xdfe5ea",
            "drawbox=214:66:22:26:0xd3a78c",
            "drawbox=204:92:42:52:0x2f5d8a",
            "drawbox=190:112:70:44:0x6b5138",
        ],
    ),
    "slides": (
        "color=0xf4f1e8:s=320x180",
        [
            "drawbox=24:24:170:12:0x1f3d5a",
            "drawbox=24:60:250:6:0x77808a",
            "drawbox=24:82:220:6:0x77808a",
            "drawbox=24:104:240:6:0x77808a",
            "drawbox=24:126:130:6:0x77808a",
        ],
    ),
    "mix": (
        "color=0x0c1a2a:s=320x180",
        [
            "drawbox=12:36:200:108:0xf4f1e8",
            "drawbox=28:52:110:8:0x1f3d5a",
            "drawbox=28:78:160:4:0x77808a",
            "drawbox=28:92:140:4:0x77808a",
            "drawbox=222:60:86:60:0x24303c",
            "drawbox=256:72:14:16:0xd3a78c",
            "drawbox=248:88:30:32:0x2f5d8a",
        ],
    ),
    "black": ("color=black:s=320x180", []),
}


def drawn(directory: Path) -> dict[str, bytes]:
    """What cameras see, as JPEG."""
    made = {}
    for name, (source, boxes) in _BOXES.items():
        path = directory / f"{name}.jpg"
        filters = ",".join(f"{box}:t=fill" for box in boxes) or "null"
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", filters]
        subprocess.run([*command, "-frames:v", "1", "-q:v", "3", path], check=True)
        made[name] = path.read_bytes()
    return made


Who = Mapping[str, object]
NOBODY: Final[Who] = {"name": None, "pictures": True}
"""Who looks: the played fleet knows no people."""
OPERATOR: Final[Who] = {"name": "olaf", "rights": "operator", "pictures": True}


@asynccontextmanager
async def served(play: Play, day: PlayedDay | None = None, who: Who = NOBODY) -> AsyncIterator[str]:
    """Where the page shows what is played, to this person."""

    async def meet(_: web.Request) -> web.Response:
        return web.json_response(who)

    app = web.Application()
    app.router.add_get("/who", meet)
    Page(play, TalksPage(day or PlayedDay({}))).add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}/".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def draw(only: str, directory: Path, to: Path) -> None:
    """Every picture whose name has `only` in it."""
    pictures = await asyncio.to_thread(drawn, directory)
    browser = await asyncio.to_thread(Browser, directory)
    try:
        for count in COUNTS:
            for state in ("good", "bad"):
                names = {f"page-{size}-{count:02}-{state}": size for size in SIZES}
                if not any(only in name for name in names):
                    continue
                async with served(Play(count, state == "bad", pictures)) as url:
                    for name, size in names.items():
                        if only in name:
                            theme = "light" if state == "good" and count == 5 else "dark"
                            path = to / f"{name}.webp"
                            await asyncio.to_thread(shoot, browser, url, SIZES[size], theme, path)
        async with served(Play(5, True, pictures), who=OPERATOR) as url:
            for size in TALKS:
                if only in (name := f"page-desk-{size}"):
                    path = to / f"{name}.webp"
                    await asyncio.to_thread(shoot_desk, browser, url, SIZES[size], path)
        for count in (5, 15):
            async with served(Play(0, False, {}), PlayedDay(halls(count))) as url:
                for name, size, query in (
                    (f"talks-phone-{count:02}", "phone", ""),
                    (f"talks-wall-{count:02}", "wall", ""),
                    *((f"talks-{size}-receipt", size, "?talk=room3-2") for size in TALKS),
                ):
                    if only in name and (count == 5 or not query):
                        path = to / f"{name}.webp"
                        await asyncio.to_thread(
                            shoot_talks, browser, f"{url}talks{query}", SIZES[size], path
                        )
    finally:
        await asyncio.to_thread(browser.close)


def shoot_desk(browser: Browser, url: str, size: tuple[int, int], path: Path) -> None:
    """Draw the desk of a room with a mixer."""
    browser.look_as(size, "light", motion=False)
    show(browser, url)
    act = "document.querySelector('[data-room=room2] .act')"
    wait(browser, f"return !{act}.hidden")
    browser.run(f"{act}.click()")
    save(browser, path)


def shoot_talks(browser: Browser, url: str, size: tuple[int, int], path: Path) -> None:
    """Draw a day, and the receipt that is opened on it."""
    browser.look_as(size, "light" if size[0] < 500 else "dark", motion=False)
    browser.open(url)
    ready = (
        "return document.querySelectorAll('.block').length > 0"
        " && (!location.search || document.querySelector('.wrong li') !== null)"
    )
    wait(browser, ready)
    save(browser, path)


def shoot(browser: Browser, url: str, size: tuple[int, int], theme: str, path: Path) -> None:
    """Draw one, once all its pictures are there."""
    browser.look_as(size, theme, motion=False)
    show(browser, url)
    save(browser, path, 1 if size[0] < 3000 else 0.4)


def save(browser: Browser, path: Path, scale: float = 1.0) -> None:
    """Keep what is drawn."""
    browser.save(path, scale)
    print(path.name, path.stat().st_size, "bytes", flush=True)


def show(browser: Browser, url: str) -> None:
    """Open the page, and wait until all of it is there."""
    browser.open(url)
    ready = (
        "const shown = [...document.querySelectorAll('img')].filter(one => !one.hidden);"
        "return document.querySelectorAll('.card').length > 0"
        " && shown.every(one => one.naturalWidth > 0)"
    )
    wait(browser, ready)


def wait(browser: Browser, ready: str) -> None:
    """Until a script says so."""
    began = time.monotonic()
    until = began + 60
    while not browser.run(ready):
        now = time.monotonic()
        if now > until:
            raise TimeoutError("the page is not complete")
        time.sleep(max(0.05, 5 * (now - began)))  # a look costs the browser that is waited for
        began = time.monotonic()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="draw those with this in their name")
    parser.add_argument("--to", type=Path, default=_PICTURES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        asyncio.run(draw(options.only, Path(work), options.to))
