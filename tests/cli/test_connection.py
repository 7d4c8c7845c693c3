"""When there is nobody to ask, `fleet` says so, soon, and what to look at."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import FLEET, Fleet
from tests.processes import Mosquitto, Program, free_port
from tests.stranger import Stranger


async def test_without_a_manager_every_command_ends_with_4_after_5_s(
    fleet: Fleet, tmp_path: Path
) -> None:
    file = tmp_path / "conference.toml"
    file.touch()
    began = time.monotonic()
    for found in await asyncio.gather(
        fleet("status"), fleet("wait"), fleet("plan", file), fleet("apply", "--yes", file)
    ):
        assert found.code == 4
        assert "no manager is online" in found.err
        assert "start fleet-manager" in found.err
        assert found.out == ""
    assert time.monotonic() - began > 4.5


async def test_without_a_broker_it_ends_with_4_and_names_the_broker(fleet: Fleet) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    found = await fleet("--broker", url, "status")
    assert found.code == 4
    assert url in found.err
    assert "FLEET_BROKER" in found.err


async def test_a_manager_that_comes_within_the_wait_is_asked(
    fleet: Fleet, stranger: Stranger
) -> None:
    """Nobody answers this manager's requests, but the command got as far as asking."""
    presence = {
        "state": "online",
        "boot": "b",
        "epoch": 1,
        "at": "2026-02-01T09:00:00Z",
        "interval": 10,
    }
    await stranger.publish("fleet/v1/manager/presence", presence | {"state": "lost"}, retain=True)
    await stranger.publish("fleet/v1/manager/presence", presence, retain=True)
    await stranger.listen("fleet/v1/manager/request/#")

    async def answer() -> None:
        request = await stranger.expect_message("fleet/v1/manager/request/anonymous/status")
        await stranger.publish(
            "fleet/v1/manager/reply/anonymous", {"surprise": 1}, correlation=request.correlation
        )

    found, _ = await asyncio.gather(fleet("status"), answer())
    assert found.code == 4
    assert "same release" in found.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--broker", "http://x"), "mqtt://HOST:PORT"),
        (("--broker", "mqtt://ann:secret@x"), "FLEET_USERNAME"),
        (("--username", "ann/b"), "FLEET_USERNAME"),
        (("--password-file", "/nowhere"), "/nowhere"),
    ],
)
async def test_options_that_make_no_sense_are_explained(
    fleet: Fleet, options: tuple[str, ...], said: str
) -> None:
    found = await fleet(*options, "status")
    assert found.code == 2
    assert said in found.err


async def test_a_broker_that_goes_away_meanwhile_is_no_traceback(
    fleet: Fleet,
    manager: Program,
    stranger: Stranger,
    broker: Mosquitto,
    file: Callable[..., Path],
) -> None:
    await fleet("apply", "--yes", file(("hall1-cam", "cam1")))
    await stranger.listen("fleet/v1/manager/request/#")
    waiting = asyncio.create_task(fleet("wait", "--timeout", "60"))
    await stranger.expect_message(
        "fleet/v1/manager/request/anonymous/status", after=stranger.mark()
    )
    broker.stop()
    found = await waiting
    assert found.code == 4
    assert "the connection to the broker was lost" in found.err


async def test_who_reads_only_the_beginning_breaks_nothing(fleet: Fleet, manager: Program) -> None:
    process = await asyncio.create_subprocess_shell(
        f"{FLEET} status --json | true",
        stderr=asyncio.subprocess.PIPE,
        env=fleet.environment({}),
    )
    _, err = await process.communicate()
    assert err == b""


async def test_the_version_and_the_help_need_nobody(fleet: Fleet) -> None:
    assert (await fleet("--version")).out == "fleet 0.1.0\n"
    for command in ("status", "plan", "apply", "wait"):
        found = await fleet(command, "--help")
        assert found.code == 0
        assert found.lines[2].strip() == "Examples:"


async def test_usage_errors_end_with_2(fleet: Fleet) -> None:
    for args in (("nope",), ("plan",), ("wait", "--timeout", "soon"), ("status", "--nope")):
        assert (await fleet(*args)).code == 2
