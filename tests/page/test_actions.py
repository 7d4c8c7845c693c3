"""Three people act at once, in a real browser: what each sees is what the fleet says, at once.

A real manager and a real agent that records; the mixer is played, so that it can refuse and be
silent.
"""

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from fleet.sealed import seal
from tests.manager.station import apply, ask
from tests.page.browser import WALL, Browser
from tests.page.browser import until as on_page
from tests.page.stage import Box, conference
from tests.processes import Mosquitto, Program, Programs, until
from tests.stranger import Stranger

PHONE = (390, 844)
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
AA = 4.5
SAID = "korrekt-pferd"
PEOPLE = {"olaf": "operator", "ann": "room:hall1", "vera": "viewer"}
HOSTS = {"olaf": "localhost", "ann": "127.0.0.1", "vera": "fleet.localhost"}
"""A cookie is of one host: so one browser is three people's."""
STATUS = "fleet/v1/station/hall1rec/status"
EXTRA = """
[stations.hall1-rec]
id = "hall1rec"
room = "hall1"
roles.record.main = {source = {type = "test", size = "160x90", rate = 5}}
[stations.hall1-mix]
id = "hall1mix"
room = "hall1"
seat = "mix"
roles.ingest.cam = {picture = {type = "test"}, sound = {type = "test"}, port = 9100}
roles.ingest.slides = {picture = {type = "test"}, sound = {type = "test"}, port = 9200}
[stations.hall1-mix.roles.mix.main]
sources.cam = {role = "ingest", instance = "cam"}
sources.slides = {role = "ingest", instance = "slides"}
audio = "cam"
"""
SCENE: dict[str, Any] = {
    "composite": "side_by_side",
    "a": "slides",
    "b": "cam",
    "audio": "cam",
    "live": True,
    "sources": {"cam": True, "slides": True},
}
WATCH = """
const [text] = arguments;
window.seen = false;
const look = () => {
  const card = document.querySelector("[data-room=hall1]");
  window.seen ||= Boolean(card?.innerText.includes(text));
};
const all = {subtree: true, childList: true, characterData: true};
new MutationObserver(look).observe(document.body, all);
look();
"""
SMALL = """
return [...document.querySelectorAll(".desk button, .desk label, .desk input:not([type=radio])")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44).map(([text]) => text);
"""
NAMELESS = """
return [...document.querySelectorAll(".desk button, .desk input")]
  .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label") || one.textContent
    || one.labels?.[0]?.textContent)).length;
"""


ALIKE = """
const said = [...document.querySelectorAll(".desk button")]
  .filter((one) => one.checkVisibility() && !one.closest("[aria-label][role=group]"))
  .map((one) => one.getAttribute("aria-label") ?? one.textContent);
return said.filter((one, number) => said.indexOf(one) !== number);
"""
"""Buttons that who hears the page cannot tell apart."""


class Mixer(Box):
    """Does what it is told, refuses, or says nothing."""

    def __init__(self, stranger: Stranger, id_: str) -> None:
        super().__init__(stranger, id_)
        self.scene = dict(SCENE)
        self.refusal: str | None = None
        self.silent = False

    async def answer(self) -> None:
        done: set[bytes] = set()
        while True:
            for one in self.stranger.heard:
                topic = one.topic.split("/")
                if topic[3] != self.id or topic[4] != "command" or one.correlation in done:
                    continue
                done.add(one.correlation or b"")
                if not (self.silent and topic[7] != "get"):
                    where = f"fleet/v1/station/{self.id}/reply/{topic[5]}"
                    reply = self._do(topic[7], one.json["arguments"])
                    await self.stranger.publish(where, reply, correlation=one.correlation)
            await asyncio.sleep(0.02)

    def _do(self, command: str, arguments: dict[str, Any]) -> Any:
        if self.refusal and command != "get":
            error = {"type": "CommandFailed", "message": self.refusal, "problems": []}
            return {"result": None, "error": error}
        match command:
            case "live" | "blank":
                self.scene["live"] = command == "live"
            case "cut":
                self.scene |= {key: it for key, it in arguments.items() if it is not None}
            case "audio":
                self.scene["audio"] = arguments["source"]
        return {"result": self.scene, "error": None}


class People:
    """Who looks, each in a window of their own."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._windows: dict[str, str] = {}

    async def sign_in(self, name: str, size: tuple[int, int]) -> None:
        driver = self._browser.driver
        port = self._url.rpartition(":")[2]

        def go() -> None:
            driver.switch_to.new_window("tab")
            self._windows[name] = driver.current_window_handle
            self._browser.look_as(size, motion=False)
            self._browser.open(f"http://{HOSTS[name]}:{port}/signin")
            driver.execute_script(
                "document.querySelector('[name=name]').value = arguments[0];"
                "document.querySelector('[name=password]').value = arguments[1];"
                "document.querySelector('form').requestSubmit()",
                name,
                SAID,
            )

        await asyncio.to_thread(go)
        await self.until(name, "document.querySelector('[data-room=hall1]')")
        await self.until(name, f"who.name === '{name}'")

    async def run(self, name: str, script: str, *arguments: Any) -> Any:
        driver = self._browser.driver

        def go() -> Any:
            driver.switch_to.window(self._windows[name])
            return driver.execute_script(script, *arguments)

        return await asyncio.to_thread(go)

    async def until(self, name: str, script: str, timeout: float = 60) -> None:
        await on_page(partial(self.run, name), script, timeout)

    async def press(self, name: str, label: str) -> None:
        """Press what is called so, once it can be pressed."""
        found = (
            "[...document.querySelectorAll('button')].find((one) => one.checkVisibility() && "
            "one.ariaDisabled !== 'true' && "
            f"(one.getAttribute('aria-label') ?? one.textContent) === {label!r})"
        )
        # In one go: the page may be drawn anew at any time.
        go = "(one) => { one?.focus(); one?.click(); return Boolean(one); }"
        await self.until(name, f"({go})({found})")

    async def watch(self, text: str) -> None:
        """From now on each window notes when hall1's card says this."""
        for name in self._windows:
            await self.run(name, WATCH, text)

    async def all_saw_it(self) -> None:
        """Wait until each window has shown what it watches for."""
        for name in self._windows:
            await self.until(name, "window.seen")

    async def ask(self, name: str, operation: str, asked: Any, proof: str | None = None) -> Any:
        """As a script on their page could: the status, and the answer."""
        script = """
            const [operation, asked, given] = arguments;
            return fetch(`do/${operation}`, {method: "POST", body: JSON.stringify(asked), headers: {
              "Content-Type": "application/json", "X-Fleet-Proof": given ?? who.proof ?? ""}})
              .then(async (answer) => [answer.status, (await answer.json()).error]);"""
        return await self.run(name, script, operation, asked, proof)


@pytest.fixture
def windows(browser: Browser) -> Iterator[Browser]:
    """A browser whose windows but one are closed in the end."""
    first = browser.driver.current_window_handle
    others = set(browser.driver.window_handles)
    yield browser
    for one in set(browser.driver.window_handles) - others:
        browser.driver.switch_to.window(one)
        browser.driver.delete_all_cookies()
        browser.driver.close()
    browser.driver.switch_to.window(first)


async def invited(stranger: Stranger) -> None:
    key = (await ask(stranger, "user_list"))["result"]["key"]
    for name, rights in PEOPLE.items():
        sealed = seal(key, SAID.encode())
        added = await ask(stranger, "user_add", name=name, rights=rights, password=sealed)
        assert added["error"] is None, added


def address(manager: Program) -> str:
    found = re.search(r"serving (http://\S+)/metrics", manager.log())
    assert found
    return found[1]


def recording(said: Any) -> bool:
    return bool(said["roles"].get("record", {}).get("main", {}).get("state") == "running")


def held(said: Any) -> bool:
    return bool(said["roles"].get("record", {}).get("main", {}).get("reason") == "Stopped")


@pytest.mark.long
async def test_three_people_act_at_once_and_see_what_really_happens(
    broker: Mosquitto, stranger: Stranger, programs: Programs, windows: Browser, tmp_path: Path
) -> None:
    manager = programs.manager(broker)
    await manager.says("serving")
    mixer = Mixer(stranger, "hall1mix")
    other = Box(stranger, "b827eb000101")
    for box in (mixer, other):
        await box.come_online(interval=60)
    playing = asyncio.create_task(mixer.answer())
    programs.agent(broker, "hall1rec", "interval = 1.0\n")
    await apply(stranger, conference({"hall2": ("cam",)}, "[rooms.hall1]\n" + EXTRA))
    for box in (mixer, other):
        await box.obey(await box.config())
    await stranger.expect(STATUS, recording)
    await invited(stranger)
    people = People(windows, address(manager))
    await people.sign_in("vera", WALL)
    await people.sign_in("olaf", WALL)
    await people.sign_in("ann", PHONE)

    # Each is offered what they may do, and no more; who asks all the same is refused.
    offered = (
        "[...document.querySelectorAll('.act')].filter((one) => !one.hidden)"
        ".map((one) => one.dataset.room)"
    )
    await people.until("olaf", f"{offered}.sort().join() === 'hall1,hall2'")
    await people.until("ann", f"{offered}.join() === 'hall1'")
    assert await people.run("vera", f"return {offered}") == []
    stop = {"station": "hall1-rec", "role": "record", "sure": True}
    status, error = await people.ask("vera", "stop", stop)
    assert (status, error["type"]) == (403, "Forbidden")
    status, error = await people.ask("ann", "stop", stop | {"station": "hall2-cam"})
    assert (status, error["type"]) == (403, "Forbidden")
    status, error = await people.ask("olaf", "stop", stop, "0" * 64)
    assert (status, error["type"]) == (403, "Forbidden"), "without the page's proof"
    assert recording(stranger.latest(STATUS))

    # A recording ends after a second question, and all three see it once it has.
    await people.press("ann", "Control hall1")
    assert await people.run("ann", "return document.activeElement.closest('dialog') !== null")
    assert await people.run("ann", SMALL) == []
    assert await people.run("ann", NAMELESS) == 0
    assert await people.run("ann", ALIKE) == []
    await people.press("ann", "Stop record/main of hall1-rec")
    assert await people.run("ann", "return document.activeElement.checked"), "of the choices"
    assert await people.run("ann", SMALL) == []
    await people.run("ann", "document.querySelector('[name=note]').value = '<b>fog</b>\\u001b[2J'")
    await people.press("ann", "Stop it")
    await people.until("ann", "document.querySelector('.question') !== null")
    question = await people.run("ann", "return document.querySelector('.question').textContent")
    assert question.startswith("This ends 1 recording: hall1-rec record/main.")
    assert recording(stranger.latest(STATUS)), "nothing was done yet"
    mark = stranger.mark()
    await people.watch("record/main stopped by ann until")
    await people.press("ann", "Yes, end it")
    await stranger.expect(STATUS, held, after=mark)
    await people.all_saw_it()
    card = await people.run("vera", "return document.querySelector('[data-room=hall1]').innerText")
    assert "<b>fog</b>?[2J" in card
    assert "go there" not in card
    said = "document.getElementById('desk-said').textContent"
    await people.until("ann", f"{said}.includes('stopped by ann')")

    # Who may act in all rooms lets it run again; who sat beside it sees that.
    await people.press("olaf", "Control hall1")
    mark = stranger.mark()
    await people.press("olaf", "Start record/main of hall1-rec")
    await stranger.expect(STATUS, recording, after=mark)
    for name in PEOPLE:
        gone = "document.querySelector('[data-room=hall1] .held').hidden"
        await people.until(name, gone)

    # A restart that costs a recording two seconds says so first.
    await people.press("olaf", "Restart record/main of hall1-rec")
    asked = "document.querySelector('.question')?.textContent"
    await people.until("olaf", f"{asked}?.includes('a second or two are missing')")
    await people.press("olaf", "Back")
    await people.until("olaf", "document.getElementById('desk-ask').hidden")

    # The mixer: shown as it says, and by whom; a refusal and silence change nothing.
    await people.until(
        "vera", "document.querySelector('.mixed').innerText.includes('slides + cam')"
    )
    await people.watch("by olaf")
    await people.press("olaf", "Blank")
    await people.all_saw_it()
    mixed = await people.run("vera", "return document.querySelector('.mixed').textContent")
    assert re.match(
        r"blank by olaf, (\w{3} )?\d\d:\d\d CES?T · side by side · slides \+ cam · sound cam",
        mixed,
    )
    mixer.refusal = "the mixer is on fire"
    await people.press("olaf", "full screen")
    await people.until("olaf", f"{said} === 'Not done: hall1-mix: the mixer is on fire'")
    mixer.refusal, mixer.silent = None, True
    mark = stranger.mark()
    await people.press("ann", "Live")
    await until(lambda: any(one.topic.endswith("/mix/live") for one in stranger.heard[mark:]))
    pressed = "document.querySelector('.desk [aria-pressed=true]').textContent"
    assert await people.run("ann", f"return {pressed}") == "Blank", "what was hoped is not shown"
    await people.until("ann", f"{said}.includes('whether it did so is not known')")
    mixer.silent = False

    # Whoever sees to what is wrong says so, and all know it.
    await people.watch("seen to by ann")
    await people.press("ann", "I see to it, for 30 min")
    await people.all_saw_it()
    await people.until("ann", "document.activeElement.dataset.key === 'ack'")
    for theme in ("light", "dark"):
        await people.run("ann", "return 1")
        await asyncio.to_thread(windows.look_as, PHONE, theme, False)
        (worst, *_) = await people.run("ann", CONTRAST)
        assert worst[0] >= AA, worst

    # By keyboard alone: Escape leaves, and what was opened from has the focus.
    await people.run("ann", "document.querySelector('.desk .close').focus()")
    driver = windows.driver
    await asyncio.to_thread(lambda: driver.switch_to.active_element.send_keys(Keys.ESCAPE))
    await people.until("ann", "!document.getElementById('desk').open")
    await people.until("ann", "document.activeElement.className === 'act'")

    # A mark is of the moment in which it was asked for; a talk is said to be on; each is kept.
    await people.press("ann", "Control hall1")
    await people.press("ann", "Cut")
    await people.press("ann", "Set the mark")
    await people.until("ann", f"{said} === 'Marked: cut by ann.'")
    await people.press("ann", "On")
    await people.until("ann", f"{said} === 'Talk: on.'")
    history = (await ask(stranger, "history"))["result"]["events"]
    did = [(one["kind"], one["by"]) for one in history if one["by"] in PEOPLE]
    assert did == [
        *(("stop", "ann"), ("start", "olaf"), ("blank", "olaf")),
        *(("ack", "ann"), ("mark", "ann"), ("talk", "ann")),
    ]
    playing.cancel()
    assert not [one for one in windows.complaints() if "403" not in one and "409" not in one]
