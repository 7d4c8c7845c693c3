"""The commands that exist on every station, whatever it runs: the reserved role `station`."""

import asyncio
import os
import platform
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import psutil

from fleet.agent.box import machine
from fleet.agent.box.figures import clock_offset
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.engine.wanted import Key, Place
from fleet.model import MAX_PAYLOAD, NoSuchInstance
from fleet.role import Command
from fleet.station import (
    COMMANDS,
    Disk,
    InfoArguments,
    InfoResult,
    InstanceLines,
    LogsArguments,
    LogsResult,
    RestartArguments,
    RestartResult,
)
from fleet.version import __version__
from fleet.wire import dumps

_LOGS_BYTES: Final = MAX_PAYLOAD * 3 // 4


def _newest(lines: list[str], room: int) -> tuple[str, ...]:
    """As many of the last lines as `room` bytes of JSON can hold."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(dumps(line)) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


class StationCommands:
    """Handlers over the supervisor; also what the local socket offers."""

    def __init__(self, place: Place, supervisor: Supervisor) -> None:
        self._place = place
        self._supervisor = supervisor

    def all(self) -> Mapping[str, Command]:
        """By name."""
        return {name: Command(name, *of, getattr(self, name)) for name, of in COMMANDS.items()}

    async def logs(self, asked: LogsArguments) -> LogsResult:
        """The last lines of the instances asked for."""
        found = [
            key
            for key in self._keys()
            if asked.role in (None, key.role) and asked.instance in (None, key.instance)
        ]
        if not found and asked.role is not None:
            raise self._no_such(f"{asked.role}/{asked.instance or '*'}")
        room = _LOGS_BYTES // max(1, len(found))
        last = self._supervisor.last_lines
        return LogsResult(
            tuple(InstanceLines(*key, _newest(last(key, asked.lines), room)) for key in found)
        )

    async def restart(self, asked: RestartArguments) -> RestartResult:
        """Stop the instance and start it again."""
        key = Key(asked.role, asked.instance)
        if key not in self._keys():
            raise self._no_such(str(key))
        await self._supervisor.restart(key)
        return RestartResult(str(key))

    async def info(self, _: InfoArguments) -> InfoResult:
        """What the box is and how it is."""
        return InfoResult(
            machine.hostname(),
            machine.addresses(),
            round(time.time() - psutil.boot_time(), 1),
            __version__,
            platform.python_version(),
            platform.platform(),
            datetime.now(UTC),
            await asyncio.to_thread(clock_offset),
            tuple(self._disks()),
            os.getloadavg(),
        )

    def _disks(self) -> list[Disk]:
        found = []
        for directory in (self._place.recordings, self._place.state_dir):
            if directory.exists():
                usage = shutil.disk_usage(directory)
                found.append(Disk(str(directory), usage.total, usage.free))
        return found

    def _keys(self) -> list[Key]:
        statuses = self._supervisor.statuses()
        return sorted(Key(role, name) for role, named in statuses.items() for name in named)

    def _no_such(self, what: str) -> NoSuchInstance:
        known = ", ".join(map(str, self._keys())) or "none"
        return NoSuchInstance(f"{what} does not run here (there are: {known})")
