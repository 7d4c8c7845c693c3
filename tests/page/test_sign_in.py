"""Signing in on a phone with nothing but a keyboard, in a real browser and a real manager."""

import asyncio

from selenium.webdriver.common.keys import Keys

from fleet.sealed import seal
from tests.manager.station import apply, ask
from tests.page.browser import PHONE, Browser
from tests.page.stage import conference
from tests.page.test_page import AA, CONTRAST, Stage, address
from tests.processes import Mosquitto, Programs
from tests.stranger import Stranger

SAID = "korrekt-pferd"
TEXT = "document.querySelector('.said')"


async def types(stage: Stage, *keys: str) -> None:
    """Into whatever has the focus, as a keyboard does."""

    def send() -> None:
        for one in keys:
            stage.browser.driver.switch_to.active_element.send_keys(one)

    await asyncio.to_thread(send)


async def test_a_volunteer_signs_in_on_a_phone_and_out_again(
    broker: Mosquitto, stranger: Stranger, programs: Programs, browser: Browser
) -> None:
    manager = programs.manager(broker)
    await apply(stranger, conference({"hall1": ("cam",)}))
    key = (await ask(stranger, "user_list"))["result"]["key"]
    password = seal(key, SAID.encode())
    made = await ask(stranger, "user_add", name="ann", rights="room:hall1", password=password)
    assert made["error"] is None
    stage = Stage(manager, address(manager), {}, browser)
    await asyncio.to_thread(browser.look_as, PHONE)
    await asyncio.to_thread(browser.open, stage.url + "/talks?day=1")
    await stage.until("document.activeElement.id == 'name'")

    await types(stage, "ann", Keys.TAB, "not-the-password", Keys.ENTER)
    await stage.until(f"{TEXT} && !{TEXT}.hidden")
    assert "do not fit" in await stage.run(f"return {TEXT}.textContent")
    assert await stage.run("return document.getElementById('name').value") == "ann"
    assert await stage.run("return document.activeElement.id") == "password"
    assert await stage.run("return document.documentElement.scrollWidth") <= PHONE[0]
    for theme in ("dark", "light"):
        await asyncio.to_thread(browser.look_as, PHONE, theme)
        worst = await stage.run(CONTRAST)
        assert worst[0][0] >= AA, worst[:3]
    touched = "[...document.querySelectorAll('input:not([type=hidden]), button')]"
    heights = await stage.run(f"return {touched}.map((one) => one.offsetHeight)")
    assert min(heights) >= 44, "fit for a thumb"

    await types(stage, SAID, Keys.ENTER)
    await stage.until("location.pathname == '/talks' && location.search == '?day=1'")
    await asyncio.to_thread(browser.open, stage.url + "/")
    await stage.until("document.querySelector('#who b')?.textContent == 'ann'")
    out = "document.querySelector('#who button').getBoundingClientRect().height"
    assert await stage.run(f"return {out}") >= 40, "fit for a thumb"
    assert await stage.run("return document.documentElement.scrollWidth") <= PHONE[0]
    assert await stage.run("return document.cookie") == "", "no script reads who is signed in"
    reply = "return act('talk', {room: 'hall1', talk: 'on'}).then((one) => one.result.state)"
    assert await stage.run(reply) == "on"
    refused = "return act('talk', {room: 'hall2', talk: 'on'}).then((one) => one.error.type)"
    assert await stage.run(refused) == "Forbidden"

    await stage.run("document.querySelector('#who button').click()")
    await stage.until("location.pathname == '/signin'")
    await asyncio.to_thread(browser.open, stage.url + "/")
    await stage.until("location.pathname == '/signin'")
    await stage.until("document.activeElement.id == 'name'")
    await types(stage, "ann", Keys.TAB, SAID, Keys.ENTER)
    await stage.until("document.querySelector('#who b')?.textContent == 'ann'")
    removed = await ask(stranger, "user_remove", name="ann")
    assert removed["error"] is None
    await stage.until("location.pathname == '/signin'")  # the page leaves by itself
    unexpected = [one for one in browser.complaints() if "status of 40" not in one]
    assert unexpected == []
