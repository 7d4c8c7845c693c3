"""What is wanted of every station, in memory and in step with the store.

Reading costs nothing and changing waits for the store: memory follows only after the commit,
so whatever is published survives a crash. A store that is locked, full or hung makes a change
fail, and nobody wait without end; history is remembered meanwhile, and written when it is back.
Who is let in, boxes and people, is kept likewise by `let_in`.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, ParamSpec, Self, TypeVar

from attrs import define

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.manager.conference.wanted import ConferenceFile, Facts
from fleet.manager.rollouts.model import Phase, Rollout
from fleet.manager.stations.stops import Stops
from fleet.manager.store import (
    AppliedFile,
    BadStore,
    Deed,
    Issue,
    Known,
    LastUse,
    ManagerStore,
    PublishedSchedule,
    Writing,
)
from fleet.manager.store.keeper import StoreKeeper, readable
from fleet.manager.store.let_in import LetIn
from fleet.manager.store.past import FleetHistory
from fleet.manager.store.signing import Signing
from fleet.model import Ack, Config, PresenceState, StopByHand
from fleet.schedule import BadSchedule, Schedule
from fleet.schedule.reading import read
from fleet.wire import Undecodable, decode

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_NOWHERE: Final = Facts()
_NOBODY: Final[Mapping[str, str | None]] = {}


@define
class Entry:
    """One station. `config` and `payload` are what is wanted, None where nothing is."""

    facts: Facts = _NOWHERE
    retired: bool = False
    highest: int = 0
    """The highest revision ever given to it."""
    config: Config | None = None
    payload: bytes | None = None
    answered: bool = False
    """Whether it has ever acked a revision of this store."""
    replaced_by: str | None = None
    """The box that takes its name over once it has accepted."""
    heard: bool = False
    """Whether it was ever heard, by an earlier manager too."""
    signs: bool = False
    """Whether it has ever given back the signature of a config."""


_UNKNOWN: Final = Entry()


class Ledger:
    """What is wanted; `write` first to the store, then here. Empty until the store is opened."""

    def __init__(self) -> None:
        self.keeper = StoreKeeper(self._read)
        self._entries: dict[str, Entry] = {}
        self.writing = asyncio.Lock()
        """Held from reading what is wanted to writing what follows from it."""
        self.rooms = Rooms()
        self.stops = Stops()
        self.acted = -math.inf
        """Monotonic seconds when somebody did something by hand last."""
        self.on_act: list[Callable[[], None]] = []
        """Each is called then."""
        self.rollout: Rollout | None = None
        """The last rollout."""
        self.let_in = LetIn(self.keeper)
        self.replacing: set[str] = set()
        """Stations whose name another box takes over."""
        self.published: PublishedSchedule | None = None
        """The last good schedule, which `rooms` goes by."""
        self.learned = asyncio.Event()
        """Set whenever a conference file was applied or read."""
        self.history = FleetHistory(self.keeper)
        self.readings = 0
        """How often everything was read from the store."""
        self.last_use = LastUse(None, newer=False)
        self.signing = Signing.by("")
        """How what is wanted is signed."""
        self._put_back: dict[str, int] = {}
        """Highest revisions as an older copy of the store has them."""
        self.older: str | None = None
        """Why the store must be an older copy, until a file is applied."""
        self.older_since: datetime | None = None

    @classmethod
    async def open(cls, make: Callable[[], ManagerStore]) -> Self:
        """A ledger whose store is open.

        Raises:
            BadStore: it cannot be used.
        """
        ledger = cls()
        try:
            await ledger.begin(make)
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def begin(self, make: Callable[[], ManagerStore]) -> None:
        """Open the store with `make` and read it.

        Raises:
            BadStore: it cannot be used; a `StoreAway` if only for now.
        """
        self.last_use = await self.keeper.open(make)
        if self.last_use.newer:
            self._lags()

    @property
    def written(self) -> int:
        """How often what is wanted was changed in the store. Raises `StoreAway` where it is not
        open.
        """
        return self.keeper.opened.written or 0

    async def compare(self, written: int) -> None:
        """Know the store for an older copy where somebody knows that it was written more often."""
        if written > self.written:
            with suppress(BadStore):  # another manager may have written it since we read it
                await self.keeper.run(self.keeper.opened.last_use)
        if written > self.written:
            self._lags()

    def is_older(self, why: str = "") -> None:
        """Know the store for an older copy; `why`: more of how that is known."""
        if self.older is None:
            self.older = f"the store was put back to an earlier state{why}"
            self.older_since = datetime.now(UTC)
            log.warning("%s; what runs is kept, apply again", self.older)

    def _lags(self) -> None:
        self._put_back = {id_: entry.highest for id_, entry in self._entries.items()}
        self.stops.doubt(datetime.now(UTC))
        self.is_older()

    async def close(self) -> None:
        """Write what is left and close the store."""
        await self.keeper.close()

    async def keep(self) -> None:
        """Write history for ever, and see to the store."""
        await self.keeper.keep(self.writing)

    def __getitem__(self, station: str) -> Entry:
        return self._entries.get(station, _UNKNOWN)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def lags(self, station: str) -> bool:
        """Whether what is wanted of a station is that of an older copy of the store."""
        return self._put_back.get(station) == self[station].highest

    @property
    def running(self) -> Rollout | None:
        """The rollout that is not over."""
        return self.rollout if self.rollout and self.rollout.phase is Phase.RUNNING else None

    async def write(
        self,
        issues: Sequence[tuple[Issue, Config]],
        facts: Iterable[tuple[str, Facts]] = (),
        conference: AppliedFile | None = None,
        *,
        rollout: Rollout | None = None,
        targets: frozenset[str] | None = None,
        replaced: Mapping[str, str | None] = _NOBODY,
    ) -> None:
        """Make each config what is wanted of its station, and note the rest: all or nothing.

        `targets`: the stations of `rollout` whose targets have changed, None where it is new;
        `replaced`: station -> the box that takes its name over, None for no more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        writing = Writing(
            [issue for issue, _ in issues], dict(facts), conference, rollout, targets, replaced
        )
        await self.keeper.change(self.keeper.opened.write, writing)
        for issue, config in issues:
            entry = self._entries.setdefault(issue.station, Entry())
            entry.highest, entry.config, entry.payload = issue.revision, config, issue.payload
            entry.retired = False
        for station, one in writing.facts.items():
            self._entries.setdefault(station, Entry()).facts = one
        for station, by in replaced.items():
            self._entries.setdefault(station, Entry()).replaced_by = by
            (self.replacing.discard if by is None else self.replacing.add)(station)
        if rollout is not None:
            self.rollout = rollout
        if conference is not None:
            self.older = self.older_since = None

    async def retire(self, station: str, at: datetime, by: str) -> None:
        """Want nothing of a station any more; its history stays, its numbers go on.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self.keeper.change(self.keeper.opened.retire, station, at, by)
        entry = self._entries.setdefault(station, Entry())
        entry.retired, entry.config, entry.payload, entry.replaced_by = True, None, None, None
        self.stops.forget(station)
        self.replacing.discard(station)

    async def stop(
        self, station: str, stops: Sequence[StopByHand], deed: Deed | None = None
    ) -> None:
        """Keep stops of a station, each in place of the last of its instance, and who did it.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self.keeper.change(self.keeper.opened.stop, station, stops, deed)
        self.stops.take(station, stops)
        self._note_act()

    async def do(self, deed: Deed) -> None:
        """Keep what somebody did.

        Raises:
            BadStore: it could not be written.
        """
        await self.keeper.change(self.keeper.opened.do, deed)
        self._note_act()

    async def say(
        self, kind: OverrideKind, name: str, said: Override | None, deed: Deed | None = None
    ) -> None:
        """Keep what was said of a room or station, and who did; None: nothing holds any more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self.keeper.change(self.keeper.opened.say, kind, name, said, deed)
        self.rooms.override(kind, name, said)
        self._note_act()

    def learn(self, applied: ConferenceFile) -> None:
        """A conference file was applied: what it says of rooms and their talks holds from now."""
        self.rooms.learn(applied)
        self.learned.set()

    async def publish(
        self, published: PublishedSchedule, schedule: Schedule, change: str | None
    ) -> None:
        """Go by a schedule; `change`: what is different from the last one, for the history.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self.keeper.change(self.keeper.opened.schedule.save, published, change)
        self.published = published
        self.rooms.go_by(schedule)

    async def rollout_of(self, number: int) -> Rollout | None:
        """The rollout with this number.

        Raises:
            BadStore: it could not be read.
        """
        if self.rollout is not None and self.rollout.number == number:
            return self.rollout
        return await self.history.rollout(number)

    def note_ack(self, station: str, ack: Ack, *, answers: bool) -> None:
        """Remember an ack; `answers`: it names a revision of this store."""
        if station in self._entries:
            self._entries[station].heard = True
            self._entries[station].answered |= answers
            self._entries[station].signs |= ack.in_force.signature is not None
        self.history.ack(station, ack)

    def note_presence(self, station: str, state: PresenceState, boot: str | None) -> None:
        """Remember a change of presence."""
        if station in self._entries:
            self._entries[station].heard = True
        self.history.presence(station, state, boot)

    def _note_act(self) -> None:
        self.acted = time.monotonic()
        for told in self.on_act:
            told()

    async def _read(self) -> None:
        store = self.keeper.opened
        before = store.written
        known = await self.keeper.run(store.load)
        rollout = await self.keeper.run(store.rollout)
        self.signing = await self.keeper.run(store.signing)
        said = await self.keeper.run(readable, store.said, "what was said of rooms") or []
        stops = await self.keeper.run(readable, store.stops, "what is stopped by hand") or []
        applied = await self.keeper.run(
            readable, store.conference, "the conference file applied last"
        )
        published = await self.keeper.run(readable, store.schedule.load, "the schedule")
        await self.let_in.read()
        self._entries = {station: _entry(station, one) for station, one in known.items()}
        self.replacing = {id_ for id_, one in known.items() if one.replaced_by is not None}
        self.rollout = rollout
        self.rooms.override_all(said)
        self.stops.take_all(stops)
        if applied is not None:
            self.learn(rooms_of(applied.text))
        if published is not None and published != self.published:
            self.published = published
            self.rooms.go_by(await asyncio.to_thread(_schedule, published))
        self.readings += 1
        if before is not None and self.written < before:
            self._lags()


def _schedule(published: PublishedSchedule) -> Schedule | None:
    try:
        return read(published.content)
    except BadSchedule as error:
        log.warning("the schedule kept in the store would be refused now: %s", error)
        return None


def _entry(station: str, known: Known) -> Entry:
    config = None
    if known.payload is not None:
        try:
            config = decode(known.payload, Config)
        except Undecodable as error:
            log.error("what is wanted of %s cannot be read from the store: %s", station, error)
    return Entry(
        known.facts,
        known.retired,
        known.highest,
        config,
        known.payload if config else None,
        known.answered,
        known.replaced_by,
        known.heard,
        known.signs,
    )
