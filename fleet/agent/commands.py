"""Commands: which handler is meant, what it is given, and an answer for whatever happens.

A (caller, correlation) pair runs once; a repeat before its deadline gets the same reply.
Handlers run as tasks, so a slow one blocks nobody. The commands that every station has, whatever it
runs, are in `agent.station_commands`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, evolve

from fleet.agent.config.validate import brief
from fleet.agent.hidden import Hidden
from fleet.guard import contained, describe
from fleet.host import Command, Failed
from fleet.loop import is_ours, theirs
from fleet.model import (
    MAX_CORRELATION,
    MAX_PAYLOAD,
    CommandFailed,
    CommandRequest,
    DeadlineExceeded,
    InvalidArguments,
    Problem,
    Refusal,
    Reply,
    UnknownCommand,
)
from fleet.mqtt import Message
from fleet.shared import logged
from fleet.station import STATION
from fleet.strict import Mistakes, close_match, structure, unstructure
from fleet.topics import Address
from fleet.wire import Undecodable, decode, dumps, encode

log = logging.getLogger(__name__)

DEADLINE: Final = 30.0
"""Seconds a command has whose message does not expire."""
MOST_AT_ONCE: Final = 2000
"""Commands that wait for their answer: whoever may command must not fill the box's memory."""
_MOST_REMEMBERED: Final = 1000

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
