"""Blanks a room's stream during a talk that must not be streamed, and shows it again afterwards."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.conference.hours import Override
from fleet.manager.stations.inventory import Inventory
from fleet.manager.stations.state import is_live
from fleet.manager.store import BadStore
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, PresenceState

log = logging.getLogger(__name__)

_TICK: Final = 1.0
_AGAIN: Final = 5.0
"""Seconds between two tries to tell a mixer."""
_PATIENCE: Final = 5.0
"""Seconds a mixer may take."""
_BY: Final = "schedule"


class OptOuts:
    """Does once what the schedule asks: who then shows the stream by hand has the last word."""

    def __init__(self, ledger: Ledger, inventory: Inventory, asker: StationAsker) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._asker = asker
        self._due: set[str] = set()
        """Rooms that are to be blanked and are not yet."""
        self._next: dict[str, float] = {}

    async def keep(self) -> None:
        """Look for ever."""
        while True:
            await self.look(datetime.now(UTC))
            await asyncio.sleep(_TICK)

    async def look(self, at: datetime) -> None:
        """Blank what has to be blank at `at`, and show again what was blanked."""
        rooms, loop = self._ledger.rooms, asyncio.get_running_loop()
        asked = rooms.source is not None and rooms.source.blank_optouts
        for room in list(rooms.rooms):
            talks = rooms.talks(room, at) if asked else None
            private = talks.private if talks else None
            done = rooms.holding("optout", room, at)
            is_over = private is None and done is not None
            is_due = private is not None and (done is None or room in self._due)
            if not (is_over or is_due) or loop.time() < self._next.get(room, 0.0):
                continue
            try:
                await (self._blank(room, at) if is_due else self._show(room))
            except (CommandFailed, NoAnswer, BadStore) as error:
                log.error("the stream of %s: %s; it is tried again", room, error)
                self._next[room] = loop.time() + _AGAIN

    async def _blank(self, room: str, at: datetime) -> None:
        if room not in self._due:
            # What was so before is kept first: a command may work whose answer is lost.
            was_live = any(live for *_, live in self._mixers(room))
            now = Override("optout", room, "on" if was_live else "off", _BY, at, None)
            await self._ledger.say("optout", room, now)
            self._due.add(room)
        await self._tell(room, "blank")
        self._due.discard(room)
        log.info("%s: blank, for a talk that must not be streamed", room)

    async def _show(self, room: str) -> None:
        self._due.discard(room)
        before = self._ledger.rooms.holding("optout", room, datetime.now(UTC))
        if before is not None and before.state == "on":
            await self._tell(room, "live")
        await self._ledger.say("optout", room, None)
        log.info("%s: the talk that must not be streamed is over", room)

    async def _tell(self, room: str, command: str) -> None:
        """Have each mixer of the room do it that is not so already."""
        for station, instance, live in list(self._mixers(room)):
            if live is not (command == "live"):
                reply = await self._asker.ask(station, "mix", command, {}, instance, _PATIENCE)
                if reply.error is not None:
                    raise CommandFailed(reply.error.message)

    def _mixers(self, room: str) -> Iterator[tuple[str, str, bool]]:
        """Station, instance, and whether its stream is live.

        Raises:
            CommandFailed: one cannot be asked now.
        """
        for id_ in self._ledger:
            entry = self._ledger[id_]
            wanted = entry.config.roles.get("mix", {}) if entry.config else {}
            if entry.facts.room != room or not wanted:
                continue
            heard = self._inventory.get(id_)
            if heard is None or self._inventory.presence(id_) is not PresenceState.ONLINE:
                raise CommandFailed(f"{entry.facts.name or id_} cannot be reached")
            said = heard.status.roles.get("mix", {}) if heard.status else {}
            for name, settings in wanted.items():
                live = is_live("mix", settings, said[name]) if name in said else None
                if live is None and "blankable" in settings.get("outputs", ("blankable",)):
                    raise CommandFailed(f"mix/{name} of {entry.facts.name or id_} does not run")
                if live is not None:
                    yield id_, name, live
