"""Routes messages between the broker and the parts of the agent, and decides nothing itself.

On each connection: subscribe, then registration, ack, status, and presence `online` last, so
that online means reachable. Then what comes in is handled one by one; what goes out is status
on change and as a heartbeat, log lines, and figures.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from attrs import evolve, frozen
from prometheus_client import CollectorRegistry, Counter

from fleet.agent.box import registration
from fleet.agent.box.devices import CaptureDevices
from fleet.agent.box.telemetry import LogOutbox, gather
from fleet.agent.commands import Commands
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.received import Configs
from fleet.agent.config.store import StateDirectory
from fleet.agent.credential import WayIn
from fleet.agent.engine.reconcile import Key
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.overwritten import Overwritten
from fleet.agent.secret_files import SecretFiles
from fleet.agent.stopping import StopKeeper
from fleet.guard import Guard, describe
from fleet.host import Command
from fleet.model import MAX_PAYLOAD, LogLine, Presence, PresenceState, Registration, Segment, Status
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused, Will
from fleet.topics import Topics
from fleet.wire import Undecodable, encode, format_time

log = logging.getLogger(__name__)

STATUS_GAP: Final = 1.0
"""Seconds between two statuses in the mean, while something changes again and again."""
STATUS_BURST: Final = 5
"""Statuses that may go out at once when little was to be said before."""
_GATHER: Final = 0.01
"""Seconds in which what changes together is one status."""
LOG_GAP: Final = 0.5
AGAIN_GAP: Final = 1.0
"""Seconds between two times at least that what somebody overwrote is said again."""
LOOK_AROUND: Final = 60.0
"""Seconds after which new devices, addresses and installed tools are noticed."""


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


class Pace:
    """When the next status may go: `STATUS_BURST` at once, one a `STATUS_GAP` in the mean."""

    def __init__(self, now: float) -> None:
        self._saved = float(STATUS_BURST)
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until the next may go."""
        return max(0.0, (1.0 - self._refilled(now)) * STATUS_GAP)

    def spend(self, now: float) -> None:
        """One goes, whether it was its time or not."""
        self._saved = max(0.0, self._refilled(now) - 1.0)
        self._at = now

    def _refilled(self, now: float) -> float:
        return min(float(STATUS_BURST), self._saved + (now - self._at) / STATUS_GAP)


class StationSession:
    """One agent's conversation with whatever broker it reaches (`mqtt.keep` runs it)."""

    def __init__(
        self,
        identity: Identity,
        store: StateDirectory,
        supervisor: Supervisor,
        catalogue: Callable[[], Catalogue],
        own: CollectorRegistry,
        commands: Mapping[str, Command],
        guard: Guard,
        devices: CaptureDevices,
        way: WayIn,
    ) -> None:
        """`way` is told whenever a broker has taken us."""
        self._way = way
        self._me = identity
        self._supervisor = supervisor
        self._catalogue = catalogue
        self._own = own
        self._guard = guard
        self._devices = devices
        self._commands = Commands(supervisor.command, commands, self._reply)
        self.link: Link | None = None
        """None while there is no broker."""
        self.trouble: str | None = "not tried yet"
        """Why there is no broker."""
        self._outbox = LogOutbox()
        self._lines = asyncio.Event()
        self._known = catalogue()
        self.configs = Configs(
            *(identity.boot, identity.name, store, supervisor),
            answer=self._publish_ack,
            bound=identity.secrets.bound,
        )
        self._stopping = StopKeeper(store, supervisor.keep_stopped)
        self._looking = asyncio.Lock()
        """Held while role files are read."""
        self._hears_stops = False
        self._epoch = 0
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._overwritten = Overwritten(identity.boot)
        self._introduced: Registration | None = None
        self._refused: set[str] = set()
        self._own_unread: str | None = None
        """Why the station's own metrics could not be read."""
        self._closing = False
        self._farewell: asyncio.Future[PresenceState | None] = asyncio.Future()
        self._ignored = Counter(
            "fleet_agent_messages_ignored", "Messages not acted on.", ["kind"], registry=own
        )

    async def begin(self) -> None:
        """Run what was saved; needs no broker."""
        self._stopping.begin()
        await self.configs.begin(self._known)

    async def close(self) -> None:
        """Take no more configs and commands; what is being handled is finished first."""
        self._closing = True
        self._stopping.close()
        await self.configs.close()
        self._commands.cancel()

    def end(self, presence: PresenceState | None) -> None:
        """Say goodbye and let `mqtt.keep` return; None: go without a word."""
        self._farewell.set_result(presence)

    def changed(self) -> None:
        """An instance does something else now."""
        self._changed.set()

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
        self._publish(self._me.topics.segment(self._me.station), encode(segment))

    # What `mqtt.keep` calls.

    def will(self) -> Will:
        """`lost`, for the connection about to be made."""
        topic = self._me.topics.presence(self._me.station)
        return Will(topic, encode(self._presence(PresenceState.LOST, self._epoch + 1)))

    def received(self, message: Message) -> None:
        """Queue it: messages are handled one by one, after the handshake."""
        self._queue.put_nowait(message)

    def disconnected(self, why: str) -> None:
        """The agent does its work on; only nobody hears of it."""
        why += self._way.hint
        if why != self.trouble:  # said once, tried for as long as it takes
            log.warning("not connected: %s", why)
        self.trouble = why

    async def connected(self, link: Link) -> None:
        """Introduce the station, then talk until the agent ends."""
        self._way.let_in()
        self._epoch += 1
        self._queue = asyncio.Queue()  # what the last connection left is sent again
        topics, station = self._me.topics, self._me.station
        self._hears_stops = False
        try:
            await link.subscribe(Filter(topics.stops(station)))
            self._hears_stops = True
        except Refused as error:  # the manager says whom to ask, once it is asked for a stop
            log.warning("nothing can be stopped here by hand: %s", error)
        try:
            await link.subscribe(
                Filter(topics.config(station)),
                Filter(topics.station(station, "command", "+", "+", "+"), as_published=True),
            )
        except Refused as error:
            raise Disconnected(str(error)) from None
        with suppress(Refused):  # who may not hear this goes without
            await link.subscribe(*Overwritten.filters(topics, station))
        self._known = self._catalogue()
        self._introduced = None
        await self._introduce(link)
        async with self.configs.turn:
            self.link, self.trouble = link, None
            self._refused.clear()
            self._publish_ack(self.configs.ack())
            self._publish_status()
            self._publish_online()
        log.info("connected, as station %s", station)
        try:
            await self._talk()
        finally:
            self.link = None

    async def _talk(self) -> None:
        tasks = [
            self._guard.keep("the handling of messages", self._handle),
            self._guard.keep("the heartbeat", self._heartbeat),
            self._guard.keep("the saying again of what was overwritten", self._say_again),
            self._guard.keep("the sending of log lines", self._ship_lines),
            self._guard.keep("the sending of figures", self._ship_figures),
        ]
        try:
            presence = await asyncio.shield(self._farewell)
        finally:
            for task in tasks:  # nothing comes after the goodbye
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._say_goodbye(presence)

    async def _say_goodbye(self, presence: PresenceState | None) -> None:
        if self.link is None or presence is None:
            return
        self._ship()
        self._publish_status()
        topic = self._me.topics.presence(self._me.station)
        payload = encode(self._presence(presence, self._epoch))
        with suppress(Refused):  # told when it said `online`
            await self.link.publish(topic, payload, retain=True)

    # What comes in.

    async def _handle(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                await self._dispatch(message)
            except Exception:  # one message must not cost the connection
                log.exception("a message on %s could not be handled", message.topic)

    async def _dispatch(self, message: Message) -> None:
        address = self._me.topics.parse(message.topic)
        if self._closing:
            return
        if address is not None and address.kind == "config":
            await self.configs.received(message.payload, self._known)
        elif address is not None and address.kind == "stops":
            try:
                await self._stopping.received(message.payload)
            except Undecodable as error:
                self._ignore("stops", message, str(error))
            self._changed.set()
        elif address is not None and address.kind == "command":
            if not self._commands.received(address, message):
                self._ignore("command", message, "it is retained or has no correlation data")
        elif address is None or not self._overwritten.hear(address.kind, message):
            self._ignore("other", message, "no such topic is listened to")

    def _ignore(self, kind: str, message: Message, why: str) -> None:
        self._ignored.labels(kind).inc()
        log.warning("a message on %s is ignored: %s", message.topic, why)

    # What goes out.

    async def _heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time())
        while True:
            try:
                async with asyncio.timeout(self._me.interval):
                    await self._changed.wait()
                await asyncio.sleep(max(_GATHER, pace.wait(loop.time())))
            except TimeoutError:
                pass
            pace.spend(loop.time())
            self._publish_status()

    async def look_around(self) -> None:
        """Notice for ever what is new on this box; needs no broker."""
        while True:
            await self._supervisor.tidy(self._known.factories)
            await asyncio.sleep(LOOK_AROUND)
            await self.reload()

    async def look_for_devices(self) -> None:
        """Tell for ever of devices that come and go; needs no broker."""
        await self._devices.watch(self.tell_what_is_new)

    async def reload(self) -> Catalogue:
        """Notice what is new on this box now; what it can run."""
        async with self._looking:
            known = await asyncio.to_thread(self._catalogue)  # role files may take their time
            await asyncio.to_thread(self._devices.look)
            self._known = known
            await self.configs.recover(known)
            await self.tell_what_is_new()
        return known

    async def tell_what_is_new(self) -> None:
        """Say what this box is and can do, unless nothing is new."""
        with suppress(Disconnected):  # who talks hears of it too
            if self.link is not None:
                await self._introduce(self.link)

    async def _introduce(self, link: Link) -> None:
        """Publish the registration, unless nothing is new."""
        said = registration.registration(
            self._me.boot,
            self._known,
            self._devices.found,
            self._me.public_key,
            tuple(self._me.secrets.there()),
        )
        if said == self._introduced:
            return
        self._introduced = said
        payload, without = registration.payload(said)
        if without:
            roles = ", ".join(without)
            log.warning("the registration is too long: the schemas of %s are left out", roles)
        station = self._me.station
        try:
            await link.publish(self._me.topics.registration(station), payload, retain=True)
        except Refused as error:  # nobody would see the station: try again from the beginning
            raise Disconnected(f"{error}; may this user speak for station {station}?") from None

    async def _ship_lines(self) -> None:
        while True:
            await self._lines.wait()
            await asyncio.sleep(LOG_GAP)
            self._lines.clear()
            self._ship()

    def _ship(self) -> None:
        self._outbox.drop(self._supervisor.take_dropped())
        for payload in self._outbox.take():
            self._publish(self._me.topics.log(self._me.station), payload, qos=0)

    async def _ship_figures(self) -> None:
        while True:
            payload = gather(
                self._me.boot,
                _now(),
                self._supervisor.registries(),
                self._own,
                self._read,
                self._supervisor.working_for,
            )
            self._publish(self._me.topics.telemetry(self._me.station), payload, qos=0)
            await asyncio.sleep(self._me.interval)

    def _read(self, whose: Key | None, error: BaseException | None) -> None:
        text = None if error is None else describe(error)
        if whose is not None:
            self._supervisor.metrics_read(whose, text)
        elif self._own_unread != text:  # else every few seconds
            log.error("the station's own metrics cannot be read: %s", text)
            self._own_unread = text

    def _reply(self, caller: str, correlation: bytes, payload: bytes) -> None:
        self._ship()  # who asks for the last lines and listens on gets none twice, and all
        topic = self._me.topics.reply(self._me.station, caller)
        self._publish(topic, payload, correlation=correlation)

    def _publish_ack(self, ack: bytes) -> None:
        self._publish(self._me.topics.ack(self._me.station), ack, retain=True)

    def _publish_status(self) -> None:
        self._changed.clear()
        self._publish(self._me.topics.status(self._me.station), self.status(), retain=True)

    def _publish_online(self) -> None:
        online = encode(self._presence(PresenceState.ONLINE, self._epoch))
        self._publish(self._me.topics.presence(self._me.station), online, retain=True)

    async def _say_again(self) -> None:
        """Keep what the broker has of us what is so, whoever cleared or overwrote it."""
        while True:
            kinds = await self._overwritten.take()
            log.warning("somebody overwrote our %s: said again", ", ".join(sorted(kinds)))
            if "registration" in kinds and self.link is not None:
                self._introduced = None
                await self._introduce(self.link)
            if "ack" in kinds:
                async with self.configs.turn:
                    self._publish_ack(self.configs.ack())
            if "status" in kinds:
                self._publish_status()
            if "presence" in kinds:
                self._publish_online()
            await asyncio.sleep(AGAIN_GAP)

    def status(self) -> bytes:
        """What runs now, as it travels; messages are left out where it would be too long."""
        status = Status(
            self._me.boot,
            _now(),
            self.configs.memory.revision,
            self._supervisor.statuses(),
            self._stopping.stops if self._hears_stops else None,
        )
        payload = encode(status)
        if len(payload) <= MAX_PAYLOAD:
            return payload
        roles = {
            role: {name: evolve(one, message=None) for name, one in named.items()}
            for role, named in status.roles.items()
        }
        stops = status.stops and tuple(evolve(one, why=None) for one in status.stops)
        return encode(evolve(status, roles=roles, stops=stops))

    def _presence(self, state: PresenceState, epoch: int) -> Presence:
        return Presence(state, self._me.boot, epoch, _now(), self._me.interval)

    def _publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> None:
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
