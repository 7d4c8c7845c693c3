"""`make demo` does what the README promises of it."""

import asyncio
import fcntl
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.operations.stations import StatusResult
from scripts.demo import Demo
from scripts.demo import run as demonstrated
from tests.board.prometheus import rules
from tests.processes import ROOT, until

pytestmark = pytest.mark.timeout(400)  # with the wait for those of other workers

BLOCKED = "BlockedRole record: the role 'record' is blocked on this station"


class Run:
    """One demonstration with its output piped, and places of its own."""

    def __init__(self, directory: Path) -> None:
        self.work = directory / "work"
        self.recordings = directory / "recordings"
        self.output = directory / "output"
        self.work.mkdir()
        self.demo: asyncio.subprocess.Process | None = None

    async def start(self, *args: str, **env: str) -> asyncio.subprocess.Process:
        with self.output.open("wb") as output:
            self.demo = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "scripts.demo",
                    "--recordings",
                    str(self.recordings),
                    *args,
                ),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"TMPDIR": str(self.work)} | env,
            )
        return self.demo

    async def comes_to(self, condition: Callable[[], Any], what: str) -> Any:
        """The first true value of `condition`, while the demonstration runs."""
        demo = self.demo
        assert demo is not None
        value = await until(lambda: demo.returncode is not None or condition(), 120, what)
        assert demo.returncode is None, self.said
        return value

    async def end(self) -> None:
        """End it where the test has not: the next one wants its port."""
        if self.demo is not None and self.demo.returncode is None:
            self.demo.terminate()
            await self.demo.wait()

    @property
    def said(self) -> str:
        return self.output.read_text()

    def shows(self, *instances: str) -> bool:
        """Whether all of these have been running."""
        return all(re.search(rf"{one} +running ", self.said) for one in instances)

    def processes(self) -> list[psutil.Process]:
        """What still runs of it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if str(self.recordings) in line or str(self.work) in line:
                    found.append(process)
        return found

    def address(self, name: str) -> str | None:
        """The one printed behind `name`."""
        found = re.search(rf"^{name} +(http://127\.0\.0\.1:\d+/)", self.said, re.MULTILINE)
        return found[1] if found else None

    def ended_without_a_trace(self) -> None:
        assert self.processes() == []
        assert list(self.work.iterdir()) == []


@pytest.fixture
async def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """Alone: two at once would want the same port for what they capture."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "demo.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        one = Run(tmp_path)
        yield one
        await one.end()


async def test_it_shows_for_as_long_as_it_was_asked(tmp_path: Path) -> None:
    class Room:
        looks = 0

        async def status(self) -> StatusResult:
            self.looks += 1
            return StatusResult(in_sync=True, stations=(), at=datetime.now(UTC))

    room: Any = Room()
    began = time.monotonic()
    await Demo(tmp_path, tmp_path)._show(room, 0.1)
    assert time.monotonic() - began >= 0.1
    assert room.looks


@pytest.mark.whole
async def test_it_ends_by_itself_and_all_recordings_are_whole(run: Run) -> None:
    demo = await run.start("--duration", "8")
    assert await asyncio.wait_for(demo.wait(), 180) == 0, run.said
    assert "\x1b" not in run.said
    assert BLOCKED in run.said
    assert run.said.count("decodes whole") == 3
    assert "FLEET_BROKER=mqtt://127.0.0.1:" in run.said
    run.ended_without_a_trace()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 (ours)
        text: str = reply.read().decode()
        return text


@pytest.mark.long
async def test_page_and_prometheus_are_there_until_ctrl_c_and_no_other_demo_beside_it(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    demo = await run.start()
    prometheus = await run.comes_to(lambda: run.address("Prometheus"), "Prometheus' address")
    assert not await demonstrated(None, tmp_path / "later"), "there is one"
    assert "another demo?" in capfd.readouterr().err
    page = run.address("page")
    assert page is not None
    said = re.search(r"sign in +as demo, password (\S+)", run.said)
    assert said
    form = urllib.parse.urlencode({"name": "demo", "password": said[1], "next": ""}).encode()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(f"{page}signin", form, timeout=60) as reply:
        assert "<title>fleet</title>" in reply.read().decode()
    assert "<title>Prometheus" in get(prometheus)

    def ask(what: str) -> Any:
        return json.loads(get(f"{prometheus}api/v1/{what}"))["data"]

    def loaded() -> list[dict[str, Any]]:
        return [rule for group in ask("rules")["groups"] for rule in group["rules"]]

    def scraped() -> list[dict[str, Any]]:
        return [one for one in ask("targets")["activeTargets"] if one["health"] != "unknown"]

    targets = await run.comes_to(scraped, "a scrape")
    assert [(one["scrapeUrl"], one["health"]) for one in targets] == [(f"{page}metrics", "up")]
    wanted = [rule.get("alert") or rule["record"] for rule in rules()]
    assert sorted(rule["name"] for rule in loaded()) == sorted(wanted)
    await run.comes_to(lambda: {one["health"] for one in loaded()} == {"ok"}, "every rule's turn")
    stations = "query?query=fleet_station_up==1"
    await run.comes_to(lambda: len(ask(stations)["result"]) == 4, "four stations in Prometheus")

    listening: list[str] = []
    for process in run.processes():
        with suppress(psutil.Error):  # one that has just ended
            found = process.net_connections("tcp")
            listening += [it.laddr.ip for it in found if it.status == psutil.CONN_LISTEN]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}

    roles = ("ingest", "mix", "record", "stream", "monitor", "sync")
    running = [f"{role} +main" for role in roles]
    await run.comes_to(lambda: BLOCKED in run.said and run.shows(*running), "the table")
    demo.send_signal(signal.SIGINT)
    demo.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(demo.wait(), 180) == 0, run.said
    assert run.said.count("decodes whole") == 3
    assert re.search(r"hall1-mix: .* decodes whole", run.said)
    assert "FLEET_BROKER=mqtt://127.0.0.1:" in run.said
    assert "\x1b" not in run.said
    run.ended_without_a_trace()


async def test_a_port_that_is_taken_is_named_before_anything_starts(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(run.work))
    with socket.create_server(("127.0.0.1", 19710)):
        assert not await demonstrated(None, run.recordings)
    said = capfd.readouterr().err
    assert "ingest/main cannot listen on 127.0.0.1:19710: Address already in use" in said
    assert "examples/demo.toml" in said
    run.ended_without_a_trace()


async def test_a_part_that_does_not_start_is_named(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "mosquitto").write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    (broken / "mosquitto").chmod(0o755)
    demo = await run.start(PATH=f"{broken}:{os.environ['PATH']}")
    assert await asyncio.wait_for(demo.wait(), 60) == 1
    assert "broker ended with status 3" in run.said
    assert "no such option" in run.said
    run.ended_without_a_trace()
