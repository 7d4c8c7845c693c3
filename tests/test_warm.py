"""A program that is started warm is told from one that is started cold by nothing that it does."""

import signal
from pathlib import Path

import psutil
import pytest

from tests.processes import Mosquitto, Program, Programs


@pytest.mark.parametrize(
    ("program", "args"),
    [
        ("fleet", ["--version"]),
        ("fleet", ["plan", "--help"]),
        ("fleet", ["stauts"]),
        ("fleet", ["--broker", "mqtt://127.0.0.1:1", "status", "--json"]),
        ("fleet-manager", ["run", "--state-dir", "x", "--http", "nonsense"]),
        ("fleet-agent", ["roles"]),
        ("fleet-agent", ["status", "--state-dir", "x"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
async def test_it_says_the_same_and_ends_the_same(
    programs: Programs, tmp_path: Path, program: str, args: list[str]
) -> None:
    warm = programs.start(program, *args, name="warm")
    cold = Program(warm.argv, tmp_path / "cold.log", programs.environment(), "cold", cold=True)
    assert await warm.ended() == await cold.ended()
    assert warm.log() == cold.log() != ""


async def test_signals_end_it_and_are_its_status(broker: Mosquitto, programs: Programs) -> None:
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        manager = programs.manager(broker)
        await manager.says("connected")
        manager.signal(number)
        assert await manager.ended() == status
        assert not psutil.pid_exists(manager.pid), "nobody has to wait for it"
