"""The page in a real browser, on a real broker and a real manager, with a real agent."""

import asyncio
import json
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.manager.station import apply, ask
from tests.page.browser import PHONE, WALL, Browser, until
from tests.page.stage import Box, conference, jpeg, mac
from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Stranger

ROOMS = {"hall1": ("cam", "slides"), "hall2": ("cam", "mix"), "hall3": ("cam",)}
AGENT = "hall4cam"
REAL = f"""
[rooms.hall4]
[stations.hall4-cam]
id = "{AGENT}"
room = "hall4"
seat = "cam"
[stations.hall4-cam.roles.record.main]
source = {{type = "test", size = "160x90", rate = 10}}
[stations.hall4-cam.roles.monitor.main]
source = {{type = "test", size = "160x90", rate = 10}}
thumbnail_seconds = 1
"""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
AA = 4.5


class Stage:
    """What is played, and who looks at it."""

    def __init__(self, manager: Program, url: str, boxes: dict[str, Box], browser: Browser) -> None:
        self.manager = manager
        self.url = url
        self.boxes = boxes
        self.browser = browser

    async def run(self, script: str) -> Any:
        return await asyncio.to_thread(self.browser.run, script)

    async def until(self, script: str, timeout: float = 60) -> None:
        """Wait until an expression is true on the page."""
        await until(self.run, script, timeout)


def card(room: str, part: str = "") -> str:
    return f"document.querySelector('[data-room={room}] {part}'.trim())"


def address(manager: Program) -> str:
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    return found[1]


@pytest.fixture
async def stage(
    broker: Mosquitto, stranger: Stranger, programs: Programs, tmp_path: Path, browser: Browser
) -> Stage:
    """Three rooms that are fine, and a browser that looks at them."""
    manager = programs.manager(broker)
    await ask(stranger, "status")
    names = [
        (f"{room}-{seat}", mac(n, seat)) for n, room in enumerate(ROOMS) for seat in ROOMS[room]
    ]
    boxes = {name: Box(stranger, id_) for name, id_ in names}
    await apply(stranger, conference(ROOMS))
    picture = await asyncio.to_thread(jpeg, tmp_path)
    for box in boxes.values():
        await box.come_online(interval=60)
        await box.obey(await box.config())
        await box.measure()
        await box.show(picture)
    browser.look_as(WALL, motion=False)
    found = Stage(manager, address(manager), boxes, browser)
    await asyncio.to_thread(browser.open, found.url + "/")
    await found.until("document.querySelectorAll('[data-level=fine].card').length == 3")
    return found


async def test_a_room_that_goes_bad_says_so_within_seconds_and_where_to_go(stage: Stage) -> None:
    assert await stage.run("return document.getElementById('line').textContent") == (
        "every room is fine"
    )
    slides = stage.boxes["hall1-slides"]
    await slides.become("record/main", state="failed", reason="NoSignal", message="<b>no</b> cable")
    await stage.until(f"{card('hall1')}.dataset.level == 'go'")
    line = await stage.run(f"return {card('hall1', '.line')}.textContent")
    assert re.fullmatch(
        r"go to hall1-slides, under the lectern: no signal since (\w{3} )?\d\d:\d\d CES?T", line
    )
    assert await stage.run("return document.getElementById('line').textContent") == line
    assert await stage.run(f"return {card('hall1', '.word')}.textContent") == "go there"
    assert await stage.run(f"return {card('hall1', '.record dd')}.textContent") == "1/2"
    command = await stage.run(f"return {card('hall1', '.command')}.textContent")
    assert command == "fleet logs hall1-slides record/main"
    assert await stage.run(f"return {card('hall1', '.detail')}.textContent") == "<b>no</b> cable"
    first = "document.querySelector('main > .card').dataset.room"
    assert await stage.run(f"return {first}") == "hall1"

    await slides.become("record/main", state="running", reason=None, message=None)
    await stage.until(f"{card('hall1')}.dataset.level == 'fine'")

    await stage.boxes["hall3-cam"].presence("lost")
    await stage.until(f"{first} == 'hall3'")
    assert await stage.run(f"return {card('hall3', '.record')}.dataset.state") == "unknown"
    assert "b827eb" not in await stage.run("return document.documentElement.outerHTML")
    assert stage.browser.complaints() == []


async def test_what_a_real_agent_records_and_sees_is_shown_and_its_death_too(
    stage: Stage, broker: Mosquitto, stranger: Stranger, programs: Programs
) -> None:
    agent = programs.agent(broker, AGENT)
    await apply(stranger, conference(ROOMS, REAL))
    await stage.until(f"{card('hall4')}?.dataset.level == 'fine'")
    await stage.until(f"{card('hall4', '.record dd')}.textContent == '1/1'")
    await stage.until(f"{card('hall4', 'img')}.naturalWidth == 320")
    await stage.until(f"/\\d LUFS/.test({card('hall4', '.loudness')}.textContent)")
    await stage.until(f"/^\\d+ s$/.test({card('hall4', '.write dd')}.textContent)")
    await stage.until(f"/ [hd]$/.test({card('hall4', '.disk dd')}.textContent)")
    agent.kill()
    await stage.until(f"{card('hall4')}.dataset.level == 'go'")
    assert "hall4-cam: lost since" in await stage.run("return document.title")


async def test_sound_and_pictures_are_shown_with_their_age_and_coloured_only_in_a_talk(
    stage: Stage, stranger: Stranger
) -> None:
    view = card("hall2", ".view:has([alt*=mix])")
    await stage.until(f"{view}.querySelector('img').naturalWidth == 320")
    assert (
        await stage.run(f"return {view}.querySelector('.loudness').textContent")
        == "\N{MINUS SIGN}23 LUFS"
    )
    bar = f"getComputedStyle({view}.querySelector('.bar')).clipPath"
    await stage.until(f"{bar} == 'inset(22.5% 0px 0px)'")  # -9 dB on the scale of IEC 60268-18
    assert re.fullmatch(
        r"\d+ s", await stage.run(f"return {view}.querySelector('.age').textContent")
    )
    await stage.boxes["hall2-mix"].measure(lufs=-52)
    await stage.until(f"{view}.dataset.alarm == 'go'")
    assert "too low" in await stage.run(f"return {view}.textContent")
    reply = await ask(stranger, "talk", room="hall2", talk="off")
    assert reply["error"] is None, reply
    await stage.until(f"{view}.dataset.alarm == 'fine'")
    assert await stage.run(f"return {card('hall2', '.talk dd')}.textContent") == "off"


async def test_a_manager_that_hangs_or_goes_away_leaves_a_page_that_says_it_is_stale(
    stage: Stage, broker: Mosquitto, programs: Programs
) -> None:
    port = urlsplit(stage.url).port
    assert port
    stale = "document.body.dataset.state == 'stale'"
    stage.manager.signal(signal.SIGSTOP)
    await stage.until(stale)
    assert "silent" in await stage.run("return document.getElementById('line').textContent")
    grey = "getComputedStyle(document.querySelector('main')).filter == 'grayscale(1)'"
    assert await stage.run(f"return {grey}"), "neither green nor red"
    stage.manager.signal(signal.SIGCONT)
    await stage.until("document.body.dataset.state == 'live'")

    stage.manager.kill()
    await stage.until(stale)
    programs.manager(broker, http=port)
    await stage.until("document.body.dataset.state == 'live'")
    await stage.until("document.querySelectorAll('[data-level=fine].card').length == 3")


async def test_without_a_broker_every_room_is_unknown_and_the_line_says_why(
    stage: Stage, broker: Mosquitto
) -> None:
    broker.stop()
    await stage.until("document.querySelectorAll('[data-level=unknown].card').length == 3")
    line = await stage.run("return document.getElementById('line').textContent")
    assert line == "the manager hears nobody: it has no connection to the broker"


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_it_can_be_read_on_a_phone_and_a_wall_by_everybody(stage: Stage, theme: str) -> None:
    await stage.boxes["hall1-cam"].become("record/main", state="failed", reason="DiskFull")
    await stage.boxes["hall2-cam"].become("monitor/main", state="running", reason="PictureBlack")
    await stage.boxes["hall2-mix"].measure(lufs=-52)
    await stage.until("document.querySelectorAll('[data-level=fine].card').length == 1")
    for size in (WALL, PHONE):
        await asyncio.to_thread(stage.browser.look_as, size, theme, motion=False)
        width = await stage.run("return document.documentElement.scrollWidth")
        assert width <= size[0], "nothing is cut off at the side"
        worst = await stage.run(CONTRAST)
        assert worst[0][0] >= AA, worst[:3]
        assert len(worst) > 40
        await stage.run("document.body.dataset.state = 'stale'")
        stale = await stage.run(CONTRAST)
        assert stale[0][0] >= AA, stale[:3]
        moving = "getComputedStyle(document.querySelector('.bar')).transitionDuration"
        assert await stage.run(f"return {moving}") == "0s"
    await asyncio.to_thread(stage.browser.look_as, WALL, theme)
    assert await stage.run("return document.documentElement.scrollHeight") <= WALL[1]
    pixels = f"parseFloat(getComputedStyle({card('hall1', '.line')}).fontSize)"
    assert await stage.run(f"return {pixels}") >= 20
    words = "[...document.querySelectorAll('.card')].map(c => c.getAttribute('aria-label'))"
    assert "Hall 1: go there" in await stage.run(f"return {words}")
    live = "document.getElementById('line').getAttribute('aria-live')"
    assert await stage.run(f"return {live}") == "polite"


async def test_the_keyboard_stays_where_it_is_when_the_order_changes(stage: Stage) -> None:
    await stage.run(f"{card('hall3')}.focus()")
    await stage.boxes["hall3-cam"].become("record/main", state="failed", reason="DiskFull")
    await stage.until("document.querySelector('main > .card').dataset.room == 'hall3'")
    assert await stage.run("return document.activeElement.dataset.room") == "hall3"
    outline = await stage.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline in ("solid", "none"), "shown when it came by the keyboard"


async def test_nothing_comes_from_elsewhere_and_nothing_is_complained_about(stage: Stage) -> None:
    await asyncio.to_thread(stage.browser.open, stage.url + "/")
    await stage.until("document.querySelectorAll('img[src]').length > 3")
    asked = {one for one in stage.browser.requested() if not one.startswith(("data:", "chrome"))}
    assert len(asked) > 6
    assert {urlsplit(one).netloc for one in asked} == {urlsplit(stage.url).netloc}
    assert stage.browser.complaints() == []
    policy = headers(f"{stage.url}/")["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy


async def test_the_same_is_there_as_json_and_as_jpeg(stage: Stage) -> None:
    board = json.loads(await fetch(f"{stage.url}/rooms.json"))
    assert [one["room"] for one in board["cards"]] == list(ROOMS)
    picture = board["cards"][0]["views"][0]["picture"]
    assert picture == "thumbnail/hall1-cam/monitor/main.jpg"
    assert (await fetch(f"{stage.url}/{picture}")).startswith(b"\xff\xd8")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await fetch(f"{stage.url}/thumbnail/nobody/monitor/main.jpg")


async def fetch(url: str) -> bytes:
    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (our own)
            body: bytes = response.read()
            return body

    return await asyncio.to_thread(get)


def headers(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (our own)
        return dict(response.headers)
