"""Any program is run as it stands, ended as it wants, and begun again when it is stuck."""

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from fleet.roles.exec import ExecFactory, ExecSettings
from fleet.roles.testing import RunningRole, running
from fleet.strict import Mistakes, structure
from tests.processes import Mosquitto, Programs, until
from tests.stranger import Stranger
from tests.wire.sides import Boss, config

_TALKS = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: (print("asked to end", flush=True), sys.exit(0)))
print(sys.argv[1:], file=sys.stderr, flush=True)
signal.pause()
"""


def reason(run: RunningRole[Any]) -> str | None:
    return run.host.failed.reason if run.host.failed else None


async def test_a_program_gets_its_arguments_as_they_stand_and_its_own_stop_signal(
    tmp_path: Path,
) -> None:
    odd = ["", "two words", "$HOME; true", "--x", "ü"]
    settings = {"argv": [sys.executable, "-c", _TALKS, *odd], "stop_signal": "SIGUSR1"}
    async with running(ExecFactory(), settings, tmp_path) as run:
        child = run.host.children["main"]
        await until(lambda: child.printed > 0)
        assert child.last_words() == str(odd)
    assert "asked to end" in child.last_words()


async def test_a_program_that_prints_nothing_for_so_long_is_stalled(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(99)"]
    async with running(ExecFactory(), {"argv": argv, "stall_seconds": 5}, tmp_path) as run:
        await until(lambda: run.host.children["main"].printed > 0)
        await run.passes(1)
        assert run.host.progressed == 1
        await run.passes(5)
        assert reason(run) is None
        assert await run.update({"argv": argv, "stall_seconds": 7}) is True
        await run.passes(2)
        assert reason(run) is None
        await run.passes(1)
        assert reason(run) == "Stalled"
        assert run.host.failed is not None
        assert "printed nothing" in run.host.failed.message


async def test_one_that_may_be_quiet_never_stalls_and_its_end_is_a_failure(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    async with running(ExecFactory(), {"argv": argv}, tmp_path) as run:
        await run.passes(9999)
        assert reason(run) is None
        assert await run.update({"argv": [*argv, "x"]}) is False
        psutil.Process(run.host.children["main"].pid).kill()
        await run.host.ended.wait()
        assert reason(run) == "ChildExited"


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "/argv"),
        ({"argv": []}, "/argv"),
        ({"argv": [""]}, "/argv"),
        ({"argv": "ls -l"}, "/argv"),
        ({"argv": ["a\0b"]}, "/argv"),
        ({"argv": ["ls", 5]}, "/argv/1"),
        ({"argv": ["ls"], "stop_signal": "SIGKILL"}, "/stop_signal"),
        ({"argv": ["ls"], "stall_seconds": 0}, "/stall_seconds"),
    ],
    ids=str,
)
def test_what_is_no_program_is_a_mistake_of_the_file(settings: Any, path: str) -> None:
    with pytest.raises(Mistakes) as wrong:
        structure(settings, ExecSettings)
    (mistake,) = wrong.value.mistakes
    assert mistake.pointer == path


async def test_it_is_a_blocked_role_unless_the_station_allows_it(
    broker: Mosquitto, programs: Programs, stranger: Stranger, tmp_path: Path
) -> None:
    boss = Boss(stranger, "box1")
    agent = programs.agent(broker, "box1")
    await boss.online()
    file = tmp_path / "ran"
    script = f"open({str(file)!r}, 'w').close(); import signal; signal.pause()"
    roles = {"exec": {"main": {"argv": [sys.executable, "-c", script]}}}
    ack = await boss.ask(config(1, roles))
    assert ack["result"] == "rejected"
    (problem,) = ack["error"]["problems"]
    assert (problem["type"], problem["role"]) == ("BlockedRole", "exec")
    assert "allow_exec = true" in problem["message"]
    said = stranger.on(boss.topic("registration"))[-1].json
    assert said["blocked_roles"] == ["exec"]
    boss.since = stranger.mark()
    agent.terminate()
    await agent.ended()
    assert not file.exists()

    programs.agent(broker, "box1", "allow_exec = true\n")
    await boss.online()
    await boss.runs(1, roles)
    await until(file.exists)
