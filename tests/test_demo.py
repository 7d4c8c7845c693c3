"""`make demo` does what the README promises of it."""

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.processes import ROOT, until

# Two demonstrations at once would want the same port for what they capture.
pytestmark = pytest.mark.xdist_group("demo")

BLOCKED = "BlockedRole record: the role 'record' is blocked on this station"


class Run:
    """One demonstration with its output piped, and places of its own."""

    def __init__(self, directory: Path) -> None:
        self.work = directory / "work"
        self.recordings = directory / "recordings"
        self.output = directory / "output"
        self.work.mkdir()

    async def start(self, *args: str, **env: str) -> asyncio.subprocess.Process:
        with self.output.open("wb") as output:
            return await asyncio.create_subprocess_exec(
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

    @property
    def said(self) -> str:
        return self.output.read_text()

    def shows(self, *instances: str) -> bool:
        """Whether all of these have been running."""
        return all(re.search(rf"{one} +running ", self.said) for one in instances)

    def processes(self) -> list[str]:
        """What still runs of it."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if str(self.recordings) in line or str(self.work) in line:
                    found.append(line)
        return found

    def ended_without_a_trace(self) -> None:
        assert self.processes() == []
        assert list(self.work.iterdir()) == []


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


async def test_it_ends_by_itself_and_both_recordings_are_whole(run: Run) -> None:
    demo = await run.start("--duration", "4")
    assert await asyncio.wait_for(demo.wait(), 90) == 0, run.said
    assert "\x1b" not in run.said
    assert BLOCKED in run.said
    assert run.said.count("decodes whole") == 2
    assert "FLEET_BROKER=mqtt://127.0.0.1:" in run.said
    run.ended_without_a_trace()


async def test_ctrl_c_ends_everything_and_leaves_whole_recordings(run: Run) -> None:
    demo = await run.start()
    running = [*(f"{role} +main" for role in ("ingest", "stream", "monitor")), "record +capture"]
    await until(lambda: BLOCKED in run.said and run.shows(*running), 60, "the table")
    demo.send_signal(signal.SIGINT)
    demo.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(demo.wait(), 60) == 0, run.said
    assert run.said.count("decodes whole") == 2
    assert re.search(r"hall1-cam: .* in [2-9] files, .* decodes whole", run.said)
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
