"""Reads what a day of talks is made of."""

from datetime import date, datetime

from fleet.manager.recordings.keeper import Recordings
from fleet.manager.recordings.receipts import RoomNow
from fleet.manager.report import FleetReport
from fleet.manager.stations.inventory import Inventory
from fleet.manager.store.ledger import Ledger
from fleet.manager.web.page.recording_lines import AtWork
from fleet.manager.web.page.talks import DayFacts, whole_day, zone_of
from fleet.model import PresenceState, State
from fleet.schedule import ScheduledTalk


class DayLook:
    """Reads ledger, inventory and recordings."""

    def __init__(
        self, ledger: Ledger, inventory: Inventory, recordings: Recordings, report: FleetReport
    ) -> None:
        self._ledger = ledger
        self._inventory = inventory
        self._recordings = recordings
        self._report = report

    def now(self) -> datetime:
        """The moment, in the conference's time zone."""
        return self._report.now()

    @property
    def talks(self) -> tuple[tuple[str, ScheduledTalk], ...]:
        """(room, talk) of every talk."""
        return tuple(self._ledger.rooms.all_talks())

    @property
    def state(self) -> object:
        """Another one whenever a day may have changed."""
        rooms = self._ledger.rooms
        titles = tuple((name, room.title) for name, room in rooms.rooms.items())
        at_work, away = self._at_work()
        heard = (tuple(at_work.items()), away, tuple(self._stands().values()))
        return self._recordings.changes, rooms.schedule, titles, rooms.header, heard

    async def facts(self, day: date) -> DayFacts:
        """What a day is made of.

        Raises:
            BadStore: the store cannot be read.
        """
        rooms, talks = self._ledger.rooms, self.talks
        found = await self._recordings.of_time(*whole_day(day, zone_of(self.now()), talks))
        return DayFacts(
            rooms.header.title or rooms.header.id or "fleet",
            {name: room.title or name for name, room in rooms.rooms.items()},
            rooms.schedule is not None,
            talks,
            found.kept,
            found.marks,
            *self._at_work(),
            self._stands(),
        )

    def _stands(self) -> dict[str, RoomNow]:
        return self._recordings.rooms_now(self._ledger.rooms.rooms)

    def _at_work(self) -> tuple[AtWork, frozenset[str]]:
        """What runs, and the stations that are away."""
        found, away = {}, set()
        for id_, heard in self._inventory:
            facts = self._ledger[id_].facts
            if self._inventory.presence(id_) is not PresenceState.ONLINE:
                away.add(facts.name or id_)
            elif heard.status:
                for role, instances in heard.status.roles.items():
                    for name, one in instances.items():
                        if one.state is State.RUNNING:
                            whose = (facts.room or "", facts.name or id_, f"{role}/{name}")
                            found[whose] = one.since
        return found, frozenset(away)
