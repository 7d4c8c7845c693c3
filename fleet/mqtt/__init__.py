"""The only module that speaks MQTT: connect, will, reconnect, publish, ask and be answered.

An `MqttSession` says what to do with a connection; `keep` gives it one after another. Each attempt
has a client of its own, because aiomqtt enters a used one without waiting for its CONNACK.
`connection` is one, `broker` where it leads, `messages` what it carries, `reasons` why there is
none; the others import from here.
"""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Protocol

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleet.mqtt.broker import BadBroker, Broker, Disconnected, NotLetIn, Refused
from fleet.mqtt.connection import Connection
from fleet.mqtt.messages import Filter, Message, Will

__all__ = [
    "BACKOFF_CAP",
    "BadBroker",
    "Broker",
    "Disconnected",
    "Filter",
    "Link",
    "Message",
    "MqttSession",
    "NobodyListening",
    "NotLetIn",
    "Refused",
    "Requests",
    "Will",
    "backoff",
    "connect_once",
    "keep",
]

BACKOFF_CAP: Final = 15.0
"""Seconds a reconnect waits at most."""
_BACKOFF_BASE: Final = 0.5
_NO_MATCHING_SUBSCRIBERS: Final = 16


class NobodyListening(Exception):
    """The broker has no subscriber for what was asked."""


class Link:
    """One live connection to the broker, and where strangers are heard a bare one beside it."""

    def __init__(
        self, connection: Connection, open_bare: Callable[[], Awaitable[Connection]]
    ) -> None:
        self._connection = connection
        self._open_bare = open_bare
        self._bare: Connection | None = None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
        response_topic: str | None = None,
        expiry: int | None = None,
        user: Mapping[str, str] | None = None,
    ) -> Awaitable[int]:
        """Send now, in the order of the calls; await the result to have the broker's answer.

        The result is MQTT's reason code: 0, or 16 where nobody subscribes. `expiry`: seconds.

        Raises:
            Refused: (awaited) the broker would not have it.
            Disconnected: (awaited) the connection broke first.
        """
        properties = None
        if correlation is not None or response_topic or expiry or user:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if correlation is not None:
                properties.CorrelationData = correlation
            if response_topic:
                properties.ResponseTopic = response_topic
            if expiry:
                properties.MessageExpiryInterval = expiry
            if user:
                properties.UserProperty = list(user.items())
        return self._connection.send(topic, payload, qos, retain, properties)

    async def ask(
        self, topic: str, payload: bytes, *, correlation: bytes, reply_topic: str, timeout: float
    ) -> None:
        """Ask somebody who has to answer on `reply_topic`; `timeout`: seconds it is worth asking.

        Raises:
            NobodyListening: the broker knows no subscriber of `topic`.
            Refused, Disconnected: as `publish`.
        """
        code = await self.publish(
            topic,
            payload,
            correlation=correlation,
            response_topic=reply_topic,
            expiry=max(1, round(timeout)),
        )
        if code == _NO_MATCHING_SUBSCRIBERS:
            raise NobodyListening(topic)

    async def subscribe(self, *filters: Filter) -> None:
        """Subscribe to all `filters` at once.

        Raises:
            Refused: the broker did not grant one of them.
            Disconnected: the connection broke.
        """
        bare = [one for one in filters if one.bare]
        if bare:
            if self._bare is None:
                self._bare = await self._open_bare()
            await self._bare.subscribe(bare)
        if len(bare) < len(filters):
            await self._connection.subscribe([one for one in filters if not one.bare])


class MqttSession(Protocol):
    """What somebody does with connections."""

    def will(self) -> Will | None:
        """Asked anew before each attempt."""

    def received(self, message: Message) -> None:
        """A message came in; called from the event loop, must not block."""

    async def connected(self, link: Link) -> None:
        """Runs while connected and is cancelled when that ends; returning says goodbye."""

    def disconnected(self, why: str) -> None:
        """The connection was lost, or an attempt failed."""


async def keep(broker: Broker | Callable[[], Broker], client_id: str, session: MqttSession) -> None:
    """Give `session` a connection, and another after each loss, until it returns from one.

    `broker` may be what says before each attempt where to go; it raises `Disconnected` where there
    is nowhere now.

    Between attempts it waits with full jitter (a random part of a doubling time, at most
    `BACKOFF_CAP`), so that a fleet does not come back all at once.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            to = broker() if callable(broker) else broker
            await connect_once(to, client_id, session)
            return
        except Disconnected as error:
            session.disconnected(str(error))
        if loop.time() - began > BACKOFF_CAP:
            failures = 0
        await asyncio.sleep(backoff(failures))
        failures += 1


def backoff(failures: int) -> float:
    """Seconds to wait after so many attempts that failed in a row."""
    return random.uniform(0, min(BACKOFF_CAP, _BACKOFF_BASE * 2 ** min(failures, 16)))


async def connect_once(broker: Broker, client_id: str, session: MqttSession) -> None:
    """One connection for `session`.

    Raises:
        Disconnected: it could not be had (`NotLetIn`: the broker would not), or was lost.
        Refused: the broker refused what the session cannot do without.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            Connection(broker, client_id, session.will(), session.received)
        )

        async def open_bare() -> Connection:
            bare = Connection(broker, f"{client_id}-bare", None, session.received, bare=True)
            await stack.enter_async_context(bare)
            bare.gone.add_done_callback(lambda gone: connection.over(gone.result()))
            return bare

        why = "the connection was closed"
        work = asyncio.create_task(session.connected(Link(connection, open_bare)))
        try:
            await asyncio.wait((work, connection.gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                return
            why = connection.gone.result()
        except (Exception, asyncio.CancelledError):
            # A program that breaks must not look as if it had said goodbye.
            connection.leave_with_will()
            raise
        finally:
            work.cancel()
            connection.drop_pending(why)
            await asyncio.gather(work, return_exceptions=True)
    raise Disconnected(f"{broker}: {why}")


class Requests:
    """Asks over a link and matches the replies by their correlation data."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}

    def received(self, message: Message) -> None:
        """Hand every message of the reply topic here."""
        waiting = self._waiting.get(message.correlation or b"")
        if waiting is not None and not waiting.done():
            waiting.set_result(message.payload)

    async def ask(
        self, topic: str, payload: bytes, timeout: float, reply_topic: str, grace: float = 0.0
    ) -> bytes:
        """The reply's payload; `timeout` in seconds is also the request's deadline.

        `grace`: seconds more for the answer that the deadline has passed.

        Raises:
            NobodyListening: the broker knows no subscriber of `topic`.
            TimeoutError: no reply came in time.
            Disconnected, Refused: as `Link.publish`.
        """
        correlation = secrets.token_bytes(12)
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = reply
        try:
            async with asyncio.timeout(timeout + grace):
                await self._link.ask(
                    topic,
                    payload,
                    correlation=correlation,
                    reply_topic=reply_topic,
                    timeout=timeout,
                )
                return await reply
        finally:
            del self._waiting[correlation]
