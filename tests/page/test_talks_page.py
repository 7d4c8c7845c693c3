"""The page of talks in a real Chromium: with a played day, and with a real manager."""

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.manager.station import PretendStation, apply, ask, conference
from tests.page.browser import PHONE, WALL, Browser, until
from tests.page.pictures import served
from tests.page.played import Play
from tests.page.played_talks import PlayedDay, at
from tests.processes import Mosquitto, Programs
from tests.schedule.publish import MINUTE, event, published
from tests.stranger import Stranger, wire_time

ROOMS = {
    "room1": "Hall 1",
    "room2": "<img src=x onerror=alert(1)>",
    "room3": "Großer Hörsaal der Fakultät für Elektrotechnik und Informationstechnik",
}
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
SHAPES = """
return [...document.querySelectorAll('.legend use')].map((one) =>
  document.querySelector(one.getAttribute('href')).innerHTML);
"""
PATTERNS = """
return [...document.querySelectorAll('.legend i')].map((one) => {
  const style = getComputedStyle(one);
  return [style.backgroundImage, style.borderStyle, style.height].join();
});
"""
AA = 4.5
DRAWN = "document.querySelectorAll('.block').length > 20"


class Reader:
    """Who looks at the page."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        self.url = url

    async def open(self, path: str = "talks", ready: str = DRAWN) -> None:
        await asyncio.to_thread(self.browser.open, self.url + path)
        await self.until(ready)

    async def run(self, script: str) -> Any:
        return await asyncio.to_thread(self.browser.run, script)

    async def until(self, script: str, timeout: float = 60) -> None:
        await until(self.run, script, timeout)

    async def press(self, *keys: str) -> None:
        await asyncio.to_thread(ActionChains(self.browser.driver).send_keys(*keys).perform)


def block(talk: str) -> str:
    return f"document.querySelector('.block[data-talk={talk}]')"


@pytest.fixture
async def day() -> PlayedDay:
    return PlayedDay(ROOMS)


@pytest.fixture
async def reader(browser: Browser, day: PlayedDay) -> AsyncIterator[Reader]:
    async with served(Play(0, False, {}), day) as url:
        yield Reader(browser, url)


async def test_a_click_opens_the_receipt_and_keys_go_from_talk_to_talk(reader: Reader) -> None:
    reader.browser.look_as(WALL, motion=False)
    await reader.open()
    await reader.run(f"{block('room3-2')}.click()")
    await reader.until("document.querySelector('.wrong li')")
    told = await reader.run("return document.getElementById('receipt').innerText")
    assert "Who watches the watchers?" in told
    assert "not all there: 3060 s are missing (3060 s from 12:15:00 CET" in told
    assert "missing 12:15:00 to 13:06:00: the next file is missing" in told
    assert "fleet receipt room3-2" in told
    await reader.press(Keys.ESCAPE)
    await reader.until("document.activeElement.dataset.talk == 'room3-2'")
    assert not await reader.run("return document.getElementById('receipt').open")

    here = "return document.activeElement.dataset.talk"
    await reader.press(Keys.ARROW_RIGHT)
    assert await reader.run(here) == "room3-3"
    await reader.press(Keys.ARROW_UP)
    assert await reader.run(here) == "room2-3"
    await reader.press(Keys.ENTER)
    await reader.until("document.querySelector('#receipt-body section')")
    assert "Lightning talks" in await reader.run(
        "return document.activeElement.closest('dialog').innerText"
    )
    stops = "return document.querySelectorAll('.block[tabindex=\"0\"]').length"
    assert await reader.run(stops) == 3, "one stop for Tab in each room"

    await reader.open("talks?talk=room1-night", "document.getElementById('receipt').open")
    await reader.until("document.getElementById('receipt-title').textContent == 'Hacker Jeopardy'")
    assert "23:00\N{EN DASH}01:30 CET" in await reader.run(
        "return document.getElementById('receipt').innerText"
    )


async def test_it_changes_while_one_looks_and_nothing_moves(reader: Reader, day: PlayedDay) -> None:
    reader.browser.look_as(PHONE)
    await reader.open()
    assert await reader.run("return document.getElementById('board').scrollLeft") > 300, "now"
    await reader.run(
        f"{block('room3-2')}.focus(); document.getElementById('board').scrollLeft = 150"
    )
    # The count of what is wrong leads there, to one after the other.
    for lead, talk in (("red", "room3-2"), ("yellow", "room2-5"), ("red", "room3-2")):
        await reader.run(f"document.querySelector('#tally [data-state={lead}] button').click()")
        assert await reader.run("return document.activeElement.dataset.talk") == talk
        spot = "document.activeElement.getBoundingClientRect().left"
        assert 0 <= await reader.run(f"return {spot}") < PHONE[0]
    await reader.run("document.getElementById('board').scrollLeft = 150")
    day.bad, day.changes = False, 1
    await reader.until(f"{block('room3-2')}.dataset.state == 'green'")
    assert await reader.run("return document.activeElement.dataset.talk") == "room3-2"
    assert await reader.run("return document.getElementById('board').scrollLeft") == 150
    day.moment = at(30)
    day.changes = 2
    await reader.until("document.getElementById('day').textContent == 'Sunday 15 November 2026'")
    await reader.run("document.getElementById('previous').click()")
    await reader.until("document.getElementById('day').textContent.startsWith('Saturday')")
    await reader.until("!document.getElementById('today').hidden")
    await reader.until("document.getElementById('lines').dataset.now == 'false'")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_everybody_can_read_it_on_a_phone_and_a_wall(reader: Reader, theme: str) -> None:
    for size in (WALL, PHONE):
        reader.browser.look_as(size, theme, motion=False)
        await reader.open("talks?talk=room1-1", "document.querySelector('.wrong li')")
        await reader.run("document.getElementById('table').open = true")
        assert await reader.run("return document.documentElement.scrollWidth") <= size[0]
        worst = await reader.run(CONTRAST)
        assert worst[0][0] >= AA, worst[:3]
        assert len(worst) > 150
    said = await reader.run(f"return {block('room2-2')}.getAttribute('aria-label')")
    assert said.startswith("12:15\N{EN DASH}12:45, כמה מילים על הקלטות, not to be published, ")
    told = "[...document.querySelectorAll('.recording .line')].map(one => one.ariaLabel)"
    assert any(
        "missing: it crashed 11:12:00 to 11:27:00" in one
        for one in await reader.run(f"return {told}")
    )
    rows = await reader.run("return document.querySelectorAll('tbody tr').length")
    assert rows == 28, "all talks are in the table"
    # What differs, differs in shape too.
    assert len(set(await reader.run(SHAPES))) == 5
    assert len(set(await reader.run(PATTERNS))) == 7


async def test_foreign_text_is_text_nothing_comes_from_elsewhere_and_no_day_is_no_crash(
    reader: Reader,
) -> None:
    reader.browser.requested()
    await reader.open()
    titles = await reader.run(
        "return [...document.querySelectorAll('h3')].map(one => one.textContent)"
    )
    assert titles == list(ROOMS.values())
    assert "<b>HTML</b> is not a talk" in await reader.run("return document.body.innerText")
    assert await reader.run("return document.querySelectorAll('main img, main b b').length") == 0
    asked = {one for one in reader.browser.requested() if not one.startswith(("data:", "chrome"))}
    assert {urlsplit(one).netloc for one in asked} == {urlsplit(reader.url).netloc}
    assert reader.browser.complaints() == []
    code, headers, _ = await get(reader.url + "talks")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    for path, expected, text in (
        ("talks.json?day=tomorrow", 400, "a day is given as 2026-11-14"),
        ("talks.json?day=9999-12-31", 404, "too far away"),
        ("talks.json?day=0001-01-01", 404, "too far away"),
        ("talks.json?talk=nobody", 404, "no such talk any more"),
        ("talks/events?day=x", 400, "a day is given"),
        ("talks/receipt.json?room=room2&talk=room1-1", 404, "no such talk in this room"),
        ("talks/receipt.json", 404, "no such talk"),
    ):
        code, _, body = await get(reader.url + path)
        assert (code, text in body) == (expected, True), (path, body)
    await reader.open("talks?day=x", "!document.getElementById('note').hidden")
    told = await reader.run("return document.getElementById('note').textContent")
    assert told == "A day is given as 2026-11-14."


async def test_what_a_station_recorded_is_on_card_and_line_within_seconds(
    broker: Mosquitto, stranger: Stranger, programs: Programs, browser: Browser, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    zone = ZoneInfo(f"Etc/GMT{now.hour - 12:+}")  # where it is noon, and no day ends
    begin = now - timedelta(hours=1)
    place = tmp_path / "schedule.json"
    place.write_bytes(published({"hall1": [event(1, begin, title="Opening")]}))
    manager = programs.manager(broker)
    await manager.says("serving http://")
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    text = conference(("hall1-cam", "cam1")).replace(
        "[rooms.hall1]",
        f'[conference]\ntimezone = "{zone}"\n[schedule]\nfile = "{place}"\n[rooms.hall1]',
    )
    await apply(stranger, text)
    box = PretendStation(stranger, "cam1")
    await box.come_online(60)
    reader = Reader(browser, f"{found[1]}/")
    browser.look_as(WALL, motion=False)
    await reader.open("talks", "document.querySelectorAll('.block').length == 1")
    assert await reader.run("return document.querySelector('.block').dataset.state") == "red"
    silent = [
        {"begin": wire_time(begin + MINUTE), "end": wire_time(begin + 3 * MINUTE), "what": "left"}
    ]
    for number in range(4):
        first, last = (begin + 10 * (number + more) * MINUTE for more in (0, 1))
        check = {"at": wire_time(last), "silences": [] if number else silent}
        told = {
            "index": "index-1",
            "number": number + 1,
            "file": f"main-{number}.ts",
            "room": "hall1",
            "role": "record",
            "instance": "main",
            "begin": wire_time(first),
            "end": wire_time(last),
            "bytes": 1000,
            "streams": [],
            "frames": 9,
            "checksum": None,
            "gap": None,
            "ended": "full",
            "check": check,
        }
        await box.say("segment", told, retain=False)
    await reader.until("document.querySelector('.block').dataset.state == 'yellow'")
    await reader.until("document.querySelectorAll('.line .spot').length == 1")
    reply = await ask(stranger, "mark", room="hall1", kind="cut", at=wire_time(begin + 5 * MINUTE))
    assert reply["error"] is None, reply
    await reader.until("document.querySelectorAll('.line .flag').length == 1")

    # Where all rooms are, the same is said, and leads here.
    await reader.open("", "!(document.querySelector('.receipt')?.hidden ?? true)")
    card = "document.querySelector('.card').innerText"
    assert "Receipts\nyellow" in await reader.run(f"return {card}")
    link = "document.querySelector('.receipt')"
    local = (begin + MINUTE).astimezone(zone)
    said = f"yellow: “Opening”: silent (left) for 120.0 s at {local:%H:%M:%S %Z}"
    assert (await reader.run(f"return {link}.textContent")).startswith(said)
    await reader.run(f"{link}.click()")
    await reader.until("document.getElementById('receipt')?.open")
    await reader.until("document.getElementById('receipt-title').textContent == 'Opening'")

    manager.kill()
    await reader.until("document.body.dataset.state == 'stale'")
    assert "stale" in await reader.run("return document.getElementById('link').textContent")


async def get(url: str) -> tuple[int, dict[str, str], str]:
    def ask_for() -> tuple[int, dict[str, str], str]:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 (our own)
                return response.status, dict(response.headers), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()

    return await asyncio.to_thread(ask_for)
