"""Makes the board of what the manager knows at one moment."""

import asyncio

from attrs import evolve

from fleet.manager.recordings.keeper import Recordings
from fleet.manager.report import FleetReport, Overview
from fleet.manager.stations.thumbnails import Thumbnails
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.page.cards import Board, RoomView, board
from fleet.manager.web.page.views import Pictures
from fleet.model import PresenceState


class Look:
    """Reads report, ledger, thumbnails and receipts, and remembers which station has which name."""

    def __init__(
        self,
        ledger: Ledger,
        report: FleetReport,
        thumbnails: Thumbnails,
        recordings: Recordings,
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._thumbnails = thumbnails
        self._recordings = recordings
        self._ids: dict[str, str] = {}

    def now(self) -> float:
        """Unix seconds, in step with the monotonic clock by which everything was heard."""
        return self._report.now().timestamp()

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
            title or name or "No room", seen.rooms[name], seen.findings[name], until, receipts
        )

    def _pictures(self) -> Pictures:
        offset = self._report.offset
        return {
            name: {
                key: evolve(picture, at=picture.at + offset)
                for key, picture in self._thumbnails.of(id_).items()
            }
            for name, id_ in self._ids.items()
        }
