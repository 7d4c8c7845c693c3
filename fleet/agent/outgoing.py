"""What a station sends beside its status: log lines, figures, thumbnails and segments."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from attrs import frozen
from prometheus_client import CollectorRegistry

from fleet.agent.box.telemetry import LogOutbox, TooSlow, gather
from fleet.agent.engine.reconcile import Key
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.secret_files import SecretFiles
from fleet.guard import describe
from fleet.model import LogLine, Segment
from fleet.mqtt import Link, Refused
from fleet.topics import Topics
from fleet.wire import encode, format_time

log = logging.getLogger(__name__)

LOG_GAP: Final = 0.5


@frozen
class Identity:
    """Who this agent is. `boot` is random per start; `name` is used while no config names it.

    `public_key` is what others seal with what is for this box alone.
    """

    station: str
    boot: str
    topics: Topics
    interval: float
    public_key: str
    secrets: SecretFiles
    name: str | None = None


class Outgoing:
    """What goes to whatever broker there is; without one it is not kept, except for log lines."""

    def __init__(self, identity: Identity, supervisor: Supervisor, own: CollectorRegistry) -> None:
        """`own`: the agent's own metrics."""
        self.link: Link | None = None
        """None while there is no broker."""
        self._me = identity
        self._supervisor = supervisor
        self._own = own
        self._outbox = LogOutbox()
        self._lines = asyncio.Event()
        self._refused: set[str] = set()
        self._own_unread: str | None = None
        """Why the station's own metrics could not be read."""

    def connect(self, link: Link) -> None:
        """Send over this connection."""
        self.link = link
        self._refused.clear()

    def disconnect(self) -> None:
        """There is no broker any more."""
        self.link = None

    def line(self, line: LogLine) -> None:
        """An instance said something."""
        self._outbox.add(line)
        self._lines.set()

    def thumbnail(self, key: Key, jpeg: bytes) -> None:
        """An instance shows what it sees; nobody keeps it for later."""
        if self.link is not None:
            topic = self._me.topics.thumbnail(self._me.station, *key)
            self.link.publish(topic, jpeg, qos=0, user={"at": format_time(_now())})

    def segment(self, segment: Segment) -> None:
        """A segment was closed or read back; who was away asks for it later."""
        self.publish(self._me.topics.segment(self._me.station), encode(segment))

    async def send_lines(self) -> None:
        """Send what instances said, for ever, a little after they said it."""
        while True:
            await self._lines.wait()
            await asyncio.sleep(LOG_GAP)
            self._lines.clear()
            self.ship()

    def ship(self) -> None:
        """Send what instances said until now."""
        self._outbox.drop(self._supervisor.take_dropped())
        for payload in self._outbox.take():
            self.publish(self._me.topics.log(self._me.station), payload, qos=0)

    async def send_figures(self) -> None:
        """Send figures for ever, with each heartbeat."""
        while True:
            payload = gather(
                self._me.boot,
                _now(),
                self._supervisor.registries(),
                self._own,
                self._read,
                self._supervisor.working_for,
                self._me.secrets.hidden.without,
            )
            self.publish(self._me.topics.telemetry(self._me.station), payload, qos=0)
            await asyncio.sleep(self._me.interval)

    def _read(self, whose: Key | None, error: Exception | None) -> None:
        text = None if error is None else describe(error)
        if whose is not None:
            self._supervisor.metrics_read(whose, text, again=not isinstance(error, TooSlow))
        elif self._own_unread != text:  # else every few seconds
            log.error("the station's own metrics cannot be read: %s", text)
            self._own_unread = text

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> None:
        """Send it, if there is a broker; one that refuses it is said once a connection."""
        if self.link is not None:
            sent = asyncio.ensure_future(
                self.link.publish(topic, payload, qos=qos, retain=retain, correlation=correlation)
            )
            sent.add_done_callback(lambda done: self._sent(topic, done))

    def _sent(self, topic: str, done: "asyncio.Future[int]") -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, Refused) and topic not in self._refused:
            self._refused.add(topic)  # once per connection
            log.error("%s: %s", topic, error)


def _now() -> datetime:
    return datetime.now(UTC)
