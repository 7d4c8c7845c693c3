"""Commands: which handler is meant, what it is given, and an answer for whatever happens.

A (caller, correlation) pair runs once; a repeat before its deadline gets the same reply.
Handlers run as tasks, so a slow one blocks nobody. The commands that every station has, whatever it
runs (the reserved role `station`), are here too.
"""

import asyncio
import logging
import os
import platform
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import psutil
from attrs import define, evolve

from fleet.agent.box import machine
from fleet.agent.box.figures import clock_offset
from fleet.agent.box.looking import Looker
from fleet.agent.config.validate import brief
from fleet.agent.engine.reconcile import Key
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.hidden import Hidden
from fleet.agent.processes.adoption import Place
from fleet.agent.processes.output import OutputLine
from fleet.agent.recordings.keeper import IndexKeeper
from fleet.guard import contained, describe
from fleet.host import Command, Failed, named_secrets
from fleet.loop import is_ours, theirs
from fleet.media.disk import DiskWork
from fleet.model import (
    MAX_CORRELATION,
    MAX_PAYLOAD,
    CommandFailed,
    CommandRequest,
    Config,
    DeadlineExceeded,
    InvalidArguments,
    NoSuchInstance,
    Problem,
    Refusal,
    Reply,
    SegmentList,
    UnknownCommand,
    plain,
)
from fleet.mqtt import Message
from fleet.shared import logged
from fleet.station import (
    COMMANDS,
    STATION,
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
from fleet.strict import Mistakes, close_match, structure, unstructure
from fleet.topics import Address
from fleet.version import __version__
from fleet.wire import Undecodable, decode, dumps, encode, to_json

log = logging.getLogger(__name__)

DEADLINE: Final = 30.0
"""Seconds a command has whose message does not expire."""
MOST_AT_ONCE: Final = 2000
"""Commands that wait for their answer: whoever may command must not fill the box's memory."""
_MOST_REMEMBERED: Final = 1000
_LOGS_BYTES: Final = MAX_PAYLOAD * 3 // 4
_TIME_BYTES: Final = 28
"""What a line's time and commas take in JSON."""


Find = Callable[[str, str | None, str], Command]
"""(role, instance, command name) -> command of a running instance; raises a Refusal."""
Send = Callable[[str, bytes, bytes], None]
"""Sends (caller, correlation, payload)."""
Note = Callable[[str, str, str, CommandRequest], None]
"""Is told (caller, role, command name, what is asked) before it is done."""


@define
class _Asked:
    deadline: float
    reply: bytes | None = None


class Commands:
    """Answers commands: those of what runs, and the station's `own`; no answer has in it what is
    `hidden`.
    """

    def __init__(
        self,
        find: Find,
        own: Mapping[str, Command],
        send: Send,
        note: Note,
        hidden: Hidden,
    ) -> None:
        self._hidden = hidden
        self._note = note
        self._find = find
        self._own = own
        self._send = send
        self._asked: dict[tuple[str, bytes], _Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def received(self, address: Address, message: Message) -> bool:
        """Begin to answer; False if the message is to be ignored."""
        correlation = message.correlation
        if message.retain or correlation is None or len(correlation) > MAX_CORRELATION:
            return False
        caller, role, name = address.rest
        now = asyncio.get_running_loop().time()
        self._forget(now)
        key = caller, correlation
        asked = self._asked.get(key)
        if asked is None:
            if len(self._tasks) >= MOST_AT_ONCE:
                return False
            seconds = DEADLINE if message.expiry is None else float(message.expiry)
            self._asked[key] = _Asked(now + seconds)
            answering = self._answer(key, role, name, message.payload, seconds)
            task = asyncio.create_task(answering, name=f"the command {role}/{name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif asked.reply is not None:
            self._send(*key, asked.reply)
        return True

    def cancel(self) -> None:
        """Give up on what still runs."""
        for task in self._tasks:
            task.cancel()

    def _forget(self, now: float) -> None:
        for key, asked in list(self._asked.items()):
            full = len(self._asked) >= _MOST_REMEMBERED and asked.reply is not None
            if asked.deadline < now or full:
                del self._asked[key]

    async def _answer(
        self, key: tuple[str, bytes], role: str, name: str, payload: bytes, seconds: float
    ) -> None:
        timeout = asyncio.timeout(seconds)
        try:
            async with timeout:
                result = await self._run(key[0], role, name, payload)
            reply = _encoded(result)
        except Refusal as refusal:
            reply = self._refused(refusal)
        except Exception as error:
            if timeout.expired():
                refused: Refusal = DeadlineExceeded(f"not done within {seconds:g} s")
            elif isinstance(error, Failed):
                refused = CommandFailed(str(error))
            else:
                log.exception("the command %s/%s failed", role, name)
                refused = CommandFailed(brief(self._hidden.without(describe(error))))
            reply = self._refused(refused)
        if key in self._asked:
            self._asked[key].reply = reply
        self._send(*key, reply)

    async def _run(self, caller: str, role: str, name: str, payload: bytes) -> Any:
        try:
            request = decode(payload, CommandRequest)
        except Undecodable as error:
            raise InvalidArguments(
                f"the command cannot be read: {error}",
                (Problem(InvalidArguments.__name__, role, None, None, brief(str(error))),),
            ) from None
        if role == STATION:
            command = self._stations_own(name)
        else:
            command = self._find(role, request.instance, name)
        asked = arguments(role, request, command)
        self._note(caller, role, name, request)
        theirs.set(not is_ours(command.handler))
        changed = logged(f"the command {role}/{name}") if theirs.get() else None
        result = await contained(command.handler(asked), changed)
        theirs.set(False)
        try:
            return self._hidden.nowhere_in(unstructure(result, command.result))
        except Mistakes as mistakes:
            log.error("the result of the command %s/%s: %s", role, name, mistakes)
            raise CommandFailed(
                brief(f"it was done, but its result is not what the role says: {mistakes}")
            ) from None

    def _refused(self, refusal: Refusal) -> bytes:
        error = refusal.error
        problems = tuple(
            evolve(one, message=self._hidden.without(one.message)) for one in error.problems
        )
        shown = evolve(error, message=self._hidden.without(error.message), problems=problems)
        return encode(Reply(None, shown))

    def _stations_own(self, name: str) -> Command:
        if name not in self._own:
            hint = close_match(name, list(self._own)) or f" (known: {', '.join(self._own)})"
            raise UnknownCommand(f"no station has a command {name!r}{hint}")
        return self._own[name]


def arguments(role: str, request: CommandRequest, command: Command) -> Any:
    """The arguments as the command's own class.

    Raises:
        InvalidArguments: with every problem and its path.
    """
    try:
        return structure(dict(request.arguments), command.arguments)
    except Mistakes as mistakes:
        kind = InvalidArguments.__name__
        problems = tuple(
            Problem(kind, role, request.instance, m.pointer or None, brief(m.message))
            for m in mistakes.mistakes
        )
        raise InvalidArguments(brief(str(mistakes)), problems) from None


def _encoded(result: Any) -> bytes:
    payload = dumps({"result": result, "error": None})
    if len(payload) > MAX_PAYLOAD:
        raise CommandFailed(f"the result is too long: {len(payload)} bytes, at most {MAX_PAYLOAD}")
    return payload


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
