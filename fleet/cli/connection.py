"""The way to the manager: over the broker and nothing else, so that `fleet` runs anywhere.

One command is one conversation: connect, see a manager that is online, ask, leave.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from fleet.model import MAX_REQUEST, Error, Presence, PresenceState, Reply
from fleet.mqtt import (
    Broker,
    Disconnected,
    Filter,
    Link,
    Message,
    NobodyListening,
    Refused,
    Requests,
    Will,
    connect_once,
)
from fleet.strict import Mistakes
from fleet.topics import Topics
from fleet.wire import Undecodable, decode, encode, from_json

T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds to wait for the broker, and then for a manager that is online."""
ANSWER: Final = 30.0
"""Seconds the manager has for an answer."""


class Unreachable(Exception):
    """The manager cannot be asked; the text says what to look at."""


class Denied(Exception):
    """The manager answered with an error."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


@frozen
class Access:
    """Which broker, under which name we ask, and the topics there."""

    broker: Broker
    caller: str
    topics: Topics


class Manager:
    """A manager that is online."""

    def __init__(self, access: Access, requests: Requests) -> None:
        self._access = access
        self._requests = requests

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
            )
            reply = decode(answer, Reply, MAX_REQUEST)
            if reply.error is not None:
                raise Denied(reply.error)
            return from_json(reply.result, cls)
        except NobodyListening:
            raise Unreachable("the manager has just gone; is fleet-manager running?") from None
        except TimeoutError:
            raise Unreachable(
                f"the manager gave no answer within {ANSWER:.0f} s; look at fleet-manager's log"
            ) from None
        except Refused as refused:
            raise Unreachable(
                f"the broker lets {caller!r} not ask the manager ({refused.reason}); "
                f"see operators.acl and FLEET_USERNAME"
            ) from None
        except (Undecodable, Mistakes) as error:
            raise Unreachable(
                f"the manager's answer makes no sense here ({error}); "
                f"fleet and fleet-manager must be of the same release"
            ) from None


class _Conversation(Generic[T]):
    def __init__(
        self, access: Access, work: Callable[[Manager], Awaitable[T]], patience: float
    ) -> None:
        self._access = access
        self._work = work
        self._patience = patience
        self._topics = access.topics
        self._online = asyncio.Event()
        self._requests: Requests | None = None
        self.reached = asyncio.Event()
        self.outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        if message.topic == self._topics.manager("presence"):
            self._presence(message.payload)
        elif self._requests is not None:
            self._requests.received(message)

    def _presence(self, payload: bytes) -> None:
        try:
            presence = decode(payload, Presence)
        except Undecodable:
            return
        if presence.state is PresenceState.ONLINE:
            self._online.set()
        else:
            self._online.clear()

    async def connected(self, link: Link) -> None:
        self.reached.set()
        self._requests = Requests(link)
        try:
            await link.subscribe(
                Filter(self._topics.manager("presence")),
                Filter(self._topics.manager("reply", self._access.caller)),
            )
            await self._until_online()
            self.outcome.set_result(await self._work(Manager(self._access, self._requests)))
        except Disconnected:
            raise
        except Exception as error:
            # Kept, not raised: leaving with an error would not say goodbye to the broker.
            self.outcome.set_exception(error)

    async def _until_online(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._online.wait()
        except TimeoutError:
            raise Unreachable(
                f"no manager is online at {self._access.broker} (waited {self._patience:.0f} s); "
                f"start fleet-manager, or name another broker with --broker or FLEET_BROKER"
            ) from None

    def disconnected(self, why: str) -> None:
        """Told by `connect_once`'s error already."""


async def converse(
    access: Access, work: Callable[[Manager], Awaitable[T]], patience: float = PATIENCE
) -> T:
    """The result of `work` with the manager.

    Raises:
        Unreachable: there is no broker or no manager, or it went away.
        Denied: the manager refused what `work` asked.
    """
    conversation = _Conversation(access, work, patience)
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
        raise Unreachable(_no_broker(access.broker, "no answer")) from None
    except Disconnected as error:
        if conversation.reached.is_set():
            raise Unreachable(f"the connection to the broker was lost: {error}") from None
        raise Unreachable(_no_broker(access.broker, str(error))) from None
    return conversation.outcome.result()


def _no_broker(broker: Broker, why: str) -> str:
    return (
        f"no broker could be reached at {broker} ({why.removeprefix(f'{broker}: ')}); "
        f"is it running, is the address right (--broker, FLEET_BROKER), "
        f"and are FLEET_USERNAME and FLEET_PASSWORD_FILE?"
    )
