"""What is wanted of every station, in memory and in step with the store.

Reading costs nothing and changing waits for the store: memory follows only after the commit,
so whatever is published survives a crash. Blocking calls run in one thread of their own, one
after another.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, Self, TypeVar

from attrs import define

from fleet.manager.store import BadStore, Conference, Issue, Store
from fleet.manager.wanted import Facts
from fleet.model import Ack, Config, PresenceState
from fleet.wire import decode

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_KEEP: Final = timedelta(days=30)
"""How long acks and presence changes are kept."""
_BATCH: Final = 500
_NOWHERE: Final = Facts()


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


_UNKNOWN: Final = Entry()


class Ledger:
    """What is wanted; `write` first to the store, then here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "store")
        self._entries: dict[str, Entry] = {}
        self._acks: list[tuple[str, Ack]] = []
        self._presences: list[tuple[str, datetime, str, str | None]] = []
        self.writing = asyncio.Lock()
        """Held from reading what is wanted to writing what follows from it."""

    @classmethod
    async def open(cls, make: Callable[[], Store]) -> Self:
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
                known.facts, known.retired, known.highest, config, known.payload, known.answered
            )
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
        conference: Conference | None = None,
    ) -> None:
        """Make each config what is wanted of its station, and note `facts`: all or nothing.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        facts = list(facts)
        await self._run(self._store.issue, [issue for issue, _ in issues], facts, conference)
        for issue, config in issues:
            entry = self._entries.setdefault(issue.station, Entry())
            entry.highest, entry.config, entry.payload = issue.revision, config, issue.payload
        for station, one in facts:
            self._entries.setdefault(station, Entry()).facts = one

    def note_ack(self, station: str, ack: Ack, *, answers: bool) -> None:
        """Remember an ack; `answers`: it names a revision of this store."""
        if answers and station in self._entries:
            self._entries[station].answered = True
        self._acks.append((station, ack))

    def note_presence(self, station: str, state: PresenceState, boot: str | None) -> None:
        """Remember a change of presence."""
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
        return await loop.run_in_executor(self._thread, lambda: call(*args, **kwargs))
