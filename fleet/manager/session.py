"""Routes messages: what stations say to `hearing`, what operators ask to `answering`.

At each connect it subscribes (at QoS 0: a broker with default limits drops most of 5,000
retained messages at QoS 1) and waits to hear its own `presence` back: by then everything the broker
kept has been read, and only then is anything pushed.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from attrs import evolve

from fleet.manager.access.broker import ANSWERS, BrokerAccounts
from fleet.manager.access.joining import Joining
from fleet.manager.answering import Answering
from fleet.manager.asking import StationAsker
from fleet.manager.echo import Echo
from fleet.manager.hearing import SAID, Hearing
from fleet.manager.mixers import Mixers
from fleet.manager.newest import NewestStore
from fleet.manager.notifications.keeper import Notifications
from fleet.manager.operations.desk import Desk
from fleet.manager.people.keeper import People
from fleet.manager.presence import OwnPresence
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.report import FleetReport
from fleet.manager.requests import OperatorRequests
from fleet.manager.retained import RetainedMessages, may_be_kept
from fleet.manager.rollouts.engine import Rollouts
from fleet.manager.rollouts.pusher import Pusher
from fleet.manager.settings import ManagerSettings
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.telemetry import Figures
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.stopping import StopPusher
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.metrics import Counts
from fleet.model import CommandFailed, PresenceState, counted
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused, Will
from fleet.topics import Topics
from fleet.wire import Undecodable

log = logging.getLogger(__name__)

_TICK: Final = 0.25
_TOPICS: Final = 2**13
_REMEMBERED_TOPIC: Final = 128
"""Topics that are remembered taken apart, and their characters at most: strangers choose them."""
_SWEEP: Final = 5.0
"""Seconds between two looks at what the broker keeps though nobody may have it kept: what a
subscription says anew. Names that anybody chooses in a topic would else fill its memory."""
_STOPS_END: Final = 1.0
"""Seconds within which a stop that is over is told to be."""


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
        self._presence = OwnPresence(topics.manager("presence"), self._do, self._displace)
        self._newest = NewestStore(topics, ledger)
        self._echo = Echo(topics, self._presence.boot)
        self._topics = topics
        self._parse = lru_cache(maxsize=_TOPICS)(topics.parse)
        self._ledger = ledger
        self._inventory = inventory
        self._counts = counts
        self._accounts = accounts
        self._configs = Filter(
            topics.config("+"), qos=0, as_published=True, live=True, foreign=True
        )
        self._pusher = Pusher(topics, ledger, inventory, self._hear_all)
        self._retained = RetainedMessages(topics, self._do)
        self._hearing = Hearing(
            ledger,
            inventory,
            figures,
            thumbnails,
            counts,
            self._pusher,
            report.measured,
            self._retained.forget,
        )
        self._rollouts = Rollouts(ledger, inventory, self._pusher.changed)
        self.asker = StationAsker(topics, self._presence.boot)
        self.recordings = Recordings(ledger, inventory, self.asker)
        self.mixers = Mixers(ledger, inventory, self.asker)
        self._stops = StopPusher(topics, ledger, inventory)
        self.joining = (
            Joining(topics, ledger, accounts, self.asker, self._is_online, settings)
            if accounts
            else None
        )
        requests = OperatorRequests(
            Desk(
                ledger,
                inventory,
                report,
                self._rollouts,
                self._pusher.changed,
                self._clear,
                self._presence.boot,
                self.asker,
                self.recordings,
                people,
                self.mixers,
                notifications,
                self._stops.changed,
                self.joining,
            )
        )
        self.answering = Answering(
            topics, requests, self._echo.hear_stations, self._presence.caught_up, self._do
        )
        self._unkept = (
            Filter(topics.thumbnail("+", "+", "+"), qos=0, bare=True),
            Filter(topics.station("+", "segment"), bare=True),
            *self.asker.filters,
            *(self.joining.filters if self.joining else ()),
        )
        """What is heard of which the broker shall keep nothing."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._link: Link | None = None
        self._kept = 0
        """Messages that came in because the broker had kept them."""
        self._working = asyncio.Event()
        """Whether what is needed may go out."""
        self._ended = asyncio.Event()
        self._why: str | None = "not tried yet"

    @property
    def displaced(self) -> bool:
        """Whether a manager that began later took over."""
        return self._presence.displaced

    @property
    def ailing(self) -> str | None:
        """Why nobody can be heard, None where they can."""
        if self._presence.caught_up.is_set():
            return None
        return f"not connected to the broker: {self._why or 'reading what it kept'}"

    def stop(self) -> None:
        """Say goodbye and end."""
        self._presence.leave()
        self._ended.set()

    def will(self) -> Will:
        """What the broker says of us when the connection dies."""
        return self._presence.will()

    async def connected(self, link: Link) -> None:
        """Catch up, then let `push` and `roll` do their work until told to stop."""
        self._link, self._why = link, None
        self._echo.connect(link)
        self._retained.connect(link)
        self.answering.connect(link)
        self._pusher.begin()
        self._inventory.broker_back(time.monotonic())
        topics = self._topics
        await link.subscribe(
            *(Filter(topics.station("+", kind), qos=0, bare=True) for kind in SAID),
            *self._unkept,
            *self._echo.filters,
            Filter(topics.manager("presence"), bare=True),
            Filter(topics.manager("store"), bare=True),
            Filter(topics.manager("request", "+", "+"), as_published=True, foreign=True),
            self._configs,
            *(self._accounts.filters if self._accounts else ()),
            Filter(topics.stops("+"), qos=0, as_published=True, live=True, foreign=True),
        )
        await self._presence.catch_up(link, lambda: self._kept)
        log.info("connected; %s heard of", counted(len(self._inventory.stations), "station"))
        await self._newest.connect(link)
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
        await self._newest.tell()
        await self._presence.say_goodbye()

    async def watch(self) -> None:
        """Conclude for ever what silence says."""
        while True:
            self._hearing.tick()
            await asyncio.sleep(_TICK)

    async def sweep(self) -> None:
        """Have the broker forget for ever what it shall not keep, whenever there is one."""
        while True:
            await self._working.wait()
            await asyncio.sleep(_SWEEP)
            if self._link is not None:
                with suppress(Disconnected, Refused):
                    await self._link.subscribe(*self._unkept)

    async def push(self) -> None:
        """Keep everybody converged for ever, whenever there is a broker."""
        while True:
            await self._working.wait()
            await self._newest.tell()
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
        self._presence.disconnect()
        self._newest.disconnect()
        self._echo.disconnect()
        self._retained.disconnect()
        self.answering.disconnect()
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
        self._kept += message.retain
        if self._accounts is not None and message.topic == ANSWERS:
            self._accounts.received(message)
            return
        topic = message.topic
        short = len(topic) <= _REMEMBERED_TOPIC
        address = self._parse(topic) if short else self._topics.parse(topic)
        if message.retain and message.payload and not may_be_kept(address):
            self._retained.forget(topic)
        if address is None:
            kind = message.topic.split("/")[-1]
            known = kind if kind in SAID else "request"
            if message.payload:
                self._hearing.ignore(known, message, "not a valid topic")
        elif address.station is not None and address.kind == "thumbnail":
            self._hearing.pictured(address.station, address.rest, message)
        elif address.station is not None and address.kind == "reply":
            if message.payload and not message.retain:
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
                self.recordings.gathering.heard(address.station, found)
        elif address.station is not None:
            self._hearing.said(address.station, address.kind, message)
            self.asker.heard(address.station)
        elif address.kind.startswith("join-"):
            if self.joining is not None and message.payload and not message.retain:
                self.joining.received(address, message)
        elif address.kind == "presence":
            self._hear_manager(message, self._presence.heard)
        elif address.kind == "store":
            self._hear_manager(message, self._newest.heard)
        elif address.kind == "reply":
            self._echo.received(message.payload)
        else:
            self._counts.messages["request"] += 1
            if (why := self.answering.asked(address, message)) is not None:
                self._hearing.ignore("request", message, why)

    def _is_online(self, station: str) -> bool:
        return self._inventory.presence(station) is PresenceState.ONLINE

    async def _clear(self, station: str) -> None:
        """Make the broker and ourselves forget a station.

        Raises:
            CommandFailed: the connection ended, or the broker does not let us.
        """
        self._hearing.forget(station)
        await self._retained.forget_station(station)

    def _hear_manager(self, message: Message, heard: Callable[[Message], None]) -> None:
        self._counts.messages["manager_presence"] += 1
        try:
            heard(message)
        except Undecodable as error:
            self._hearing.ignore("manager_presence", message, str(error))

    async def _hear_all(self, kept: bool) -> None:
        """Hear what was said before now; `kept`: also each config that the broker keeps."""
        link = self._link
        if kept and link is not None:
            with suppress(Disconnected, Refused):  # what is kept is found the next time
                await link.subscribe(evolve(self._configs, live=False))
        await self._echo.hear_all()

    def _displace(self) -> None:
        """Leave the stations to a manager that began later."""
        self._working.clear()
        self._pusher.disconnect()
        self.stop()

    def _hear_cleared(self, station: str) -> None:
        """Somebody cleared what we want of a station; what is written instead, its ack tells."""
        if self._ledger[station].config is not None and not self.displaced:
            log.warning("somebody cleared the config of %s: sending it again", station)
            self._pusher.changed([station])

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
