"""The only module that speaks MQTT: connect, will, reconnect, publish, ask and be answered.

A `Session` says what to do with a connection; `keep` gives it one after another. Each attempt
has a client of its own, because aiomqtt enters a used one without waiting for its CONNACK.
Messages reach the session straight from paho's callback and publishes are plain futures:
aiomqtt's queue and its timer per publish cost more than the work done with a message, and its
`publish` takes a refusal for success.
"""

import asyncio
import logging
import random
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

import aiomqtt
import paho.mqtt.client as paho
from attrs import field, frozen
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

log = logging.getLogger(__name__)

KEEPALIVE: Final = 15
"""Seconds after which an idle connection is probed; the broker gives up after 1.5 of them."""
BACKOFF_CAP: Final = 15.0
"""Seconds a reconnect waits at most."""
_BACKOFF_BASE: Final = 0.5
_IN_FLIGHT: Final = 100
_READ_AHEAD: Final = 65_536
_NO_MATCHING_SUBSCRIBERS: Final = 16
_DISCONNECT_WITH_WILL: Final = 4
_NOT_LET_IN: Final = (134, 135)
"""Reason codes of a CONNACK: bad user name or password, not authorized."""


class BadBroker(ValueError):
    """A broker's address that cannot be used; the text says why."""


class Disconnected(ConnectionError):
    """The connection to the broker was lost or never came about."""


class NotLetIn(Disconnected):
    """The broker is there and does not take our user name and password."""


class Refused(Exception):
    """The broker refused a publish or a subscription (its ACL, a quota, a size)."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the broker refused {topic}: {reason}")
        self.topic = topic
        self.reason = reason


class NobodyListening(Exception):
    """The broker has no subscriber for what was asked."""


@frozen
class Broker:
    """Where the broker is and who we are to it."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, username: str | None = None, password: str | None = None) -> Self:
        """From `mqtt://HOST[:PORT]` (1883) or `mqtts://HOST[:PORT]` (TLS, 8883).

        Raises:
            BadBroker: another scheme, no host, a user or a path in it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BadBroker(f"{url!r} is not the address of a broker: {error}") from None
        tls = parts.scheme == "mqtts"
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BadBroker(f"{url!r} is not the address of a broker: expected mqtt://HOST:PORT")
        if "@" in parts.netloc:
            raise BadBroker(
                "a broker's address holds no user: give FLEET_USERNAME and FLEET_PASSWORD_FILE"
            )
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadBroker(f"{url!r} has more than a host and a port")
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, username, password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}"


@frozen
class Will:
    """What the broker publishes for us, retained, when the connection dies."""

    topic: str
    payload: bytes


@frozen
class Message:
    """What came in. `retain`: it was kept by the broker, or (commands) sent to be kept.

    `expiry`: seconds it had left to live, None if it does not expire.
    """

    topic: str
    payload: bytes
    retain: bool
    correlation: bytes | None = None
    expiry: int | None = None
    user: tuple[tuple[str, str], ...] = ()


@frozen
class Filter:
    """A subscription. `as_published` keeps the retain flag the sender gave."""

    topic: str
    qos: int = 1
    as_published: bool = False


class _ReadAhead:
    """A socket that reads much at once, because paho asks for a byte here and two there.

    aiomqtt goes on handling packets while `pending` says that some are here already, so a burst
    of messages costs one turn of the event loop, not one each.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._data = b""
        self._at = 0

    def recv(self, size: int) -> bytes:
        if self._at == len(self._data):
            self._data, self._at = self._sock.recv(_READ_AHEAD), 0
        chunk = self._data[self._at : self._at + size]
        self._at += len(chunk)
        return chunk

    def pending(self) -> int:
        more = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return len(self._data) - self._at + int(more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _Client(aiomqtt.Client):
    """aiomqtt's connection handling, with leaner ways in and out."""

    def __init__(self, *args: Any, received: Callable[[Message], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = received
        self._published: dict[int, asyncio.Future[int]] = {}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._client._sock is not None:  # noqa: SLF001 (paho has no other way to it)
            self._client._sock = _ReadAhead(self._client._sock)  # noqa: SLF001
        return self

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # paho may be in another thread here, as in aiomqtt's own.
        self._loop.call_soon_threadsafe(self._await_writing, client, sock)

    def _await_writing(self, client: paho.Client, sock: Any) -> None:
        if sock.fileno() >= 0:  # it may have been closed since
            self._loop.add_writer(sock.fileno(), self._write, client)

    def _write(self, client: paho.Client) -> None:
        try:
            client.loop_write()
        except Exception as error:
            if not self.gone.done():
                self.gone.set_exception(error)

    def leave_with_will(self) -> None:
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=_DISCONNECT_WITH_WILL)
        self._client.disconnect(reason)

    @property
    def gone(self) -> asyncio.Future[None]:
        return self._disconnected

    def send(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> asyncio.Future[int]:
        done: asyncio.Future[int] = self._loop.create_future()
        # Nobody may wait for it; a lost connection is told to the session, not to each publish.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            done.set_exception(Disconnected(paho.error_string(info.rc)))
        elif qos == 0:
            done.set_result(0)
        else:
            self._published[info.mid] = done
        return done

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        done = self._published.pop(mid, None)
        if done is not None and not done.done():
            if reason_code.is_failure:
                done.set_exception(Refused("a publish", str(reason_code)))
            else:
                done.set_result(reason_code.value)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        # Asking the properties themselves goes through all that MQTT knows, for every message.
        properties = vars(message.properties) if message.properties else {}
        received = Message(
            topic,
            bytes(message.payload),
            message.retain,
            properties.get("CorrelationData"),
            properties.get("MessageExpiryInterval"),
            tuple(properties.get("UserProperty", ())),
        )
        try:
            self._received(received)
        except Exception:
            log.exception("a message on %s could not be handled", topic)

    def drop_pending(self, why: str) -> None:
        """Tell everyone who waits for a PUBACK that none will come."""
        for done in self._published.values():
            if not done.done():
                done.set_exception(Disconnected(why))
        self._published.clear()


class Link:
    """One live connection to the broker."""

    def __init__(self, client: _Client) -> None:
        self._client = client

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
        return self._client.send(topic, payload, qos, retain, properties)

    async def subscribe(self, *filters: Filter) -> None:
        """Subscribe to all `filters` at once.

        Raises:
            Refused: the broker did not grant one of them.
            Disconnected: the connection broke.
        """
        wanted = [
            (one.topic, SubscribeOptions(one.qos, retainAsPublished=one.as_published))
            for one in filters
        ]
        try:
            codes = await self._client.subscribe(wanted)
        except aiomqtt.MqttError as error:
            raise Disconnected(str(error)) from None
        _heed_cancellation()
        for one, code in zip(filters, codes, strict=True):
            if isinstance(code, ReasonCode) and code.is_failure:
                raise Refused(one.topic, str(code))


class Session(Protocol):
    """What somebody does with connections."""

    def will(self) -> Will | None:
        """Asked anew before each attempt."""

    def received(self, message: Message) -> None:
        """A message came in; called from the event loop, must not block."""

    async def connected(self, link: Link) -> None:
        """Runs while connected and is cancelled when that ends; returning says goodbye."""

    def disconnected(self, why: str) -> None:
        """The connection was lost, or an attempt failed."""


async def keep(broker: Broker, client_id: str, session: Session) -> None:
    """Give `session` a connection, and another after each loss, until it returns from one.

    Between attempts it waits with full jitter (a random part of a doubling time, at most
    `BACKOFF_CAP`), so that a fleet does not come back all at once.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await connect_once(broker, client_id, session)
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


async def connect_once(broker: Broker, client_id: str, session: Session) -> None:
    """One connection for `session`.

    Raises:
        Disconnected: it could not be had (`NotLetIn`: for want of the right password), or was
            lost.
        Refused: the broker refused what the session cannot do without.
    """
    will = session.will()
    client = _Client(
        broker.host,
        broker.port,
        received=session.received,
        identifier=client_id,
        username=broker.username,
        password=broker.password,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        keepalive=KEEPALIVE,
        max_inflight_messages=_IN_FLIGHT,
        tls_context=ssl.create_default_context() if broker.tls else None,
        will=aiomqtt.Will(will.topic, will.payload, 1, True) if will else None,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    )
    why = "the connection was closed"
    try:
        async with client:
            client.gone.add_done_callback(lambda gone: gone.cancelled() or gone.exception())
            _heed_cancellation()
            work = asyncio.create_task(session.connected(Link(client)))
            try:
                await asyncio.wait((work, client.gone), return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    await work
                    return
                why = str(client.gone.exception() or why)
            except (Exception, asyncio.CancelledError):
                # A program that breaks must not look as if it had said goodbye.
                client.leave_with_will()
                raise
            finally:
                work.cancel()
                client.drop_pending(why)
                await asyncio.gather(work, return_exceptions=True)
        raise Disconnected(why)
    except aiomqtt.MqttError as error:
        _heed_cancellation()
        raise _lost(broker, error) from None


def _lost(broker: Broker, error: aiomqtt.MqttError) -> Disconnected:
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    if isinstance(code, ReasonCode) and code.value in _NOT_LET_IN:
        return NotLetIn(
            f"{broker}: {code}; are the user name and the password right "
            "(FLEET_USERNAME, FLEET_PASSWORD_FILE)?"
        )
    return Disconnected(f"{broker}: {error}")


def _heed_cancellation() -> None:
    # Python 3.11's wait_for, which aiomqtt waits with, forgets a cancellation that comes in
    # the same turn as the answer; the caller would then wait for our end for ever.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


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
                code = await self._link.publish(
                    topic,
                    payload,
                    correlation=correlation,
                    response_topic=reply_topic,
                    expiry=max(1, round(timeout)),
                )
                if code == _NO_MATCHING_SUBSCRIBERS:
                    raise NobodyListening(topic)
                return await reply
        finally:
            del self._waiting[correlation]
