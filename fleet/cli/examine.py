"""Tries a broker out: what it lets through, how fast, how much of it, and what it keeps.

Only what a person may say and hear is used: mostly the own reply topic, to which we send
ourselves. Nothing is left on the broker.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Final, TypeVar

from attrs import evolve, frozen

from fleet.cli.connection import Access
from fleet.model import (
    MAX_PAYLOAD,
    MAX_REQUEST,
    Presence,
    PresenceState,
    Registration,
    State,
    Status,
)
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused, Will, connect_once
from fleet.wire import Undecodable, decode

T = TypeVar("T")

BURST: Final = 1_200
"""Messages kept for a reader that does not read; by default Mosquitto keeps 1,020."""
SIZES: Final = (MAX_PAYLOAD, MAX_REQUEST)
"""Bytes: the largest config, and the largest reply of the manager."""
_LONE: Final = 21
_FRESH: Final = 5
_GAP: Final = 0.01
"""Seconds between two messages."""
_QUIET: Final = 0.5
"""Seconds without a message after which no more are expected."""
_LIMIT: Final = 20.0
"""Seconds one trial may take."""
_VERSION: Final = "$SYS/broker/version"


@frozen
class RetainedStation:
    """What the broker keeps of a station: all that is known of it without a manager."""

    id: str
    presence: PresenceState
    hostname: str | None
    ill: tuple[str, ...]
    """`record/main failed (NoSignal: …)` for each instance that does not run."""


@frozen
class BrokerFacts:
    """What was found; None where the broker does not let us look."""

    version: str | None
    anonymous: bool | None
    """Whether it lets in somebody without a user."""
    open: bool | None
    """Whether we could write a station's config ourselves."""
    round_trip: float | None
    """Seconds from a lone QoS 1 message to its PUBACK, the median."""
    delivery: float | None
    """Seconds to a reader that has just subscribed, the least."""
    kept: int | None
    """How many of `BURST` messages were kept for a reader that did not read."""
    refused: int | None
    """The smallest message of `SIZES`, in bytes, that was too large for it; None where all went."""
    retained: tuple[str, ...]
    """Every retained topic of ours."""
    managers: tuple[str, ...]
    """The boots of managers that said they were online."""
    stations: tuple[RetainedStation, ...] = ()


async def examine(access: Access) -> BrokerFacts:
    """Look at the broker for about three seconds.

    Raises:
        Disconnected: it cannot be reached, or went away.
    """
    # Without users several people share a name; what we send ourselves is not for them.
    mark = f"doctor-{secrets.token_hex(6)}"
    own = access.topics.manager("reply", access.broker.username or mark)
    async with _line(access) as listener:
        kept = await listener.listen(f"{access.topics.root}/#", _VERSION, otherwise=_told(access))
        is_open = await _may_write(access, access.topics.config(mark))
        round_trip = delivery = burst = None
        if await _may_write(access, own):
            async with _line(access) as sender:
                round_trip = await _lone(sender, own)
                delivery = await _delivery(access, sender, own, mark.encode())
            burst = await _burst(access, own, mark.encode())
        boots = {boot for one in listener.heard if (boot := _manager(access, one))}
    # Last and with nobody listening, so that what is large travels only once.
    refused = None if round_trip is None else await _refused(access, own)
    return BrokerFacts(
        version=next(
            (m.payload.decode(errors="replace") for m in kept if m.topic == _VERSION), None
        ),
        anonymous=await _lets_in_anonymous(access),
        # The manager's user may write every config.
        open=None if access.caller == "manager" and is_open else is_open,
        round_trip=round_trip,
        delivery=delivery,
        kept=burst,
        refused=refused,
        retained=tuple(sorted({one.topic for one in kept if one.retain and one.topic != _VERSION})),
        managers=tuple(sorted(boots)),
        stations=tuple(_stations(access, kept)),
    )


def _told(access: Access) -> Sequence[str]:
    """What people may hear of all that is retained, where they may not hear everything."""
    topics = access.topics
    said = (topics.station("+", kind) for kind in ("registration", "presence", "status"))
    return (topics.manager("presence"), *said)


def _stations(access: Access, kept: Sequence[Message]) -> Iterator[RetainedStation]:
    """Those of which a presence is kept, by id; what makes no sense is left out."""
    said: dict[str, dict[str, bytes]] = {}
    for one in kept:
        address = access.topics.parse(one.topic)
        if address is not None and address.station is not None and one.retain:
            said.setdefault(address.station, {})[address.kind] = one.payload

    for id_, payloads in sorted(said.items()):
        presence = _sense(payloads.get("presence"), Presence)
        if presence is not None:
            registration = _sense(payloads.get("registration"), Registration)
            status = _sense(payloads.get("status"), Status)
            ill = tuple(
                f"{role}/{name} {one.text}"
                for role, instances in (status.roles if status is not None else {}).items()
                for name, one in instances.items()
                if one.state in (State.FAILED, State.BACKOFF)
            )
            hostname = registration.hostname if registration is not None else None
            yield RetainedStation(id_, presence.state, hostname, ill)


def _sense(payload: bytes | None, cls: type[T]) -> T | None:
    with suppress(Undecodable):
        return decode(payload, cls) if payload else None
    return None


def _manager(access: Access, message: Message) -> str | None:
    """The boot of a manager that says here that it is online."""
    if message.topic == access.topics.manager("presence"):
        with suppress(Undecodable):
            said = decode(message.payload, Presence)
            return said.boot if said.state is PresenceState.ONLINE else None
    return None


@frozen
class _Line:
    """A connection, and all that was heard on it. Times are the event loop's, in seconds."""

    link: Link
    heard: list[Message]
    times: list[float]
    some: asyncio.Event
    """Set once something was heard."""

    def heard_at(self, word: bytes) -> float | None:
        """When that was heard first, by the loop's clock; None where it was not."""
        both = zip(self.heard, self.times, strict=True)
        return next((at for one, at in both if one.payload == word), None)

    async def listen(
        self, *topics: str, otherwise: Sequence[str] = (), qos: int = 0
    ) -> list[Message]:
        """Subscribe; what was heard until all that was retained had come.

        `otherwise`: what to subscribe to where the first of `topics` is refused.
        """
        left = list(topics)
        while left:
            topic = left.pop(0)
            try:
                await self.link.subscribe(Filter(topic, qos))
            except Refused:
                left += otherwise if topic == topics[0] else ()
        return await self.until_no_more(lambda message: message.retain)

    async def until_no_more(self, counts: Callable[[Message], bool]) -> list[Message]:
        """Everything heard, once nothing more comes that counts: a large fleet is never quiet."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LIMIT):
                before = -1
                while before != (now := sum(map(counts, self.heard))):
                    before = now
                    await asyncio.sleep(_QUIET)
        return list(self.heard)


class _Session:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.line: asyncio.Future[_Line] = loop.create_future()
        self.done = asyncio.Event()
        self._heard: list[Message] = []
        self._times: list[float] = []
        self._some = asyncio.Event()

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        self._heard.append(message)
        self._times.append(asyncio.get_running_loop().time())
        self._some.set()

    async def connected(self, link: Link) -> None:
        self.line.set_result(_Line(link, self._heard, self._times, self._some))
        await self.done.wait()

    def disconnected(self, why: str) -> None:
        """Told by `connect_once`'s error already."""


@asynccontextmanager
async def _line(access: Access) -> AsyncIterator[_Line]:
    session = _Session()
    connection = asyncio.ensure_future(
        connect_once(access.broker, f"fleet-{secrets.token_hex(8)}", session)
    )
    try:
        await asyncio.wait((connection, session.line), return_when=asyncio.FIRST_COMPLETED)
        if not session.line.done():
            await connection
        yield session.line.result()
    finally:
        session.done.set()
        await asyncio.gather(connection, return_exceptions=True)


async def _may_write(access: Access, topic: str) -> bool:
    """Whether the broker takes a message on `topic`; it is not kept.

    On a connection of its own: Mosquitto 2.0 throws out whom it refuses something where
    `max_queued_messages` is 0.
    """
    async with _line(access) as line:
        try:
            await line.link.publish(topic, b"")
        except Refused:
            return False
        return True


async def _lone(sender: _Line, topic: str) -> float:
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(_LONE):
        began = loop.time()
        await sender.link.publish(topic, b"")
        took.append(loop.time() - began)
        await asyncio.sleep(_GAP)
    return median(took)


async def _delivery(access: Access, sender: _Line, topic: str, word: bytes) -> float | None:
    """How long a message takes to a reader that has just been told something else.

    A broker that leaves Nagle's algorithm on holds it back until the reader's TCP has confirmed
    what came before, which takes it up to 40 ms where it has nothing to say itself. That delays
    every one; a busy machine delays some. `word`: what is sent, for others may be told something on
    the same topic.
    """
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(_FRESH):
        async with _line(access) as reader:
            await reader.link.subscribe(Filter(topic, 1))
            sent = loop.time()
            await sender.link.publish(topic, word)
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    while (came := reader.heard_at(word)) is None:
                        await reader.some.wait()
                        reader.some.clear()
                    took.append(came - sent)
    return min(took, default=None)


async def _burst(access: Access, topic: str, word: bytes) -> int | None:
    def is_ours(message: Message) -> bool:
        return message.payload == word

    async with _line(access) as reader:
        await reader.link.subscribe(Filter(topic, 1))
        with ThreadPoolExecutor(1) as thread:
            # Waiting blocks this event loop on purpose: the reader must not read meanwhile.
            thread.submit(asyncio.run, _send_burst(access, topic, word)).result(_LIMIT)
        heard = await reader.until_no_more(is_ours)
    came = sum(map(is_ours, heard))
    return came or None


async def _send_burst(access: Access, topic: str, word: bytes) -> None:
    async with _line(access) as sender:
        await asyncio.gather(*(sender.link.publish(topic, word) for _ in range(BURST)))


async def _refused(access: Access, topic: str) -> int | None:
    for size in SIZES:
        try:
            async with asyncio.timeout(_LIMIT), _line(access) as line:
                await line.link.publish(topic, bytes(size))
        except (Refused, Disconnected):  # some brokers answer, others end the connection
            return size
        except TimeoutError:
            return None  # a slow network is no limit
    return None


async def _lets_in_anonymous(access: Access) -> bool | None:
    if access.broker.username is None:
        return True
    nobody = evolve(access, broker=evolve(access.broker, username=None, password=None))
    try:
        async with asyncio.timeout(5), _line(nobody):
            return True
    except Disconnected:
        return False
    except TimeoutError:
        return None
