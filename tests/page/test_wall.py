"""The page with many rooms and every kind of trouble, on the screens that people have."""

import asyncio
from pathlib import Path
from typing import Any

from tests.page.browser import Browser
from tests.page.pictures import SIZES, drawn, served, show
from tests.page.played import Play

CUT = """
const cut = [];
const SAID = '.title, .now, .line, .mixed, .held, .seen-to';
const PARTS = `${SAID}, .frame, .name, .trough, .loudness *, dd, dt`;
for (const card of document.querySelectorAll('.card')) {
  const all = card.getBoundingClientRect();
  const done = card.querySelector('.do').getBoundingClientRect();
  const few = document.documentElement.dataset.rooms === 'few' && done.height > 0;
  for (const one of card.querySelectorAll(PARTS)) {
    if (!one.checkVisibility({visibilityProperty: true})) continue;
    const its = one.getBoundingClientRect();
    if (few && one.closest('.sound') && its.bottom > done.top + 8) {
      cut.push([card.dataset.room, 'over what to type', one.textContent]);
    }
    const box = one.closest('.view')?.getBoundingClientRect() ?? all;
    if (its.left < all.left || its.top < all.top || its.bottom > all.bottom + 1
        || its.right > box.right + 8) cut.push([card.dataset.room, one.className, one.textContent]);
  }
}
return cut;
"""
EXTENT = """
const page = document.documentElement;
return [page.scrollWidth, page.scrollHeight];
"""
FRAMES = """
return Object.fromEntries([...document.querySelectorAll('.view')].map((one) => [
  one.dataset.key, Math.round(one.querySelector('.frame').getBoundingClientRect().width)]));
"""


SLOWLY = """
const image = document.querySelector('.view img').cloneNode(), held = [], shown = [];
const decode = Image.prototype.decode, from = image.dataset.from.split('?')[0];
Image.prototype.decode = () => new Promise((done) => held.push(done));
for (const number of [1, 2, 3]) load(image, `${from}?${number}`);
return (async () => {
  for (const number of [0, 1]) {
    held[number]();
    await new Promise((done) => setTimeout(done));
    shown.push([image.src.split('?')[1], held.length]);
  }
  Image.prototype.decode = decode;
  return shown;
})();
"""
"""Three pictures that come faster than the line takes them: the first is shown, then the last."""


async def test_all_rooms_are_on_a_wall_uncut_and_pictures_stay_as_large_whatever_happens(
    browser: Browser, tmp_path: Path
) -> None:
    pictures = await asyncio.to_thread(drawn, tmp_path)
    for count, sizes in {5: ("wall",), 15: tuple(SIZES)}.items():
        frames: dict[tuple[str, bool], Any] = {}
        for bad in (False, True):
            async with served(Play(count, bad, pictures)) as url:
                for name in sizes:
                    browser.look_as(SIZES[name], "dark", motion=False)
                    await asyncio.to_thread(show, browser, url)
                    cut = await asyncio.to_thread(browser.run, CUT)
                    assert cut == [], (count, bad, name)
                    wide, high = await asyncio.to_thread(browser.run, EXTENT)
                    assert wide <= SIZES[name][0]
                    assert name == "phone" or high <= SIZES[name][1], "seen without scrolling"
                    frames[name, bad] = await asyncio.to_thread(browser.run, FRAMES)
        for name in sizes:
            assert frames[name, True] == frames[name, False]


async def test_forty_rooms_scroll_and_names_of_all_kinds_are_text_on_one_line(
    browser: Browser, tmp_path: Path
) -> None:
    pictures = await asyncio.to_thread(drawn, tmp_path)
    async with served(Play(40, True, pictures)) as url:
        browser.look_as(SIZES["wall"], "dark", motion=False)
        await asyncio.to_thread(show, browser, url)
        assert await asyncio.to_thread(browser.run, CUT) == []
        titles = (
            "return [...document.querySelectorAll('.title')].map((one) =>"
            " [one.textContent, one.title, one.getBoundingClientRect().height])"
        )
        shown = await asyncio.to_thread(browser.run, titles)
        assert len(shown) == 40
        assert "<img src=x onerror=alert(1)>" in [text for text, _, _ in shown]
        assert all(text == full for text, full, _ in shown), "all of it on demand"
        assert max(high for _, _, high in shown) < 1.6 * min(high for _, _, high in shown)
        # Every channel of every track has its bar, and the dead one is told by word and hatching.
        many = (
            "const count = (one, what) => one.querySelectorAll(what).length;"
            "return [...document.querySelectorAll('.view')].map((one) =>"
            " count(one, '.track') + '/' + count(one, '.channel'))"
        )
        assert set(await asyncio.to_thread(browser.run, many)) == {"1/2", "4/5"}
        dead = "return document.querySelector('.view:has([data-state=dead]) .loudness').textContent"
        assert (await asyncio.to_thread(browser.run, dead)).endswith("R silent")
        assert await asyncio.to_thread(browser.run, SLOWLY) == [["1", 2], ["3", 2]]
        scale = "return [-70, -60, -40, -20, -10, 0, 3].map(height)"
        assert await asyncio.to_thread(browser.run, scale) == [0, 0, 0.15, 0.5, 0.75, 1, 1]
