"""The way to the manager and the stations: over the broker alone, so that `fleet` runs anywhere.

One command is one conversation: connect, see that who is asked is there, ask, leave.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from attrs import frozen

from fleet.model import MAX_REQUEST, Error, Presence, PresenceState, Reply
from fleet.mqtt import (
    Broker,
    Disconnected,
    Filter,
    Link,
    Message,
    NobodyListening,
    NotLetIn,
    Refused,
    Requests,
    Will,
    connect_once,
)
from fleet.strict import Mistakes
from fleet.topics import Topics
from fleet.wire import Undecodable, decode, encode, from_json

if TYPE_CHECKING:
    from fleet.operations.stations import StatusResult  # long to import: not for the Tab key

T = TypeVar("T")

_NO_ARGUMENTS: Final[dict[str, Any]] = {}

REACH: Final = 5.0
"""Seconds to wait for the broker, and then for a manager that is online."""
ANSWER: Final = 30.0
"""Seconds the manager has for an answer; after them it does nothing of what was asked."""
_GRACE: Final = 5.0
"""Seconds more for it to say so, or to tell what it did in the last moment."""


class Unreachable(Exception):
    """The manager cannot be asked; the text says what to look at."""


class NoSuchStation(Exception):
    """Nobody knows a station of that name; the text says what is known."""


class Denied(Exception):
    """The manager answered with an error."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class StationDenied(Exception):
    """A station answered with an error."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


@frozen
class Access:
    """Which broker, under which name we ask, and the topics there."""

    broker: Broker
    caller: str
    topics: Topics


class Line:
    """A live connection to the broker: listen there, ask, and be answered."""

    def __init__(self, access: Access, link: Link) -> None:
        self.access = access
        self.requests = Requests(link)
        self._link = link
        self._hearers: list[Callable[[Message], None]] = []

    def received(self, message: Message) -> None:
        """Hand every message here."""
        for hear in self._hearers:
            hear(message)
        self.requests.received(message)

    async def listen(self, *filters: Filter, hear: Callable[[Message], None] | None = None) -> None:
        """Subscribe to `filters`; from now on `hear` is given each message that comes in.

        Raises:
            Unreachable: the broker does not let us hear that.
        """
        if hear is not None:
            self._hearers.append(hear)
        try:
            await self._link.subscribe(*filters)
        except Refused as refused:
            raise Unreachable(f"{refused}; see operators.acl and FLEET_USERNAME") from None


class Manager:
    """A manager that is online."""

    def __init__(self, line: Line) -> None:
        self._access = line.access
        self._requests = line.requests

    async def ask(self, operation: str, arguments: Any, cls: type[T]) -> T:
        """What the manager answers to `operation`, as a `cls`.

        Raises:
            Denied: it refused.
            Unreachable: it went away, or nothing sensible came back.
        """
        payload = encode(arguments)
        if len(payload) > MAX_REQUEST:
            raise Denied(Error("InvalidArguments", f"{len(payload)} bytes are too much to send"))
        caller, topics = self._access.caller, self._access.topics
        try:
            answer = await self._requests.ask(
                topics.manager("request", caller, operation),
                payload,
                ANSWER,
                topics.manager("reply", caller),
                _GRACE,
            )
            reply = decode(answer, Reply, MAX_REQUEST)
            if reply.error is not None:
                raise Denied(reply.error)
            return from_json(reply.result, cls)
        except NobodyListening:
            raise Unreachable("the manager has just gone away; is fleet-manager running?") from None
        except TimeoutError:
            raise Unreachable(
                f"the manager gave no answer within {ANSWER:.0f} s, and will not do this any "
                "more; look at its log, and at fleet history"
            ) from None
        except Refused as refused:
            raise Unreachable(
                f"the broker does not let {caller!r} ask the manager ({refused.reason}); "
                f"see operators.acl and FLEET_USERNAME"
            ) from None
        except (Undecodable, Mistakes) as error:
            raise Unreachable(
                f"the manager's answer cannot be understood ({error}); "
                f"fleet and fleet-manager must be of the same release"
            ) from None

    async def status(self) -> "StatusResult":
        """What every station does now; raises as `ask`."""
        from fleet.operations.stations import StatusResult

        return await self.ask("status", _NO_ARGUMENTS, StatusResult)


class ManagerPresence:
    """Whether a manager is online, as far as was heard."""

    def __init__(self, topics: Topics) -> None:
        self._topic = topics.manager("presence")
        self.online = asyncio.Event()
        self._last: Presence | None = None

    def hear(self, message: Message) -> None:
        """Hand messages here."""
        if message.topic != self._topic:
            return
        try:
            presence = decode(message.payload, Presence)
        except Undecodable:
            return
        if presence.state is PresenceState.ONLINE:
            self._last = presence
            self.online.set()
        elif (
            # Of an earlier connection, as of another manager, it tells nothing of this one.
            self._last is not None
            and presence.boot == self._last.boot
            and presence.epoch >= self._last.epoch
        ):
            self.online.clear()


class _Conversation(Generic[T]):
    def __init__(self, access: Access, work: Callable[[Line], Awaitable[T]]) -> None:
        self._access = access
        self._work = work
        self._line: Line | None = None
        self.reached = asyncio.Event()
        self.outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        if self._line is not None:
            self._line.received(message)

    async def connected(self, link: Link) -> None:
        self.reached.set()
        self._line = Line(self._access, link)
        try:
            self.outcome.set_result(await self._work(self._line))
        except Disconnected:
            raise
        except Exception as error:
            # Kept, not raised: leaving with an error would not say goodbye to the broker.
            self.outcome.set_exception(error)

    def disconnected(self, why: str) -> None:
        """Told by `connect_once`'s error already."""


async def converse(access: Access, work: Callable[[Manager], Awaitable[T]]) -> T:
    """The result of `work` with the manager.

    Raises:
        Unreachable: there is no broker or no manager, or it went away.
        Denied: the manager refused what `work` asked.
    """

    async def ask(line: Line) -> T:
        return await work(await manager_on(line, REACH))

    return await connect(access, ask)


async def manager_on(line: Line, patience: float) -> Manager:
    """The manager, once one is online.

    Raises:
        Unreachable: none is, for `patience` seconds.
    """
    access = line.access
    presence = ManagerPresence(access.topics)
    await line.listen(*manager_filters(access), hear=presence.hear)
    try:
        async with asyncio.timeout(patience):
            await presence.online.wait()
    except TimeoutError:
        raise Unreachable(
            f"no manager is online at {access.broker} (waited {patience:.0f} s); "
            f"start fleet-manager, or name another broker with --broker or FLEET_BROKER"
        ) from None
    return Manager(line)


def manager_filters(access: Access) -> tuple[Filter, Filter]:
    """What to listen to before a manager is asked."""
    topics = access.topics
    return Filter(topics.manager("presence")), Filter(topics.manager("reply", access.caller))


async def connect(
    access: Access, work: Callable[[Line], Awaitable[T]], patience: float = REACH
) -> T:
    """The result of `work` on a connection, which is then left.

    Raises:
        Unreachable: there is no broker, or the connection was lost.
    """
    conversation = _Conversation(access, work)
    try:
        async with asyncio.timeout(patience) as limit:
            connection = asyncio.ensure_future(
                connect_once(access.broker, f"fleet-{secrets.token_hex(8)}", conversation)
            )
            reached = asyncio.ensure_future(conversation.reached.wait())
            try:
                await asyncio.wait((connection, reached), return_when=asyncio.FIRST_COMPLETED)
                limit.reschedule(None)
                await connection
            finally:
                reached.cancel()
                connection.cancel()
                await asyncio.gather(connection, reached, return_exceptions=True)
    except TimeoutError:
        raise Unreachable(_no_broker(access.broker, f"no answer within {patience:.0f} s")) from None
    except NotLetIn as error:
        raise Unreachable(str(error)) from None
    except Disconnected as error:
        if conversation.reached.is_set():
            raise Unreachable(f"the connection to the broker was lost: {error}") from None
        raise Unreachable(_no_broker(access.broker, str(error))) from None
    return conversation.outcome.result()


def _no_broker(broker: Broker, why: str) -> str:
    return (
        f"no broker could be reached at {broker}: {why.removeprefix(f'{broker}: ')} "
        "(--broker or FLEET_BROKER names another)"
    )
