"""Routes messages between the broker and the parts of the agent, and decides nothing itself.

On each connection: subscribe, then registration, ack, status, and presence `online` last, so
that online means reachable. Then what comes in is handled one by one, and status goes out on change
and as a heartbeat, beside what `outgoing` sends.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from attrs import evolve
from prometheus_client import CollectorRegistry, Counter

from fleet.agent.abilities import Abilities
from fleet.agent.box.devices import CaptureDevices
from fleet.agent.called import CallKeeper
from fleet.agent.commands import Commands
from fleet.agent.config.catalogue import Catalogue
from fleet.agent.config.received import Configs
from fleet.agent.config.store import StateDirectory
from fleet.agent.credential import WayIn
from fleet.agent.engine.supervisor import Supervisor
from fleet.agent.outgoing import Identity, Outgoing
from fleet.agent.overwritten import Overwritten
from fleet.agent.stopping import StopKeeper
from fleet.guard import Guard
from fleet.host import Command
from fleet.model import MAX_PAYLOAD, Presence, PresenceState, Status
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused, Will
from fleet.notify import Complaints
from fleet.wire import Undecodable, encode

log = logging.getLogger(__name__)

STATUS_GAP: Final = 1.0
"""Seconds between two statuses in the mean, while something changes again and again."""
STATUS_BURST: Final = 5
"""Statuses that may go out at once when little was to be said before."""
_GATHER: Final = 0.01
"""Seconds in which what changes together is one status."""
AGAIN_GAP: Final = 1.0
"""Seconds between two times at least that what somebody overwrote is said again."""


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
        self._guard = guard
        self.called = CallKeeper(store, self.changed)
        self._commands = Commands(
            supervisor.command, commands, self._reply, self.called.note, identity.secrets.hidden
        )
        self.trouble: str | None = "not tried yet"
        """Why there is no broker."""
        self.outgoing = Outgoing(identity, supervisor, own)
        self.configs = Configs(
            *(identity.boot, identity.name, store, supervisor),
            answer=self._publish_ack,
            bound=identity.secrets.bound,
        )
        self._stopping = StopKeeper(store, supervisor.keep_stopped)
        self.abilities = Abilities(
            identity, supervisor, catalogue, devices, self.configs.recover, self.outgoing
        )
        self._hears_stops = False
        self._epoch = 0
        self._queue: asyncio.Queue[Message] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._overwritten = Overwritten(identity.boot)
        self._closing = False
        self._farewell: asyncio.Future[PresenceState | None] = asyncio.Future()
        self._complaints = Complaints(log)
        self._ignored = Counter(
            "fleet_agent_messages_ignored", "Messages not acted on.", ["kind"], registry=own
        )

    async def begin(self) -> None:
        """Run what was saved; needs no broker."""
        self._stopping.begin()
        self.called.begin()
        await self.configs.begin(self.abilities.known)

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
        """An instance does something else now, or was told to."""
        self._changed.set()

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
        await self.abilities.introduce(link)
        async with self.configs.turn:
            self.outgoing.connect(link)
            self.trouble = None
            self._publish_ack(self.configs.ack())
            self._publish_status()
            self._publish_online()
        log.info("connected, as station %s", station)
        try:
            await self._talk()
        finally:
            self.outgoing.disconnect()

    async def _talk(self) -> None:
        tasks = [
            self._guard.keep("the handling of messages", self._handle),
            self._guard.keep("the heartbeat", self._heartbeat),
            self._guard.keep("the saying again of what was overwritten", self._say_again),
            self._guard.keep("the sending of log lines", self.outgoing.send_lines),
            self._guard.keep("the sending of figures", self.outgoing.send_figures),
        ]
        try:
            presence = await asyncio.shield(self._farewell)
        finally:
            for task in tasks:  # nothing comes after the goodbye
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._say_goodbye(presence)

    async def _say_goodbye(self, presence: PresenceState | None) -> None:
        link = self.outgoing.link
        if link is None or presence is None:
            return
        self.outgoing.ship()
        self._publish_status()
        topic = self._me.topics.presence(self._me.station)
        payload = encode(self._presence(presence, self._epoch))
        with suppress(Refused):  # told when it said `online`
            await link.publish(topic, payload, retain=True)

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
            await self.configs.received(message.payload, self.abilities.known)
        elif address is not None and address.kind == "stops":
            try:
                await self._stopping.received(message.payload)
            except Undecodable as error:
                self._ignore("stops", message, str(error))
            self._changed.set()
        elif address is not None and address.kind == "command":
            if not self._commands.received(address, message):
                self._ignore(
                    "command",
                    message,
                    "it is retained, has no correlation data or too much, or too many wait",
                )
        elif address is None or not self._overwritten.hear(address.kind, message):
            self._ignore("other", message, "no such topic is listened to")

    def _ignore(self, kind: str, message: Message, why: str) -> None:
        self._ignored.labels(kind).inc()
        self._complaints.say("a message on %s is ignored: %s", message.topic, why)

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

    def _reply(self, caller: str, correlation: bytes, payload: bytes) -> None:
        self.outgoing.ship()  # who asks for the last lines and listens on gets none twice, and all
        topic = self._me.topics.reply(self._me.station, caller)
        self.outgoing.publish(topic, payload, correlation=correlation)

    def _publish_ack(self, ack: bytes) -> None:
        self.outgoing.publish(self._me.topics.ack(self._me.station), ack, retain=True)

    def _publish_status(self) -> None:
        self._changed.clear()
        self.outgoing.publish(self._me.topics.status(self._me.station), self.status(), retain=True)

    def _publish_online(self) -> None:
        online = encode(self._presence(PresenceState.ONLINE, self._epoch))
        self.outgoing.publish(self._me.topics.presence(self._me.station), online, retain=True)

    async def _say_again(self) -> None:
        """Keep what the broker has of us what is so, whoever cleared or overwrote it."""
        while True:
            kinds = await self._overwritten.take()
            log.warning("somebody overwrote our %s: said again", ", ".join(sorted(kinds)))
            link = self.outgoing.link
            if "registration" in kinds and link is not None:
                await self.abilities.say_again(link)
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
            self.called.calls,
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


def _now() -> datetime:
    return datetime.now(UTC)
