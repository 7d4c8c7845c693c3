"""A stranger's MQTT client: it knows the wire page alone, nothing of `fleet`.

Built on paho, with a thread of its own, so that a mistake in `fleet.mqtt` cannot hide here.
"""

import asyncio
import json
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

import paho.mqtt.client as paho
from attrs import field, frozen
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions


def wire_time(at: datetime) -> str:
    """A moment as the wire page writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@frozen
class Heard:
    """A message as it came in; `at` is the monotonic clock's."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    correlation: bytes | None
    user: dict[str, str]
    at: float = field(factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.payload) if self.payload else None


def _no_delay(client: paho.Client, userdata: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Stranger:
    """`async with Stranger(port) as stranger:`; reconnects by itself and subscribes again.

    `heard` has every message in order; `will` is a (topic, JSON value) for the broker to keep.
    """

    def __init__(
        self,
        port: int,
        *listen: str,
        client_id: str = "",
        will: tuple[str, Any] | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self.heard: list[Heard] = []
        self.connections = 0
        """How often the broker let it in."""
        self._filters = list(listen)
        self._port = port
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._subscribed: dict[int, asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id or f"stranger-{secrets.token_hex(4)}",
            protocol=paho.MQTTv5,
        )
        client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        if will is not None:
            client.will_set(will[0], json.dumps(will[1]), qos=1, retain=True)
        if username is not None:
            client.username_pw_set(username, password)
        client.on_connect = lambda c, u, flags, code, p: self._call(self._connected, code)
        client.on_socket_open = _no_delay
        client.on_disconnect = lambda c, u, flags, code, p: self._call(self._ready.clear)
        client.on_subscribe = lambda c, u, mid, codes, p: self._call(self._granted, mid)
        client.on_publish = lambda c, u, mid, code, p: self._call(self._acked, mid, code.value)
        client.on_message = lambda c, u, message: self._call(self._hear, message)

    async def __aenter__(self) -> Self:
        self._client.connect_async("127.0.0.1", self._port, keepalive=60)
        self._client.loop_start()
        async with asyncio.timeout(60):
            await self._ready.wait()
        if self._filters:
            filters, self._filters = self._filters, []
            await self.listen(*filters)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def vanish(self) -> None:
        """Break the connection without a goodbye, so that the will fires."""
        sock: Any = self._client.socket()
        self._client._thread_terminate = True
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._client.loop_stop)

    async def listen(self, *filters: str, qos: int = 1) -> None:
        """Subscribe, also after each reconnect; returns when the broker has granted it."""
        self._filters += filters
        granted = self._subscribe(list(filters), qos)
        async with asyncio.timeout(60):
            await granted

    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        retain: bool = False,
        qos: int = 1,
        correlation: bytes | None = None,
        response_topic: str | None = None,
        expiry: int | None = None,
    ) -> asyncio.Future[int]:
        """Send JSON (or bytes as they are); the result is the broker's reason code."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation is not None:
            properties.CorrelationData = correlation
        if response_topic is not None:
            properties.ResponseTopic = response_topic
        if expiry is not None:
            properties.MessageExpiryInterval = expiry
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        done: asyncio.Future[int] = self._loop.create_future()
        info = self._client.publish(topic, data, qos, retain, properties)
        self._pending[info.mid] = done
        return done

    async def expect(
        self,
        topic: str,
        matches: Callable[[Any], bool] = lambda value: True,
        timeout: float = 60,
        after: int = 0,
    ) -> Any:
        """The JSON of the first message on `topic` that matches.

        All that was heard from index `after` on counts; `after=stranger.mark()` leaves out the
        past.
        """
        return (await self.expect_message(topic, matches, timeout, after)).json

    async def expect_message(
        self,
        topic: str,
        matches: Callable[[Any], bool] = lambda value: True,
        timeout: float = 60,
        after: int = 0,
        correlation: bytes | None = None,
    ) -> Heard:
        """As `expect`, the message itself; `correlation`: it is the reply with this."""
        seen = after
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._news.clear()
                    while seen < len(self.heard):
                        message = self.heard[seen]
                        seen += 1
                        if message.topic != topic:
                            continue
                        is_meant = correlation in (None, message.correlation)
                        if is_meant and matches(message.json):
                            return message
                    await self._news.wait()
        except TimeoutError:
            got = [m.payload.decode(errors="replace") for m in self.on(topic)]
            others = sorted({m.topic for m in self.heard})
            raise AssertionError(
                f"nothing that matches on {topic} within {timeout} s; heard there: "
                + ("\n  ".join(["", *got]) or f"nothing; topics heard: {others}")
            ) from None

    def mark(self) -> int:
        """Where the past ends, for `expect(after=)`."""
        return len(self.heard)

    def on(self, topic: str) -> list[Heard]:
        """What was heard on `topic`."""
        return [message for message in self.heard if message.topic == topic]

    def latest(self, topic: str) -> Any:
        """The JSON heard last on `topic`, None if there was none."""
        messages = self.on(topic)
        return messages[-1].json if messages else None

    def _call(self, function: Callable[..., object], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def _connected(self, code: Any) -> None:
        assert not code.is_failure, f"the broker refused the stranger: {code}"
        self._ready.set()
        self.connections += 1
        if self._filters:
            self._subscribe(self._filters, 1)

    def _subscribe(self, filters: list[str], qos: int) -> asyncio.Future[None]:
        granted: asyncio.Future[None] = self._loop.create_future()
        options = [(one, SubscribeOptions(qos, retainAsPublished=False)) for one in filters]
        _, mid = self._client.subscribe(options)
        if mid is not None:
            self._subscribed[mid] = granted
        return granted

    def _granted(self, mid: int) -> None:
        granted = self._subscribed.pop(mid, None)
        if granted is not None and not granted.done():
            granted.set_result(None)

    def _acked(self, mid: int, code: int) -> None:
        done = self._pending.pop(mid, None)
        if done is not None and not done.done():
            done.set_result(code)

    def _hear(self, message: paho.MQTTMessage) -> None:
        properties = message.properties
        self.heard.append(
            Heard(
                message.topic,
                bytes(message.payload),
                message.retain,
                message.qos,
                getattr(properties, "CorrelationData", None),
                dict(getattr(properties, "UserProperty", ())),
            )
        )
        self._news.set()
