"""Routes messages: what stations say to `hearing`, what operators ask to `requests`.

At each connect it subscribes (at QoS 0: a broker with default limits drops most of 5,000
retained messages at QoS 1), publishes its own presence and waits to hear it back: by then
everything the broker kept has been read, and only then is anything pushed.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from fleet.manager.access.broker import ANSWERS, BrokerAccounts
from fleet.manager.access.joining import Joining
from fleet.manager.asking import StationAsker
from fleet.manager.hearing import SAID, Hearing
from fleet.manager.mixers import Mixers
from fleet.manager.notifications.keeper import Notifications
from fleet.manager.operations.desk import Desk
from fleet.manager.people.keeper import People
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.report import FleetReport
from fleet.manager.requests import OperatorRequests
from fleet.manager.rollouts.engine import Rollouts
from fleet.manager.rollouts.pusher import Pusher
from fleet.manager.settings import ManagerSettings
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.stopping import StopPusher
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.metrics import Counts
from fleet.model import INTERVAL, CommandFailed, Presence, PresenceState, counted
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused, Will
from fleet.topics import Address, Topics
from fleet.wire import Undecodable, decode, encode

log = logging.getLogger(__name__)

_KEPT: Final = ("config", "stops", "ack", "status", "registration", "presence")
"""What the broker keeps of a station."""
_CATCH_UP: Final = 30.0
"""Seconds to read all that the broker kept."""
_TICK: Final = 0.25
_STOPS_END: Final = 1.0
"""Seconds within which a stop that is over is told to be."""
_AGAIN: Final = 1.0
"""Seconds between two times at least that an overwritten presence is said again."""
_AFTER_HELD: Final = 1.0
"""Seconds after the loop was held in which what is read may have waited for all that time."""
_ECHO: Final = 1.0
"""Seconds that a request waits at most for what was said before it."""
_UNTIMED: Final = 30.0
"""Seconds a request lives that says nothing of it."""


class ManagerSession:
    """One manager, over all its connections."""

    def __init__(
        self,
        topics: Topics,
        ledger: Ledger,
        inventory: Inventory,
        figures: Figures,
        thumbnails: Thumbnails,
        counts: Counts,
        report: FleetReport,
        people: People,
        notifications: Notifications,
        accounts: BrokerAccounts | None,
        settings: ManagerSettings,
    ) -> None:
        """`accounts`: the broker's, None where somebody edits them there."""
        self.boot = secrets.token_hex(8)
        self.displaced = False
        """Whether a manager that began later took over."""
        began = datetime.now(UTC)
        self._began = began.replace(microsecond=began.microsecond // 1000 * 1000)  # as it travels
        self._epoch = 0
        self._topics = topics
        self._parse = lru_cache(maxsize=2**17)(topics.parse)
        self._ledger = ledger
        self._inventory = inventory
        self._counts = counts
        self._accounts = accounts
        self._pusher = Pusher(topics, ledger, inventory, self._hear_all)
        self._hearing = Hearing(
            ledger,
            inventory,
            figures,
            thumbnails,
            counts,
            self._pusher,
            report.measured,
            self._forget,
        )
        self._rollouts = Rollouts(
            ledger, inventory, self._pusher.changed, lambda: self._pusher.behind
        )
        self.asker = StationAsker(topics, self.boot)
        self.recordings = Recordings(ledger, inventory, self.asker)
        self.mixers = Mixers(ledger, inventory, self.asker)
        self._stops = StopPusher(topics, ledger, inventory)
        self.joining = (
            Joining(topics, ledger, accounts, self.asker, self._is_online, settings)
            if accounts
            else None
        )
        self._requests = OperatorRequests(
            Desk(
                ledger,
                inventory,
                report,
                self._rollouts,
                self._pusher.changed,
                self._clear,
                self.boot,
                self.asker,
                self.recordings,
                people,
                self.mixers,
                notifications,
                self._stops.changed,
                self.joining,
            )
        )
        name = f"manager-{self.boot[:8]}"
        self._echo = {
            topics.manager("reply", name): False,
            topics.manager("reply", f"{name}-bare"): True,
        }
        """Where a word of our own comes back, and whether on the bare connection."""
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._awake = time.monotonic()
        self._held, self._held_until = 0.0, 0.0
        self._waking: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._said_again = 0.0
        self._caught_up = asyncio.Event()
        self._working = asyncio.Event()
        """Whether what is needed may go out."""
        self._ended = asyncio.Event()
        self._why: str | None = "not tried yet"

    @property
    def ailing(self) -> str | None:
        """Why nobody can be heard, None where they can."""
        if self._caught_up.is_set():
            return None
        return f"not connected to the broker: {self._why or 'reading what it kept'}"

    def stop(self) -> None:
        """Say goodbye and end."""
        self._ended.set()

    def will(self) -> Will:
        """What the broker says of us when the connection dies."""
        self._epoch += 1
        return Will(self._topics.manager("presence"), self._presence(PresenceState.LOST))

    async def connected(self, link: Link) -> None:
        """Catch up, then let `push` and `roll` do their work until told to stop."""
        self._link, self._why = link, None
        if self._waking is None:
            self._awake = time.monotonic()
            self._stay_awake()
        self._pusher.begin()
        self._inventory.broker_back(time.monotonic())
        topics = self._topics
        await link.subscribe(
            *(Filter(topics.station("+", kind), qos=0, bare=True) for kind in SAID),
            Filter(topics.thumbnail("+", "+", "+"), qos=0, bare=True),
            *self.asker.filters,
            *(Filter(topic, bare=bare) for topic, bare in self._echo.items()),
            Filter(topics.station("+", "segment"), bare=True),
            Filter(topics.manager("presence"), bare=True),
            Filter(topics.manager("request", "+", "+"), as_published=True),
            Filter(topics.config("+"), qos=0, as_published=True, live=True, foreign=True),
            *(self._accounts.filters if self._accounts else ()),
            Filter(topics.stops("+"), qos=0, as_published=True, live=True, foreign=True),
            *(self.joining.filters if self.joining else ()),
        )
        await self._say(link, PresenceState.ONLINE)
        await self._catch_up()
        log.info("connected; %s heard of", counted(len(self._inventory.stations), "station"))
        for station in list(self._inventory.stations):
            if self._ledger[station].retired and not self._is_online(station):
                with suppress(CommandFailed):
                    await self._clear(station)
        self._pusher.connect(link)
        self.asker.connect(link)
        if self._accounts is not None:
            self._accounts.connect(link)
        self._stops.connect(link)
        if self.joining is not None:
            self.joining.connect(link)
        self._rollouts.connected()
        self._working.set()
        await self._ended.wait()
        self._working.clear()
        self._pusher.disconnect()
        if not self.displaced:
            await self._say(link, PresenceState.OFFLINE)

    async def watch(self) -> None:
        """Conclude for ever what silence says."""
        while True:
            self._hearing.tick()
            await asyncio.sleep(_TICK)

    async def push(self) -> None:
        """Keep everybody converged for ever, whenever there is a broker."""
        while True:
            await self._working.wait()
            await self._pusher.work()
            await self._pusher.due_within(_TICK)

    async def stop_by_hand(self) -> None:
        """Tell stations for ever what is stopped on them, whenever there is a broker."""
        while True:
            await self._working.wait()
            await self._stops.work()
            await self._stops.due_within(_STOPS_END)

    async def roll(self) -> None:
        """Take rollouts on for ever, whenever there is a broker."""
        while True:
            await self._working.wait()
            await self._rollouts.work()
            await asyncio.sleep(_TICK)

    def disconnected(self, why: str) -> None:
        """Nobody can be heard any more."""
        if why != self._why:
            log.warning("no connection to the broker: %s", why)
        self._why, self._link = why, None
        self._caught_up.clear()
        self._working.clear()
        self._pusher.disconnect()
        self.asker.disconnect()
        if self._accounts is not None:
            self._accounts.disconnect()
        self._stops.disconnect()
        if self.joining is not None:
            self.joining.disconnect()
        self._inventory.broker_gone()

    def received(self, message: Message) -> None:
        """A message came in."""
        if self._accounts is not None and message.topic == ANSWERS:
            self._accounts.received(message)
            return
        address = self._parse(message.topic)
        if address is None:
            kind = message.topic.split("/")[-1]
            known = kind if kind in SAID else "request"
            self._hearing.ignore(known, message, "not a valid topic")
        elif address.station is not None and address.kind == "thumbnail":
            self._hearing.pictured(address.station, address.rest, message)
        elif address.station is not None and address.kind == "reply":
            self.asker.received(address.station, address.rest[0], message.payload)
        elif address.station is not None and address.kind == "config":
            self._hearing.sent(address.station, message)
            if message.retain and not message.payload:
                self._hear_cleared(address.station)
        elif address.station is not None and address.kind == "stops":
            if message.retain:
                self._stops.overwritten(address.station)
        elif address.station is not None and address.kind == "segment":
            found = self._hearing.recorded(address.station, message)
            if found is not None:
                self.recordings.heard(address.station, found)
        elif address.station is not None:
            self._hearing.said(address.station, address.kind, message)
            self.asker.heard(address.station)
        elif address.kind.startswith("join-"):
            if self.joining is not None:
                self.joining.received(address, message)
        elif address.kind == "presence":
            self._hear_manager(message)
        elif address.kind == "reply":
            echo = self._echoes.get(message.payload)
            if echo is not None and not echo.done():
                echo.set_result(None)
        else:
            self._counts.messages["request"] += 1
            if message.retain or message.correlation is None:
                why = "a request must not be retained and needs correlation data"
                self._hearing.ignore("request", message, why)
            else:
                self._do(
                    self._answer(
                        address, message.payload, message.correlation, self._deadline(message)
                    )
                )

    def _presence(self, state: PresenceState) -> bytes:
        return encode(Presence(state, self.boot, self._epoch, self._began, INTERVAL))

    async def _say(self, link: Link, state: PresenceState) -> None:
        topic = self._topics.manager("presence")
        await link.publish(topic, self._presence(state), retain=True)

    def _is_online(self, station: str) -> bool:
        return self._inventory.presence(station) is PresenceState.ONLINE

    async def _clear(self, station: str) -> None:
        """Make the broker and ourselves forget a station.

        Raises:
            CommandFailed: the broker is gone, or does not let us.
        """
        self._hearing.forget(station)
        link = self._link
        if link is None:
            return  # the next connect sees to it
        try:
            for kind in _KEPT:
                await link.publish(self._topics.station(station, kind), b"", retain=True)
        except (Disconnected, Refused) as error:
            raise CommandFailed(
                f"{station} is retired, but the broker keeps what it said ({error}); once the "
                "manager may write there (operators.acl), its next start clears it"
            ) from None

    def _forget(self, topic: str) -> None:
        """Have the broker keep nothing there."""
        if self._link is not None:
            self._do(_published(self._link.publish(topic, b"", retain=True)))

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(_CATCH_UP):
                await self._caught_up.wait()
        except TimeoutError:
            raise Refused(
                self._topics.manager("presence"), "our own presence does not come back to us"
            ) from None

    def _hear_manager(self, message: Message) -> None:
        self._counts.messages["manager_presence"] += 1
        if message.retain:
            return
        if not message.payload:
            self._say_again()
            return
        try:
            said = decode(message.payload, Presence)
        except Undecodable as error:
            self._hearing.ignore("manager_presence", message, str(error))
            self._say_again()
            return
        if said.state is not PresenceState.ONLINE:
            self._say_again()
            return
        if said.boot == self.boot:
            if said.epoch == self._epoch:
                self._caught_up.set()
        elif (said.at, said.boot) > (self._began, self.boot):
            log.error(
                "a manager that began later (boot %s) is here: leaving the stations to it",
                said.boot,
            )
            self.displaced = True
            self._working.clear()
            self._pusher.disconnect()
            self._caught_up.set()
            self.stop()
        elif self._link is not None:
            log.warning(
                "a manager that began earlier (boot %s) is here: it has to leave", said.boot
            )
            self._say_again()

    def _say_again(self) -> None:
        """Somebody says we are not here: say that we are, at once and at most once a second."""
        if self._again is not None or not self._caught_up.is_set():
            return
        loop = asyncio.get_running_loop()
        wait = max(0.0, self._said_again + _AGAIN - loop.time())

        def say() -> None:
            self._again, self._said_again = None, loop.time()
            if self._link is not None and not self._ended.is_set():
                self._do(self._say(self._link, PresenceState.ONLINE))

        self._again = loop.call_later(wait, say)

    def _hear_cleared(self, station: str) -> None:
        """Somebody cleared what we want of a station; what is written instead, its ack tells."""
        if self._ledger[station].config is not None and not self.displaced:
            log.warning("somebody cleared the config of %s: sending it again", station)
            self._pusher.changed([station])

    def _deadline(self, message: Message) -> float:
        """When a request expires, by our clock; one that waited while we were held is older."""
        now = time.monotonic()
        left = _UNTIMED if message.expiry is None else message.expiry
        held = self._held if now < self._held_until else 0.0
        return now + left - max(held, now - self._awake - _TICK, 0.0)

    def _stay_awake(self) -> None:
        """Note again and again that the loop turns, and for how long it did not."""
        now = time.monotonic()
        held = now - self._awake - _TICK
        if held > _TICK:
            # What came meanwhile may be read a little later than this is noted.
            self._held, self._held_until = held, now + _AFTER_HELD
        self._awake = now
        self._waking = asyncio.get_running_loop().call_later(_TICK, self._stay_awake)

    async def _answer(
        self, address: Address, payload: bytes, correlation: bytes, deadline: float
    ) -> None:
        caller, operation = address.rest
        await self._caught_up.wait()
        reply = await self.answer(caller, operation, payload, deadline)
        if self._link is not None:
            topic = self._topics.manager("reply", caller)
            await self._link.publish(topic, reply, correlation=correlation)

    async def answer(self, caller: str, operation: str, payload: bytes, deadline: float) -> bytes:
        """The reply to what somebody asks, in view of all that was said before. Never raises."""
        await self._hear_all()
        return await self._requests.answer(caller, operation, payload, deadline)

    async def _hear_all(self) -> None:
        """Hear what was said before now: stations come over another connection than requests.

        A word of our own goes through the broker, and comes back on each behind what was said.
        """
        link, loop = self._link, asyncio.get_running_loop()
        if link is None:
            return
        echoes = [secrets.token_bytes(8) for _ in self._echo]
        self._echoes |= {echo: loop.create_future() for echo in echoes}
        waiting = [self._echoes[echo] for echo in echoes]
        try:
            async with asyncio.timeout(_ECHO):
                for topic, echo in zip(self._echo, echoes, strict=True):
                    await link.publish(topic, echo)
                await asyncio.gather(*waiting)
        except (TimeoutError, Disconnected, Refused):
            pass  # late is better than never
        finally:
            for echo in echoes:
                del self._echoes[echo]

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Disconnected:
            pass  # whoever asked asks again
        except Refused as error:
            log.error("%s", error)
        except Exception:
            log.exception("what a message asked for could not be done")


async def _published(done: Awaitable[int]) -> None:
    await done
