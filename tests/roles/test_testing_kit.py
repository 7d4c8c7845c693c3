"""The kit for tests of roles does what a station does, and its page runs as it stands."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from attrs import frozen

from fleet.roles import ChildRole, Failed, Role, RoleFactory, Secret, command
from fleet.roles.testing import running
from fleet.strict import Mistakes
from tests.processes import ROOT, until


@frozen
class Wish:
    argv: tuple[str, ...] = ()
    key: Secret | None = None
    start: str = ""


@frozen
class Said:
    text: str


class Program(ChildRole[Wish]):
    grace = 0.2

    def argv(self) -> list[str]:
        return list(self.settings.argv)


class ProgramFactory(RoleFactory[Wish]):
    role = Program
    settings = Wish


class Talker(Role[Wish]):
    stall_seconds = 3
    stopped = False

    async def start(self) -> None:
        if self.settings.key is not None:
            self.host.log(self.host.secret(self.settings.key))
        if self.settings.start:
            raise Failed("DiskFull", self.settings.start)

    async def stop(self) -> None:
        Talker.stopped = True

    @command
    async def say(self, asked: Said) -> Said:
        return Said(5) if asked.text == "five" else asked  # type: ignore[arg-type]


class TalkerFactory(RoleFactory[Wish]):
    role = Talker
    settings = Wish


async def test_children_are_real_and_gone_afterwards(tmp_path: Path) -> None:
    script = "sleep 60 & echo hello; wait"
    async with running(ProgramFactory(), {"argv": ["sh", "-c", script]}, tmp_path) as run:
        child = run.host.children["main"]
        await until(lambda: "hello" in child.last_words())
        process = psutil.Process(child.pid)
        await run.passes(2)
        family = [process, *process.children(recursive=True)]
    _, alive = await asyncio.to_thread(psutil.wait_procs, family[1:], 60)
    assert not alive
    assert not process.is_running()


async def test_the_end_of_a_child_is_the_end_of_the_running(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo no such device >&2; exit 3"]
    async with running(ProgramFactory(), {"argv": argv}, tmp_path) as run:
        await asyncio.wait_for(run.host.ended.wait(), 60)
        assert run.host.failed is not None
        assert run.host.failed.reason == "ChildExited"
        assert "no such device" in run.host.failed.message
    with pytest.raises(Failed, match="ProgramMissing"):
        async with running(ProgramFactory(), {"argv": ["/no/such/program"]}, tmp_path):
            pass


async def test_time_passes_at_once_and_silence_is_a_stall(tmp_path: Path) -> None:
    async with running(TalkerFactory(), {}, tmp_path) as run:
        for _ in range(3):
            await run.passes(3)
            run.host.progress()
        assert not run.host.ended.is_set()
        await run.passes(100)
        assert run.host.failed is not None
        assert (run.host.failed.reason, run.seconds) == ("Stalled", 9 + 3 + 1)


async def test_commands_settings_and_secrets_are_as_on_a_station(tmp_path: Path) -> None:
    settings: Any = {"key": {"secret": "stream-key"}}
    async with running(TalkerFactory(), settings, tmp_path, secrets={"stream-key": "abc"}) as run:
        assert run.host.lines == ["abc"]
        assert await run.call("say", text="on air") == {"text": "on air"}
        with pytest.raises(Mistakes, match="/text: expected a string"):
            await run.call("say", text=5)
        with pytest.raises(Mistakes, match="/text: expected a string"):
            await run.call("say", text="five")
        assert await run.update({}) is False
    with pytest.raises(Failed, match="SecretMissing"):
        async with running(TalkerFactory(), settings, tmp_path):
            pass


async def test_a_start_that_fails_reaches_the_test_and_stop_is_called(tmp_path: Path) -> None:
    Talker.stopped = False
    with pytest.raises(Failed, match="DiskFull: no space"):
        async with running(TalkerFactory(), {"start": "no space"}, tmp_path):
            pass
    assert Talker.stopped


async def test_what_a_task_raises_is_what_failed(tmp_path: Path) -> None:
    async def work(error: Exception) -> None:
        raise error

    for error, reason in ((Failed("NoSignal", "x"), "NoSignal"), (KeyError("x"), "RoleCrashed")):
        async with running(TalkerFactory(), {}, tmp_path) as run:
            run.host.task(work(error))
            await asyncio.wait_for(run.host.ended.wait(), 60)
            assert run.host.failed is not None
            assert run.host.failed.reason == reason


def test_its_page_runs_as_it_stands(tmp_path: Path) -> None:
    for page, name in (("roles", "clock.py"), ("testing-roles", "test_clock.py")):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        block = re.search(rf"^```python\n(# {name}\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert block is not None
        (tmp_path / name).write_text(block[1])
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null", "--rootdir=."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_clock.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "3 passed" in done.stdout, done.stdout
