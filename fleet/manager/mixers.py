"""What the mixers show now, by their own word, as long as somebody looks at the page.

A mixer is asked by whoever cuts, and about once a second while the page is watched: somebody may
cut past the manager.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store import BadStore, Deed
from fleet.manager.store.ledger import Ledger
from fleet.model import PresenceState, State
from fleet.operations.actions import MixerShown
from fleet.strict import Mistakes
from fleet.wire import from_json

log = logging.getLogger(__name__)

_ROLE: Final = "mix"
_AGAIN: Final = 1.0
"""Seconds between two looks."""
_PATIENCE: Final = 3.0
STALE: Final = 10.0
"""Seconds after which it is not known any more what a mixer shows."""
WATCHED: Final = 5.0
"""Seconds for which somebody counts as looking."""

_DEEDS: Final = ("cut", "audio", "live", "blank")
_RECALLED: Final = 200
"""So many of the last things that happened to a station are looked through."""

MixerKey = tuple[str, str]
"""Station and instance."""


@frozen
class MixerNow:
    """`live_by`, `live_at`: who last had it live or blank, and when; `cut_by`: who cut last."""

    shown: MixerShown
    at: float
    """In monotonic seconds."""
    live_by: str | None = None
    live_at: datetime | None = None
    cut_by: str | None = None


class Mixers:
    """All that are wanted."""

    def __init__(self, ledger: Ledger, inventory: Inventory, asker: StationAsker) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._asker = asker
        self._seen: dict[MixerKey, tuple[MixerShown, float]] = {}
        self._did: dict[tuple[str, str, str], Deed] = {}
        self._recalled: set[MixerKey] = set()
        self._began = datetime.now(UTC)
        self._watched = -WATCHED
        self._wake = asyncio.Event()

    def watch(self) -> None:
        """Somebody looks."""
        self._watched = time.monotonic()
        self._wake.set()

    def saw(self, station: str, instance: str, shown: MixerShown) -> None:
        """A mixer said what it shows."""
        self._seen[station, instance] = shown, time.monotonic()

    def did(self, station: str, instance: str, deed: Deed) -> None:
        """Somebody had it show something else."""
        kind = "live" if deed.kind in ("live", "blank") else deed.kind
        self._did[station, instance, kind] = deed

    def now(self, station: str, instance: str) -> MixerNow | None:
        """What it shows, None where that is not known now."""
        shown, at = self._seen.get((station, instance), (None, 0.0))
        if shown is None or time.monotonic() - at > STALE:
            return None
        live = self._did.get((station, instance, "live"))
        if live is not None and (live.kind == "live") is not shown.live:
            live = None  # somebody else had the last word
        cut = self._did.get((station, instance, "cut"))
        return MixerNow(
            shown,
            at,
            live.by if live else None,
            live.at if live else None,
            cut.by if cut else None,
        )

    async def keep(self) -> None:
        """Ask for ever, while somebody looks."""
        while True:
            if time.monotonic() - self._watched > WATCHED:
                self._wake.clear()
                await self._wake.wait()
            there = list(self._running())
            for key in self._seen.keys() - set(there):
                del self._seen[key]
            await asyncio.gather(*(self._look(*key) for key in there))
            await asyncio.sleep(_AGAIN)

    def _running(self) -> Iterator[MixerKey]:
        for id_ in self._ledger:
            config, heard = self._ledger[id_].config, self._inventory.get(id_)
            if config is None or heard is None or heard.status is None:
                continue
            if self._inventory.presence(id_) is not PresenceState.ONLINE:
                continue
            said = heard.status.roles.get(_ROLE, {})
            for name in config.roles.get(_ROLE, {}):
                if name in said and said[name].state is State.RUNNING:
                    yield id_, name

    async def recall(self, station: str, instance: str) -> None:
        """Learn once from the history who did what before this manager began."""
        if (station, instance) in self._recalled:
            return
        with suppress(BadStore):
            for one in await self._ledger.history.past(station, _RECALLED):
                text = one.text or ""
                of_it = one.kind in _DEEDS and text.split(" ")[0] == f"{_ROLE}/{instance}"
                if of_it and one.at < self._began:  # what was done since is known
                    self.did(station, instance, Deed(one.at, one.kind, one.by or "", text))
            self._recalled.add((station, instance))

    async def _look(self, station: str, instance: str) -> None:
        try:
            reply = await self._asker.ask(station, _ROLE, "get", {}, instance, _PATIENCE)
            if reply.error is None:
                await self.recall(station, instance)
                self.saw(station, instance, from_json(reply.result, MixerShown))
        except (NoAnswer, Mistakes) as error:
            log.debug("what %s mixes is not known: %s", station, error)
