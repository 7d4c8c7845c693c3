"""One connection to a broker: aiomqtt's client, and paho's callbacks on asyncio's loop.

aiomqtt connects, subscribes and says goodbye. What flows goes by paho's public callbacks straight
to us: aiomqtt's queue and its timer per publish cost more than the work done with a message, and
its `publish` takes a refusal for success.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fleet.mqtt.broker import BadBroker, Broker, Disconnected
from fleet.mqtt.messages import Filter, Message, Will
from fleet.mqtt.reasons import ended, not_had, refusal

log = logging.getLogger(__name__)

KEEPALIVE: Final = 15
"""Seconds after which an idle connection is probed; the broker gives up after 1.5 of them."""
_IN_FLIGHT: Final = 100
_BURST: Final = 200
_TURN: Final = 0.02
"""Packets read in one turn of the loop at most, and seconds after which no other is begun: a flood
must not hold up everything else."""
_LOOK: Final = 3.0
"""Seconds between two looks at the keepalive."""
_DISCONNECT_WITH_WILL: Final = 4
_WHOLE: Final[Mapping[str, Any]] = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": True}
_BARE: Final[Mapping[str, Any]] = {
    "protocol": aiomqtt.ProtocolVersion.V311,
    "clean_session": True,
}
_MOST_PROPERTIES: Final = 4096
"""Bytes of a packet's properties that are read. paho's time for them rises with their square."""
_unpack: Final = Properties.unpack


def _unpack_few(self: Properties, packet: Any) -> tuple[Properties, int]:
    """In place of paho's: too many properties count as none, so nobody can hold us with them."""
    length, begin = VariableByteIntegers.decode(packet)  # type: ignore[no-untyped-call]
    end = length + begin
    if length > _MOST_PROPERTIES:
        self.clear()  # type: ignore[no-untyped-call]
        return self, end
    return _unpack(self, packet[:end])  # type: ignore[no-any-return, no-untyped-call]


Properties.unpack = _unpack_few  # type: ignore[method-assign]


def paho_of(client: aiomqtt.Client) -> paho.Client:
    """The paho client in aiomqtt's, to which it offers no public way: the one thing we borrow.

    Raises:
        RuntimeError: this aiomqtt keeps none there.
    """
    found = vars(client).get("_client")
    if not isinstance(found, paho.Client):
        raise RuntimeError(
            "this release of aiomqtt is built differently: install aiomqtt>=2.5.1,<3"
        )
    return found


class Connection:
    """A connection, as an asynchronous context; entered once.

    A `bare` one is of MQTT 3.1.1: the broker leaves out all properties. Whoever hears many
    strangers uses one, because paho takes as long for a message's properties as for the rest.

    Raises:
        Disconnected: on entering, it could not be had (`NotLetIn`: the broker would not).
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        will: Will | None,
        received: Callable[[Message], None],
        *,
        bare: bool = False,
    ) -> None:
        self._broker = broker
        self._bare = bare
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._published: dict[int, tuple[str, asyncio.Future[int]]] = {}
        self._handled = 0
        self._refusal: ReasonCode | None = None
        self._watched: int | None = None
        self._is_full = False
        """The socket takes no more at the moment."""
        self._undecoded: Callable[[], int] | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._closed = False
        self.gone: asyncio.Future[str] = self._loop.create_future()
        """Why the connection ended, once it has."""
        try:
            tls = broker.tls_context()
        except BadBroker as error:  # it was right when the program began
            raise Disconnected(f"{broker}: {error}") from None
        self._client = aiomqtt.Client(
            broker.host,
            broker.port,
            identifier=client_id,
            username=broker.username,
            password=broker.password,
            **(_BARE if bare else _WHOLE),
            keepalive=KEEPALIVE,
            max_inflight_messages=_IN_FLIGHT,
            tls_context=tls,
            will=aiomqtt.Will(will.topic, will.payload, 1, True) if will else None,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._paho = paho_of(self._client)
        self._paho.disable_logger()  # it says each packet; what matters is told by its callbacks
        self._listen_to_paho()

    def _listen_to_paho(self) -> None:
        client = self._paho
        let_in, left = client.on_connect, client.on_disconnect

        def on_connect(*args: Any) -> None:
            code = args[3]
            if code.is_failure:
                self._refusal = code
            let_in(*args)  # type: ignore[misc]

        def on_disconnect(*args: Any) -> None:
            # Of a failure aiomqtt would keep an exception that nobody asks it for.
            left(*args[:3], ReasonCode(PacketTypes.DISCONNECT), *args[4:])  # type: ignore[misc, call-arg]
            self.over(ended(args[3], KEEPALIVE, by_broker=args[2].is_disconnect_packet_from_server))

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = self._on_open
        client.on_socket_close = self._on_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    async def __aenter__(self) -> Self:
        entering = asyncio.ensure_future(self._client.__aenter__())
        try:
            await asyncio.wait((entering, self.gone), return_when=asyncio.FIRST_COMPLETED)
            if not entering.done():
                raise not_had(self._broker, ConnectionResetError(), self._refusal)
            entering.result()
        except aiomqtt.MqttError as error:
            self._close()
            # aiomqtt tells no more than the text of what happened to it.
            raise not_had(self._broker, error.__context__ or error, self._refusal) from None
        except BaseException:
            entering.cancel()
            self._close()
            await asyncio.gather(entering, return_exceptions=True)
            raise
        return self

    async def __aexit__(self, *args: Any) -> None:
        try:
            await self._client.__aexit__(*args)
        except aiomqtt.MqttError as error:
            raise Disconnected(f"{self._broker}: {self._broker.why(error)}") from None
        finally:
            self._close()
        _heed_cancellation()

    def leave_with_will(self) -> None:
        """Go in a way that makes the broker publish the will."""
        reason = ReasonCode(PacketTypes.DISCONNECT, identifier=_DISCONNECT_WITH_WILL)
        self._paho.disconnect(reason)

    def drop_pending(self, why: str) -> None:
        """Tell everyone who waits for a PUBACK that none will come."""
        for _, done in self._published.values():
            if not done.done():
                _fail(done, Disconnected(why))
        self._published.clear()

    def send(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> Awaitable[int]:
        """Publish; see `fleet.mqtt.Link.publish`."""
        done: asyncio.Future[int] = self._loop.create_future()
        info = self._paho.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            _fail(done, Disconnected(paho.error_string(info.rc)))
        elif qos == 0:
            done.set_result(0)
        else:
            self._published[info.mid] = (topic, done)
        return done

    async def subscribe(self, filters: Sequence[Filter]) -> None:
        """Subscribe to all `filters` at once; see `fleet.mqtt.Link.subscribe`."""
        wanted: Any = [
            (one.topic, one.qos)
            if self._bare
            else (
                one.topic,
                SubscribeOptions(
                    one.qos,
                    noLocal=one.foreign,
                    retainAsPublished=one.as_published,
                    retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
                    if one.live
                    else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
                ),
            )
            for one in filters
        ]
        try:
            codes = await self._client.subscribe(wanted)
        except aiomqtt.MqttError as error:
            raise Disconnected(f"{self._broker}: {self._broker.why(error)}") from None
        _heed_cancellation()
        for one, code in zip(filters, codes, strict=True):
            if isinstance(code, ReasonCode) and code.is_failure:
                raise refusal(self._broker, one.topic, code, "read", bare=self._bare)

    def over(self, why: str) -> None:
        """It is of no use any more."""
        if not self.gone.done():
            self.gone.set_result(why)

    def _break(self, error: Exception) -> None:
        """What came in, or a callback, was too much for paho."""
        log.error("%s: what the broker sent cannot be handled", self._broker, exc_info=error)
        self.over(f"what the broker sent cannot be handled: {error}")
        self.leave_with_will()

    def _close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        sock = self._paho.socket()
        if sock is not None:
            self._forget()
            sock.close()

    # What paho calls. While it connects, it does so from another thread.

    def _on_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _watch(self, sock: Any) -> None:
        if self._closed:
            sock.close()
        elif sock.fileno() >= 0:  # it may have been closed since
            self._watched = sock.fileno()
            self._undecoded = getattr(sock, "pending", None)  # only TLS has it
            self._loop.add_reader(self._watched, self._read)
            self._looking = self._loop.call_later(_LOOK, self._look)

    def _on_close(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        self._forget()

    def _forget(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
            self._watched = None
            self._is_full = False

    def _on_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # Once a turn all that was said in it goes out, as a rule without asking the selector.
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._write)
        else:
            self._loop.call_soon_threadsafe(self._write)

    def _on_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if self._is_full and self._watched is not None:
            self._loop.remove_writer(self._watched)
        self._is_full = False

    def _on_publish(
        self, client: paho.Client, userdata: Any, mid: int, code: ReasonCode, properties: Properties
    ) -> None:
        self._handled += 1
        topic, done = self._published.pop(mid, (None, None))
        if topic is not None and done is not None and not done.done():
            if code.is_failure:
                _fail(done, refusal(self._broker, topic, code, "write", bare=self._bare))
            else:
                done.set_result(code.value)

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        self._handled += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        # Asking the properties themselves goes through all that MQTT knows, for every message.
        properties = vars(message.properties) if message.properties else {}
        user = properties.get("UserProperty")
        received = Message(
            topic,
            bytes(message.payload),
            message.retain,
            properties.get("CorrelationData"),
            properties.get("MessageExpiryInterval"),
            tuple(user) if user else (),
        )
        try:
            self._received(received)
        except Exception:
            log.exception("a message on %s could not be handled", topic)

    # What the loop calls.

    def _read(self) -> None:
        """Take in a burst in one turn; paho reads a packet at a time."""
        try:
            end = self._loop.time() + _TURN
            for _ in range(_BURST):
                before = self._handled
                self._paho.loop_read()
                if self._handled == before or self._loop.time() > end:
                    break
        except Exception as error:
            self._break(error)
            return
        # What TLS has decoded already makes no socket readable.
        if self._undecoded is not None and self._watched is not None and self._undecoded() > 0:
            self._loop.call_soon(self._read)

    def _write(self) -> None:
        if self._watched is None:
            return
        try:
            self._paho.loop_write()
        except Exception as error:
            self._break(error)
            return
        if not self._is_full and self._watched is not None and self._paho.want_write():
            self._is_full = True
            self._loop.add_writer(self._watched, self._write)

    def _look(self) -> None:
        try:
            fine = self._paho.loop_misc() == paho.MQTT_ERR_SUCCESS
        except Exception as error:
            self._break(error)
            return
        if fine and not self._closed:
            self._looking = self._loop.call_later(_LOOK, self._look)


def _fail(done: "asyncio.Future[int]", error: Exception) -> None:
    done.set_exception(error)
    done.exception()  # nobody may wait for it: asyncio shall not complain


def _heed_cancellation() -> None:
    # Python 3.11's wait_for, which aiomqtt waits with, forgets a cancellation that comes in
    # the same turn as the answer; the caller would then wait for our end for ever.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
