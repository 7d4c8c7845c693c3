"""One Chromium for all tests of this process; each begins with a window that has seen nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.page.browser import Browser


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """A browser that has seen nothing yet."""
    await asyncio.to_thread(chromium.begin)
    yield chromium
    await asyncio.to_thread(chromium.forget)
