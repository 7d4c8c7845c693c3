"""Keeps everybody converged: joins what is wanted with what was heard, and acts on it.

`convergence` says what a station needs and when; here it is done: pushed, adopted, or issued
again under a higher number. Whatever gets a new number is written to the store first.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final

from fleet.manager.rollouts.convergence import PACE, Convergence, Need, need
from fleet.manager.rollouts.revisions import issue, next_revision
from fleet.manager.stations.inventory import HeardStation, Inventory
from fleet.manager.store import BadStore, Issue
from fleet.manager.store.ledger import Ledger
from fleet.manager.store.signing import Signer
from fleet.model import Ack, Config, PresenceState, Registration, Result, counted
from fleet.mqtt import Disconnected, Link
from fleet.topics import Topics
from fleet.wire import Undecodable, decode

log = logging.getLogger(__name__)

_IN_FLIGHT: Final = 100
"""Configs that may be on their way to the broker at once."""


class Pusher:
    """Decides over one connection after another what goes out to whom.

    `hear_all` waits until what was said before was heard, over whichever connection; told True,
    also the configs that the broker keeps.
    """

    def __init__(
        self,
        topics: Topics,
        ledger: Ledger,
        inventory: Inventory,
        hear_all: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._ledger = ledger
        self._hear_all = hear_all
        self._hearing_kept = False
        self._kept_is_heard = False
        """Whether the configs were heard that the broker kept before this connection."""
        self._inventory = inventory
        self._convergence = Convergence()
        self._outbox = _Outbox(lambda station: ledger[station].payload, topics.config)
        self._withheld: set[str] = set()
        """Stations that have not got what is wanted because two boxes use the id."""
        self._asked = asyncio.Event()
        self._settled: set[str] = set()
        """Stations that were heard to agree with the store."""
        self._foreign: set[str] = set()
        """Stations that somebody else sent a config."""
        self._restored: dict[str, float] = {}
        """When what is wanted was last sent again because of others."""
        self._sent_to: dict[str, Registration | None] = {}
        """How each station described itself when it was last sent what is wanted."""
        self._readings = ledger.readings

    def begin(self) -> None:
        """A new connection is being made; nothing goes out until `connect`."""
        self._convergence.reset()
        self._kept_is_heard = False

    def connect(self, link: Link) -> None:
        """All that the broker kept has been read: push what is needed over `link`."""
        self._outbox.connect(link)
        for station, heard in self._inventory:
            self.consider(station, heard)

    def disconnect(self) -> None:
        """Nothing can go out any more."""
        self._outbox.disconnect()

    def consider(self, station: str, heard: HeardStation) -> None:
        """Look at a station whose presence has changed."""
        if station in self._withheld and not heard.conflict:
            self._withheld.discard(station)
            self._push([station])
        if heard.state is PresenceState.ONLINE:
            self._convergence.online(station, heard, self._needs(station), time.monotonic())

    def ack(self, station: str, ack: Ack, *, retained: bool) -> None:
        """Take note of an ack."""
        entry, needs = self._ledger[station], self._needs(station)
        if needs is Need.ADOPT_AHEAD:
            self._ledger.is_older(
                f": {entry.facts.name or station} runs revision {ack.in_force.revision}, the store "
                f"knows {entry.highest} at most"
            )
        elif needs in (Need.NOTHING, Need.PUSH):
            self._settled.add(station)
        if ack.result is Result.REJECTED and station in self._sent_to:
            heard = self._inventory.get(station)
            if self._sent_to[station] is None and heard is not None:
                self._sent_to[station] = heard.registration
        answers = needs in (Need.NOTHING, Need.PUSH) and 1 <= (ack.revision or 0) <= entry.highest
        if not retained or (answers and not entry.answered):
            self._ledger.note_ack(station, ack, answers=answers)
        if not retained:
            self._convergence.ack(station, needs, time.monotonic())
            if needs is not Need.NOTHING:
                self._asked.set()

    def foreign(self, station: str, payload: bytes) -> bool:
        """A config came that this connection has not sent; whether it is nobody's wish here.

        What is wanted is sent again, so that the broker keeps that; what the station has made of
        it, its ack says.
        """
        entry, now = self._ledger[station], time.monotonic()
        if not payload or payload == entry.payload:
            return False
        if self._hearing_kept and self._may_be_of_a_store(station, payload):
            return False
        if entry.payload is not None and now - self._restored.get(station, now - PACE) >= PACE:
            self._restored[station] = now
            self.changed([station])
        self._foreign.add(station)
        self._settled.add(station)
        return True

    def changed(self, stations: Iterable[str]) -> None:
        """Push what is newly wanted of `stations`, wherever one box uses the id."""
        now, free = time.monotonic(), []
        for station in stations:
            heard = self._inventory.get(station)
            if heard is None or not heard.conflict:
                free.append(station)
                self._sent(station, now)
            else:
                self._withheld.add(station)
        self._outbox.push(free)

    async def work(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self._readings != self._ledger.readings:  # something may be wanted that nobody pushed
            self._readings = self._ledger.readings
            for station, heard in self._inventory:
                self.consider(station, heard)
        push: list[str] = []
        renew: list[str] = []
        for station in self._convergence.due(now):
            needs = self._needs(station)
            if not self._convergence.act(station, self._inventory.presence(station), needs, now):
                continue
            (push if needs is Need.PUSH else renew).append(station)
        if push:
            self._push(push)
        if renew:
            await self._renew(renew)

    async def due_within(self, seconds: float) -> None:
        """Wait so long, or until an ack asks for something."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    def _needs(self, station: str) -> Need:
        entry = self._ledger[station]
        return need(
            self._inventory.get(station),
            entry.config,
            entry.highest,
            entry.answered or self._ledger.lags(station) or self._is_later(station),
            foreign=entry.retired or station in self._foreign or self._is_forged(station),
            settled=station in self._settled,
            again=self._has_changed(station),
        )

    def _is_forged(self, station: str) -> bool:
        """Whether no store has issued what a station runs, if it gives signatures back."""
        return self._ledger[station].signs and self._signer(station) is Signer.NOBODY

    def _is_later(self, station: str) -> bool:
        """Whether a later state of this store has issued what a station runs."""
        heard = self._inventory.get(station)
        ack = heard.ack if heard is not None else None
        ahead = ack is not None and ack.in_force.revision > self._ledger[station].highest
        return ahead and self._signer(station) is Signer.US

    def _signer(self, station: str) -> Signer | None:
        heard = self._inventory.get(station)
        if heard is None or heard.ack is None:
            return None
        runs = heard.ack.in_force
        return self._ledger.signing.signer(station, runs.revision, runs.roles, runs.signature)

    def _may_be_of_a_store(self, station: str, payload: bytes) -> bool:
        """Whether a config that the broker keeps may be an earlier or later one of this store, or
        of another. Stores did not always sign.
        """
        try:
            kept = decode(payload, Config)
        except Undecodable:
            return False
        by = self._ledger.signing.signer(station, kept.revision, kept.roles, kept.signature)
        wanted = self._ledger[station].config
        return by is not Signer.NOBODY or wanted is None or wanted.signature is None

    def _has_changed(self, station: str) -> bool:
        """Whether a station may judge otherwise what it was sent: it describes itself otherwise."""
        heard = self._inventory.get(station)
        if heard is None or heard.registration is None:
            return False
        if station not in self._sent_to:
            return True  # it was an earlier manager that sent it
        return self._sent_to[station] not in (None, heard.registration)

    def _sent(self, station: str, now: float) -> None:
        heard = self._inventory.get(station)
        self._sent_to[station] = heard.registration if heard else None
        self._convergence.pushed(station, now)

    def _push(self, stations: Sequence[str]) -> None:
        now = time.monotonic()
        for station in stations:
            self._sent(station, now)
        self._outbox.push(stations)

    async def _renew(self, stations: Sequence[str]) -> None:
        """Give each of `stations` a new revision: of what it runs, or of what is wanted."""
        await self._hear_others(stations)
        async with self._ledger.writing:
            renewed = [one for station in stations if (one := self._renewed(station))]
            try:
                await self._ledger.write(renewed)
            except BadStore as error:
                log.error("%s get no new revision: %s", counted(len(renewed), "station"), error)
                return
        self._push([one.station for one, _ in renewed])

    async def _hear_others(self, stations: Iterable[str]) -> None:
        """Hear whether somebody else sent `stations` what they run; it may have been while no
        manager was there.
        """
        ahead = any(self._needs(station) is Need.ADOPT_AHEAD for station in stations)
        self._hearing_kept = ahead and not self._kept_is_heard
        try:
            await self._hear_all(self._hearing_kept)
            self._kept_is_heard = self._kept_is_heard or self._hearing_kept
        finally:
            self._hearing_kept = False

    def _renewed(self, station: str) -> tuple[Issue, Config] | None:
        needs, entry, heard = (
            self._needs(station),
            self._ledger[station],
            self._inventory.get(station),
        )
        if heard is None or heard.ack is None:
            return None
        revision = next_revision(entry.highest, heard.ack)
        if revision is None:
            log.error("%s claims the highest revision there is: no config can reach it", station)
            return None
        at = datetime.now(UTC)
        in_force = heard.ack.in_force
        if needs in (Need.ADOPT, Need.ADOPT_AHEAD):
            if needs is Need.ADOPT_AHEAD:
                log.warning(
                    "%s runs revision %d, the store knows %d at most: was the store rolled back? "
                    "What runs is kept",
                    *(station, in_force.revision, entry.highest),
                )
            message = f"runs as revision {in_force.revision}"
            return issue(
                station,
                revision,
                in_force.roles,
                entry.facts,
                at=at,
                by="adopted",
                message=message,
                signing=self._ledger.signing,
            )
        if needs in (Need.REISSUE, Need.REISSUE_SAME) and entry.config is not None:
            message = f"revision {entry.config.revision} again, "
            message += "above the station's" if needs is Need.REISSUE else "it runs something else"
            by = entry.config.by or "manager"
            return issue(
                station,
                revision,
                entry.config.roles,
                entry.facts,
                at=at,
                by=by,
                message=message,
                signing=self._ledger.signing,
            )
        return None


class _Outbox:
    """Configs on their way to the broker: a bounded number at once, the newest of each station.

    What waits is a station, not a payload: when its turn comes it gets what is wanted then.

    `payload` gives what is wanted of a station, None where nothing is; `topic` where it goes.
    """

    def __init__(self, payload: Callable[[str], bytes | None], topic: Callable[[str], str]) -> None:
        self._payload = payload
        self._topic = topic
        self._link: Link | None = None
        self._queue: deque[str] = deque()
        self._waiting: set[str] = set()
        """What is in the queue, so that nobody stands in it twice."""
        self._in_flight = 0

    def connect(self, link: Link) -> None:
        """Publish over `link` from now on."""
        self._link, self._in_flight = link, 0

    def disconnect(self) -> None:
        """Forget what waits: whoever still needs it is found again after the next connect."""
        self._link = None
        self._queue.clear()
        self._waiting.clear()

    def push(self, stations: Iterable[str]) -> None:
        """Publish what is wanted of each of `stations`; without a link nothing waits."""
        if self._link is None:
            return
        for station in stations:
            if station not in self._waiting:
                self._waiting.add(station)
                self._queue.append(station)
        self._pump()

    def _pump(self) -> None:
        link = self._link
        while link is not None and self._queue and self._in_flight < _IN_FLIGHT:
            station = self._queue.popleft()
            self._waiting.discard(station)
            payload = self._payload(station)
            self._in_flight += 1
            kept = payload or b""  # nothing, where nothing is wanted
            sent = asyncio.ensure_future(link.publish(self._topic(station), kept, retain=True))
            sent.add_done_callback(partial(self._sent, link))

    def _sent(self, link: Link, done: asyncio.Future[int]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, Disconnected):
            log.error("a config could not be published: %s", error)
        if link is self._link:
            self._in_flight -= 1
            self._pump()
