"""The page on TLS is followed, step by step, to a station that is let in."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.processes import ROOT, Mosquitto, Programs

PAGE = (ROOT / "docs/tls.md").read_text()


def block(title: str, number: int = 0) -> str:
    """A block of the chapter whose title begins with `title`."""
    chapter = PAGE.split(f"## {title}", 1)[1].split("\n## ", 1)[0]
    return str(re.findall(r"```\w*\n(.*?)```", chapter, re.DOTALL)[number])


async def test_the_steps_lead_to_a_station_that_is_let_in(
    brokers: Callable[[str], Mosquitto], programs: Programs, tmp_path: Path
) -> None:
    etc = tmp_path / "etc"

    def here(text: str) -> str:
        return text.replace("/etc/fleet", str(etc))

    make = ["sh", "-ec", here(block("1."))]
    await asyncio.to_thread(subprocess.run, make, check=True, capture_output=True)
    assert (etc / "tls/ca.key").stat().st_mode & 0o077 == 0
    listener = here(block("2.")).replace("8883", "{port} 127.0.0.1")
    broker = brokers(f"{listener}allow_anonymous true\nuser root\n")

    def settings(text: str) -> dict[str, str]:
        port = re.sub(r"mqtts://[\d.]+:\d+", f"mqtts://127.0.0.1:{broker.port}", here(text))
        return dict(re.findall(r"(?:^|\s)([A-Z_]+)=(\S+)", port))

    manager = programs.start(
        *("fleet-manager", "run", "--state-dir", str(tmp_path / "manager")),
        *("--http", "127.0.0.1:0"),
        **settings(block("3.")),
    )
    await manager.says("connected")
    shutil.copy(etc / "tls/ca.pem", etc / "ca.pem")
    file = etc / "agent.toml"
    file.write_text(block("4.").replace("10.0.0.2:8883", f"127.0.0.1:{broker.port}"))
    check = programs.start(
        *("fleet-agent", "check", "--settings", str(file)),
        *("--station", "b1", "--state-dir", str(tmp_path / "station")),
        name="check",
        **settings(block("4.", 1)),
    )
    assert await check.ended() == 0, check.log()
    people = programs.start("fleet", "status", name="status", **settings(block("5.")))
    assert await people.ended() in (0, 3), people.log()
