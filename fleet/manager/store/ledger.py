"""What is wanted of every station, in memory and in step with the store.

Reading costs nothing and changing waits for the store: memory follows only after the commit,
so whatever is published survives a crash. A store that is locked, full or hung makes a change
fail, and nobody wait without end; history is remembered meanwhile, and written when it is back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, ParamSpec, Self, TypeVar

from attrs import define

from fleet.manager.conference.hours import Override, OverrideKind
from fleet.manager.conference.rooms import Rooms, rooms_of
from fleet.manager.conference.wanted import Facts
from fleet.manager.rollouts.model import Phase, Rollout
from fleet.manager.store import (
    AppliedFile,
    BadStore,
    Issue,
    Known,
    LastUse,
    ManagerStore,
    Past,
    StoreAway,
    Writing,
)
from fleet.manager.store.remembered import HeardAck, Remembered, SeenPresence
from fleet.manager.store.thread import StoreThread
from fleet.model import Ack, Config, PresenceState
from fleet.wire import Undecodable, decode

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_KEEP: Final = timedelta(days=30)
"""How long acks and presence changes are kept."""
_PAUSE: Final = 1.0
"""Seconds between two writings of history, so that a wave of acks is one."""
_LOOK: Final = 30.0
_PRUNE: Final = timedelta(hours=1).total_seconds()
_ANSWER: Final = 2.0
"""Seconds within which it is said how the store is."""
_LAST_WORDS: Final = 5.0
_OPENING: Final = 120.0
"""Seconds to open the store: a large one is checked, and may be brought to a new shape."""
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
    """What is wanted; `write` first to the store, then here. Empty until the store is opened."""

    def __init__(self) -> None:
        self._thread = StoreThread()
        self._opened: ManagerStore | None = None
        self._entries: dict[str, Entry] = {}
        self._remembered = Remembered(self._write_history)
        self._checking: asyncio.Future[None] | None = None
        self._unsure = False
        """Whether something may be in the store that is not here."""
        self.writing = asyncio.Lock()
        """Held from reading what is wanted to writing what follows from it."""
        self.rooms = Rooms()
        self.rollout: Rollout | None = None
        """The last rollout."""
        self.replacing: set[str] = set()
        """Stations whose name another box takes over."""
        self.trouble: str | None = "the store is not open yet"
        """Why nothing can be written, None while it can."""
        self.readings = 0
        """How often everything was read from the store."""
        self.last_use = LastUse(None, newer=False)

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
        try:
            self._opened = await self._thread.within(_OPENING, make)
            self._thread.give_up = self._opened.give_up
            self.last_use = await self._thread.run(self._opened.last_use)
            await self._read()
            with suppress(StoreAway):  # what can be read is enough to begin with
                await self._check()
        except BadStore as error:
            self.trouble = str(error)
            if self._opened is not None:
                store, self._opened = self._opened, None
                with suppress(StoreAway):
                    await self._thread.run(store.close)
            raise

    async def close(self) -> None:
        """Write what is left and close the store."""
        if self._opened is not None:
            try:
                async with asyncio.timeout(_LAST_WORDS):
                    await self.flush()
                    await self._thread.run(self._opened.close)
            except (BadStore, TimeoutError) as error:
                log.error("the last of the history is lost: %s", error or "no answer in time")
        self._thread.end()

    async def keep(self) -> None:
        """Write history for ever, and say when the store cannot be used and when it can again."""
        looked = pruned = -_PRUNE
        while True:
            now = asyncio.get_running_loop().time()
            try:
                await self.flush()
                if now - looked >= _LOOK:
                    await self.check()
                    looked = now
                if now - pruned >= _PRUNE:
                    await self._run(self._store.prune, datetime.now(UTC) - _KEEP)
                    pruned = now
                if self._unsure:
                    async with self.writing:
                        await self._settle()
            except BadStore as error:
                looked = -_PRUNE
                if not isinstance(error, StoreAway):
                    log.error("%s", error)
            await asyncio.sleep(_PAUSE)

    def __getitem__(self, station: str) -> Entry:
        return self._entries.get(station, _UNKNOWN)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    @property
    def place(self) -> str:
        """Where the store is, without a password."""
        return self._opened.place if self._opened else "not open"

    @property
    def running(self) -> Rollout | None:
        """The rollout that is not over."""
        return self.rollout if self.rollout and self.rollout.phase is Phase.RUNNING else None

    async def check(self) -> None:
        """Make sure that the store can be written; who asks meanwhile gets the same answer.

        Raises:
            BadStore: it cannot be.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.ensure_future(self._check())
            self._checking.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._checking)

    async def _check(self) -> None:
        await self._run(self._store.check, datetime.now(UTC))
        self._written()

    async def ailing(self) -> str | None:
        """Why the store cannot be used now, None where it can; answers within two seconds."""
        if self._opened is None:
            return self.trouble
        try:
            async with asyncio.timeout(_ANSWER):
                await self.check()
        except BadStore as error:
            return str(error)
        except TimeoutError:
            return self.trouble or f"the store does not answer within {_ANSWER:.0f} s"
        return None

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
        await self._change(self._store.write, writing)
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
        await self._change(self._store.retire, station, at, by)
        entry = self._entries.setdefault(station, Entry())
        entry.retired, entry.config, entry.payload, entry.replaced_by = True, None, None, None
        self.replacing.discard(station)

    async def say(self, kind: OverrideKind, name: str, said: Override | None) -> None:
        """Keep what was said of a room or station; None: nothing holds any more.

        Raises:
            BadStore: it could not be written; nothing has changed.
        """
        await self._change(self._store.say, kind, name, said)
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
        with suppress(BadStore):
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
        self._remembered.ack(station, ack)

    def note_presence(self, station: str, state: PresenceState, boot: str | None) -> None:
        """Remember a change of presence."""
        if station in self._entries:
            self._entries[station].heard = True
        self._remembered.presence(station, state, boot)

    async def flush(self) -> None:
        """Write what was remembered.

        Raises:
            StoreAway: it cannot be written for now; what was remembered stays so.
        """
        await self._remembered.flush()

    async def _write_history(
        self, acks: Sequence[HeardAck], presences: Sequence[SeenPresence]
    ) -> None:
        await self._run(self._store.note, acks, presences)
        self._written()

    @property
    def _store(self) -> ManagerStore:
        if self._opened is None:
            raise StoreAway(self.trouble or "the store is not open")
        return self._opened

    async def _change(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write something that memory has to follow."""
        if self._unsure:
            await self._settle()
        try:
            await self._run(call, *args, **kwargs)
            self._written()
        except asyncio.CancelledError:
            self._unsure = True
            raise
        except StoreAway as error:
            self._unsure = self._unsure or error.unsure
            raise

    async def _settle(self) -> None:
        """Read what is so, where a writing may have come through unheard."""
        await self._read()
        self._unsure = False

    async def _read(self) -> None:
        store = self._store
        known = await self._run(store.load)
        rollout = await self._run(store.rollout)
        said = await self._run(_readable, store.said, "what was said of rooms") or []
        applied = await self._run(_readable, store.conference, "the conference file applied last")
        self._entries = {station: _entry(station, one) for station, one in known.items()}
        self.replacing = {id_ for id_, one in known.items() if one.replaced_by is not None}
        self.rollout = rollout
        self.rooms.all_said(said)
        if applied is not None:
            self.rooms.learn(*rooms_of(applied.text))
        self.readings += 1

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._thread.run(call, *args, **kwargs)
        except StoreAway as error:
            if self.trouble is None:
                log.error("%s; history is remembered until it can be written", error)
            self.trouble = str(error)
            raise

    def _written(self) -> None:
        if self.trouble is not None and self.readings > 1:
            log.info("the store can be written again")
        self.trouble = None


def _readable(call: Callable[[], T], what: str) -> T | None:
    """What the store has, None where it is garbled: that is no reason not to begin."""
    try:
        return call()
    except ValueError as error:
        log.error("%s cannot be read from the store: %s", what, error)
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
    )
