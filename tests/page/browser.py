"""A real headless Chromium that looks at the page."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_DRAWN = "return new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r())))"
"""Over once all is laid out anew: for a frame a page may still be as wide as it was."""
WALL, PHONE = (1920, 1080), (360, 780)


async def until(run: Callable[[str], Awaitable[Any]], script: str, timeout: float = 60) -> None:
    """Wait until an expression is true on the page in which `run` runs scripts.

    A look that takes long is taken less often: it costs the browser that is waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        if await run(f"return {script}"):
            return
        now = time.monotonic()
        if now > deadline:
            shown = await run("return document.body.innerText")
            raise AssertionError(f"not within {timeout} s: {script}\n{shown}")
        await asyncio.sleep(max(0.05, 5 * (now - began)))


class Browser:
    """One window; every call blocks, so run it with `asyncio.to_thread`."""

    def __init__(self, directory: Path) -> None:
        options = ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*_FLAGS, f"--user-data-dir={directory}/chromium"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # Only what was asked for is read of it: the rest makes each look several times dearer.
        options.set_capability("goog:perfLoggingPrefs", {"enablePage": False})
        own = os.environ | {"HOME": str(directory)}
        self.driver = Chrome(options, Service("/usr/bin/chromedriver", env=own))

    def close(self) -> None:
        self.driver.quit()

    def begin(self) -> None:
        """Open a new window beside the first."""
        self.driver.switch_to.new_window("tab")
        self._log("browser")
        self._log("performance")

    def forget(self) -> None:
        """Close that window, and keep nothing of what was seen."""
        self._devtools("Network.clearBrowserCookies")
        self._devtools("Network.clearBrowserCache")
        self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])

    def look_as(self, size: tuple[int, int], theme: str = "light", motion: bool = True) -> None:
        """Be a screen of this size; `theme`: what its owner prefers."""
        width, height = size
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "no-preference" if motion else "reduce"},
        ]
        self._devtools("Emulation.setEmulatedMedia", features=features)
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.run(_DRAWN)

    def open(self, url: str) -> None:
        self.driver.get(url)

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(script)

    def screenshot(self, path: Path) -> None:
        shot = self._devtools("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def see_as(self, deficiency: str) -> None:
        """See colours as these eyes do: `deuteranopia`, `achromatopsia`, … or `none`."""
        self._devtools("Emulation.setEmulatedVisionDeficiency", type=deficiency)

    def save(self, path: Path, scale: float = 1.0) -> None:
        """The window as a small WebP, `scale` times as large."""
        size = self.run("return [innerWidth, innerHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": scale}
        shot = self._devtools("Page.captureScreenshot", format="webp", quality=45, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the console was told since the last call."""
        return [entry["message"] for entry in self._log("browser")]

    def requested(self) -> list[str]:
        """The addresses asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def _devtools(self, command: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, parameters)
