"""Hosts, settings and disks for roles under test."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.roles import Role
from fleet.roles.record import RecordSettings
from fleet.strict import structure
from tests.processes import PATIENCE
from tests.roles.disk import Disk
from tests.roles.host import RealHost

_LAST_SECONDS = 5.0
"""How long something may come yet of a role that has failed."""

collect_ignore = ["camera.py"]  # the system's Python runs it, and has what it imports


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., RealHost]]:
    """`make_host(instance)`: each call with the same names goes on where the last one left."""
    hosts: list[RealHost] = []

    def make(
        instance: str = "main",
        station: str = "cam1",
        room: str | None = "hall1",
        role: str = "record",
    ) -> RealHost:
        hosts.append(RealHost(tmp_path, instance, station, room, role))
        return hosts[-1]

    yield make
    for child in (child for host in hosts for child in host.children):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child.pid, 0)


@pytest.fixture
def record_settings() -> Callable[..., RecordSettings]:
    """`record_settings(segment_seconds=2)`: a small test picture unless told otherwise."""

    def settings(**values: Any) -> RecordSettings:
        small = {"type": "test", "size": "160x90", "rate": 25}
        cheap = {"source": small, "video_bitrate": 200_000, "minimum_free_gib": 0}
        return structure({**cheap, **values}, RecordSettings)

    return settings


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """`await until(lambda: …, role)`: ticks the roles meanwhile, as an agent would, but faster.

    A look that takes long is taken less often: the machine is there for what is waited for. Once a
    role has failed it is not waited for much longer, for there is no agent to begin it again.
    """

    async def wait(true: Callable[[], Any], *roles: Role[Any]) -> None:
        began = time.monotonic()
        deadline = began + PATIENCE
        hosts = [role.host for role in roles if isinstance(role.host, RealHost)]
        failed = [host.failed for host in hosts]
        while not true():
            now = time.monotonic()
            states = "".join(f"\n{host}" for host in hosts) if now >= deadline else ""
            assert now < deadline, f"what was waited for did not happen{states}"
            if failed != [host.failed for host in hosts]:
                deadline = min(deadline, now + _LAST_SECONDS)
            for role in roles:
                role.tick()
            await asyncio.sleep(max(0.1, 5 * (now - began)))
            began = time.monotonic()

    return wait


@pytest.fixture
def small_disk() -> Iterator[Disk]:
    """A file system of 8 MiB."""
    disk = Disk("8m")
    yield disk
    disk.close()
