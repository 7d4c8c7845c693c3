"""What is wanted of every station, in memory and in step with the store.

Reading costs nothing and changing waits for the store: memory follows only after the commit,
so whatever is published survives a crash. Blocking calls run in one thread of their own, one
after another.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, Self, TypeVar

from attrs import define

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Phase, Rollout
from fleet.manager.store import AppliedFile, BadStore, Issue, ManagerStore, Past, Writing
from fleet.model import Ack, Config, PresenceState
from fleet.wire import decode

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_KEEP: Final = timedelta(days=30)
"""How long acks and presence changes are kept."""
_BATCH: Final = 500
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


_UNKNOWN: Final = Entry()


class Ledger:
    """What is wanted; `write` first to the store, then here."""

    def __init__(self, store: ManagerStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "store")
        self._entries: dict[str, Entry] = {}
        self._acks: list[tuple[str, Ack]] = []
        self._presences: list[tuple[str, datetime, str, str | None]] = []
        self.writing = asyncio.Lock()
        """Held from reading what is wanted to writing what follows from it."""
        self.rooms = Rooms()
        self.rollout: Rollout | None = None
        """The last rollout."""
        self.replacing: set[str] = set()
        """Stations whose name another box takes over."""

    @classmethod
    async def open(cls, make: Callable[[], ManagerStore]) -> Self:
        """Open the store with `make` and read it.

        Raises:
            BadStore: it cannot be used.
        """
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(None, make)
        ledger = cls(store)
        for station, known in (await ledger._run(store.load)).items():
            config = None if known.payload is None else decode(known.payload, Config)
            ledger._entries[station] = Entry(
                known.facts,
                known.retired,
                known.highest,
                config,
                known.payload,
                known.answered,
                known.replaced_by,
                known.heard,
            )
            if known.replaced_by is not None:
                ledger.replacing.add(station)
        ledger.rollout = await ledger._run(store.rollout)
        ledger.rooms.all_said(await ledger._run(store.said))
        applied = await ledger._run(store.conference)
        if applied is not None:
            ledger.rooms.learn(*rooms_of(applied.text))
        return ledger

    async def close(self) -> None:
        """Write what is left and close the store."""
        await self.flush()
        await self._run(self._store.close)
        self._thread.shutdown()

    def __getitem__(self, station: str) -> Entry:
        return self._entries.get(station, _UNKNOWN)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def place(self) -> str:
        """Where the store is, without a password."""
        return self._store.place

    @property
    def running(self) -> Rollout | None:
        """The rollout that is not over."""
        return self.rollout if self.rollout and self.rollout.phase is Phase.RUNNING else None

    async def check(self) -> None:
        """Make sure that the store answers.

        Raises:
            BadStore: it does not.
        """
        await self._run(self._store.check)

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
        await self._run(self._store.write, writing)
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

    async def retire(self, station: str, at: datetime, by: str) -> None:
        """Want nothing of a station any more; its history stays, its numbers go on.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._run(self._store.retire, station, at, by)
        entry = self._entries.setdefault(station, Entry())
        entry.retired, entry.config, entry.payload, entry.replaced_by = True, None, None, None
        self.replacing.discard(station)

    async def say(self, kind: OverrideKind, name: str, said: Override | None) -> None:
        """Keep what was said of a room or station; None: nothing holds any more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._run(self._store.say, kind, name, said)
        self.rooms.say(kind, name, said)

    async def revisions(self, numbers: Mapping[str, int]) -> dict[str, tuple[Issue, Config]]:
        """One revision of each station, as far as they exist.

        Raises:
            BadStore: it could not be read.
        """
        found = await self._run(self._store.revisions, numbers)
        return {station: (one, decode(one.payload, Config)) for station, one in found.items()}

    async def before(self, station: str, revision: int) -> tuple[Issue, Config] | None:
        """The revision that came before this one.

        Raises:
            BadStore: it could not be read.
        """
        found = await self._run(self._store.before, station, revision)
        return (found, decode(found.payload, Config)) if found else None

    async def befores(self, since: int) -> dict[str, tuple[int | None, int]]:
        """Station -> (the revision wanted before rollout `since` or later, the one given then).

        Raises:
            BadStore: it could not be read.
        """
        return await self._run(self._store.befores, since)

    async def rejected(self, numbers: Mapping[str, int]) -> frozenset[str]:
        """The stations that rejected the revision named, as far as that is remembered.

        Raises:
            BadStore: it could not be read.
        """
        await self.flush()
        return await self._run(self._store.rejected, numbers)

    async def past(self, station: str | None, limit: int) -> list[Past]:
        """The last `limit` things that happened to a station, or rollouts and retirements.

        Raises:
            BadStore: it could not be read.
        """
        await self.flush()
        return await self._run(self._store.past, station, limit)

    async def rollout_of(self, number: int) -> Rollout | None:
        """The rollout with this number.

        Raises:
            BadStore: it could not be read.
        """
        if self.rollout is not None and self.rollout.number == number:
            return self.rollout
        return await self._run(self._store.rollout, number)

    def note_ack(self, station: str, ack: Ack, *, answers: bool) -> None:
        """Remember an ack; `answers`: it names a revision of this store."""
        if station in self._entries:
            self._entries[station].heard = True
            self._entries[station].answered |= answers
        self._acks.append((station, ack))

    def note_presence(self, station: str, state: PresenceState, boot: str | None) -> None:
        """Remember a change of presence."""
        if station in self._entries:
            self._entries[station].heard = True
        self._presences.append((station, datetime.now(UTC), state, boot))

    async def flush(self) -> None:
        """Write what was remembered, some at a time so that nobody waits long for the store."""
        while self._acks or self._presences:
            acks, self._acks = self._acks[:_BATCH], self._acks[_BATCH:]
            presences, self._presences = self._presences[:_BATCH], self._presences[_BATCH:]
            try:
                await self._run(self._store.note, acks, presences)
            except BadStore as error:
                log.error("history is not being kept: %s", error)

    async def prune(self) -> None:
        """Forget acks and presence changes that are too old."""
        await self._run(self._store.prune, datetime.now(UTC) - _KEEP)

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        work = copy_context().run  # the deadline goes along
        return await loop.run_in_executor(self._thread, lambda: work(call, *args, **kwargs))
