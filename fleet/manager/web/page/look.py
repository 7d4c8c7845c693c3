"""Makes the board of what the manager knows at one moment."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC
from typing import Final

from attrs import evolve

from fleet.manager.conference.hours import OverrideKind
from fleet.manager.mixers import Mixers
from fleet.manager.recordings.keeper import Recordings
from fleet.manager.report import FleetReport, Overview
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.page.cards import Board, RoomView, board
from fleet.manager.web.page.controls import RoomControls, controls
from fleet.manager.web.page.views import Pictures
from fleet.model import PresenceState

HURRIED: Final = 10.0
"""Seconds after somebody did something in which it is shown faster what became of it."""


class Look:
    """Reads report, ledger, thumbnails and receipts, and remembers which station has which name."""

    def __init__(
        self,
        ledger: Ledger,
        report: FleetReport,
        thumbnails: Thumbnails,
        recordings: Recordings,
        mixers: Mixers,
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._thumbnails = thumbnails
        self._recordings = recordings
        self._mixers = mixers
        self._ids: dict[str, str] = {}

    def now(self) -> float:
        """Unix seconds, in step with the monotonic clock by which everything was heard."""
        return self._report.now().timestamp()

    @property
    def hurried(self) -> bool:
        """Whether somebody has just done something, and waits to see what becomes of it."""
        return time.monotonic() - self._ledger.acted < HURRIED

    def watch(self, acted: Callable[[], None]) -> None:
        """Have `acted` called whenever somebody does something by hand."""
        self._ledger.on_act.append(acted)

    def is_watched(self) -> None:
        """Somebody looks at the page."""
        self._mixers.watch()

    async def board(self) -> Board:
        """Everything as it is now; a large fleet holds nobody up."""
        header = self._ledger.rooms.header
        seen = await self._report.look()
        stations = [
            one for one in seen.stations if self._is_shown(one.status.id, one.status.presence)
        ]
        self._ids = {one.name: one.status.id for one in stations}
        rooms = dict.fromkeys(
            [*self._ledger.rooms.rooms, *(one.status.room or "" for one in stations)]
        )
        return await asyncio.to_thread(  # pure, so that a thread can do it
            board,
            header.title or header.id or "fleet",
            {name: self._room(name, seen) for name in rooms},
            stations,
            self._pictures(),
            self._report.connected,
            seen.at,
            self._report.whole(),
        )

    def picture(self, station: str, role: str, instance: str) -> bytes | None:
        """The newest picture of an instance of the station with this name."""
        found = self._thumbnails.get(self._ids.get(station, ""), role, instance)
        return found.jpeg if found else None

    def _is_shown(self, id_: str, presence: PresenceState) -> bool:
        return not self._ledger[id_].retired or presence is PresenceState.ONLINE

    def _room(self, name: str, seen: Overview) -> RoomView:
        known = self._ledger.rooms.rooms.get(name)
        title = known.title if known else None
        until = self._ledger.rooms.talk_until(name, seen.at) if name else None
        receipts = tuple(one for one in self._recordings.decided if one.room == name)
        return RoomView(
            title or name or "No room",
            seen.rooms[name],
            seen.findings[name],
            until,
            receipts,
            self._controls(name, seen),
        )

    def _controls(self, room: str, seen: Overview) -> RoomControls:
        rooms, at = self._ledger.rooms, seen.at.astimezone(UTC)
        there = [
            one
            for one in seen.stations
            if (one.status.room or "") == room
            and self._is_shown(one.status.id, one.status.presence)
        ]
        known = {
            (one.status.id, name): now
            for one in there
            for name in one.wanted.get("mix", {})
            if (now := self._mixers.now(one.status.id, name)) is not None
        }
        boxes = {
            one.status.id: works
            for one in there
            if (works := rooms.holding("station", one.status.id, at)) is not None
        }
        kinds: tuple[OverrideKind, ...] = ("talk", "room", "ack")
        said = {
            kind: found for kind in kinds if (found := rooms.holding(kind, room, at)) is not None
        }
        return controls(there, known, said, boxes, seen.at)

    def _pictures(self) -> Pictures:
        offset = self._report.offset
        return {
            name: {
                key: evolve(picture, at=picture.at + offset)
                for key, picture in self._thumbnails.of(id_).items()
            }
            for name, id_ in self._ids.items()
        }
