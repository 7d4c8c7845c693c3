"""What every station can be asked, whatever it runs: the commands of the reserved role `station`.

They are asked over MQTT, and what stands at the box asks some of them over its socket.
"""

import asyncio
import logging
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import psutil

from fleet.agent.box import machine
from fleet.agent.box.figures import clock_offset
from fleet.agent.box.looking import Looker
from fleet.agent.config.validate import brief
from fleet.agent.engine.reconcile import Key
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.processes.adoption import Place
from fleet.agent.processes.output import OutputLine
from fleet.agent.recordings.keeper import IndexKeeper
from fleet.host import Command, Failed, named_secrets
from fleet.media.disk import DiskWork
from fleet.model import (
    MAX_PAYLOAD,
    CommandFailed,
    Config,
    InvalidArguments,
    NoSuchInstance,
    SegmentList,
    plain,
)
from fleet.station import (
    COMMANDS,
    CredentialArguments,
    CredentialResult,
    Disk,
    InfoArguments,
    InfoResult,
    InstanceLines,
    LogsArguments,
    LogsResult,
    LookArguments,
    LookResult,
    RestartArguments,
    RestartResult,
    SecretArguments,
    SecretResult,
    SegmentsArguments,
)
from fleet.version import __version__
from fleet.wire import dumps, to_json

log = logging.getLogger(__name__)

_LOGS_BYTES: Final = MAX_PAYLOAD * 3 // 4
_TIME_BYTES: Final = 28
"""What a line's time and commas take in JSON."""


class StationCommands:
    """Handlers over the supervisor; also what the local socket offers."""

    def __init__(
        self,
        place: Place,
        supervisor: Supervisor,
        in_force: Callable[[], Config | None],
        index: IndexKeeper,
        keep: Callable[[str], datetime],
        unseal: Callable[[str], bytes],
        news: Callable[[], Awaitable[None]],
    ) -> None:
        """`keep` keeps another credential of this station's, sealed to it; until when it lasts.
        `news` tells what is new on this box.
        """
        self._keep = keep
        self._unseal = unseal
        self._taking = asyncio.Lock()
        """Held while what is for this box alone is written."""
        self._news = news
        self._place = place
        self._in_force = in_force
        self._index = index
        self._looker = Looker(place.recordings)
        self._disk = DiskWork(place.recordings)
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
        most = _LOGS_BYTES // max(1, len(found))
        last = self._supervisor.last_lines
        return LogsResult(tuple(_newest(key, last(key, asked.lines), most) for key in found))

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
            tuple(await self._disk.do(self._disks)),
            os.getloadavg(),
        )

    async def look(self, asked: LookArguments) -> LookResult:
        """Look at what was recorded and is offered: decode, listen, see it grow."""
        return await self._looker.look(self._in_force(), self._place.station, asked.seconds)

    async def segments(self, asked: SegmentsArguments) -> SegmentList:
        """What was recorded, as the index beside it says."""
        try:
            return await self._index.after(asked.after)
        except (OSError, ValueError) as error:
            raise CommandFailed(
                brief(f"the index of recordings cannot be read: {plain(error)}")
            ) from None

    async def credential(self, asked: CredentialArguments) -> CredentialResult:
        """Keep another credential, and come in with it from the next connection on."""
        try:
            async with self._taking:
                return CredentialResult(await asyncio.to_thread(self._keep, asked.sealed))
        except ValueError as error:
            raise InvalidArguments(brief(f"it is no credential for this box: {error}")) from None
        except OSError as error:
            raise CommandFailed(brief(f"it cannot be kept: {plain(error)}")) from None

    async def secret(self, asked: SecretArguments) -> SecretResult:
        """Keep a secret, or forget it, and begin anew what names it."""
        files = self._place.secrets
        try:
            async with self._taking:
                sealed = self._unseal(asked.sealed)
                sent = await asyncio.to_thread(files.take, sealed, datetime.now(UTC))
        except (ValueError, Failed) as error:
            raise InvalidArguments(brief(f"this secret is not taken: {error}")) from None
        except OSError as error:
            raise CommandFailed(brief(f"it cannot be kept: {plain(error)}")) from None
        log.info("the secret %s was %s from afar", sent.name, "set" if sent.value else "removed")
        config = self._in_force()
        named = to_json(config.roles) if config else {}
        keys = [
            key
            for key in self._keys()
            if sent.name in named_secrets(named.get(key.role, {}).get(key.instance))
        ]
        for key in keys:
            await self._supervisor.restart(key)
        await self._news()
        return SecretResult(sent.name, tuple(map(str, keys)))

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


def _newest(key: Key, lines: list[OutputLine], most: int) -> InstanceLines:
    """As many of the last lines as fit into `most` bytes of JSON."""
    kept: list[OutputLine] = []
    for line in reversed(lines):
        most -= len(dumps(line.text)) + _TIME_BYTES
        if most < 0:
            break
        kept.append(line)
    kept.reverse()
    return InstanceLines(*key, tuple(line.text for line in kept), tuple(line.at for line in kept))
