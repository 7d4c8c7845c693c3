"""Keeps the schedule fresh: reads it again and again, goes by what is good, says what is not."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from fleet.manager.conference.wanted import ScheduleSource
from fleet.manager.findings.whole import schedule_finding
from fleet.manager.store import BadStore, PublishedSchedule
from fleet.manager.store.ledger import Ledger
from fleet.model import counted
from fleet.operations.health import HealthFinding
from fleet.schedule import BadSchedule, Schedule, match
from fleet.schedule.changes import changes
from fleet.schedule.fetching import Publication
from fleet.schedule.reading import read

log = logging.getLogger(__name__)

_SHOWN = 20
"""Changes that the history tells one by one."""
_ROOMS = 10
"""Rooms that are named in one message."""


class ScheduleWatch:
    """Reads where the conference file says; a path in it begins at `directory`."""

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self._ledger = ledger
        self._directory = directory
        self._known: Publication | None = None
        self._looked_at: datetime | None = None
        self.trouble: str | None = None
        """Why it cannot be used as it is published now, None where it can."""
        self.since: datetime | None = None
        """When that began."""

    @property
    def source(self) -> ScheduleSource | None:
        """Where it is published, as the file applied last says."""
        return self._ledger.rooms.source

    @property
    def place(self) -> str | None:
        """The same, as everybody may read it."""
        publication = self._publication()
        return publication.shown if publication else None

    @property
    def good_at(self) -> datetime | None:
        """When what is published there was last found good, by an earlier manager too."""
        kept = self._ledger.published
        return self._looked_at or (kept.at if kept else None)

    def findings(self) -> Iterator[HealthFinding]:
        """What is wrong with it."""
        if self.source is not None and self.trouble is not None:
            yield schedule_finding(self.place or "", self.trouble, self.since)

    async def keep(self) -> None:
        """Read it for ever: when the conference file changes, and every so often."""
        while True:
            self._ledger.learned.clear()
            source = self.source
            if source is not None:
                await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(source.every if source else None):
                    await self._ledger.learned.wait()

    async def look(self) -> None:
        """Read it once; whatever is wrong with it changes nothing but `trouble`."""
        publication = self._publication()
        if publication is None:
            return
        try:
            got = await publication.get()
            if got is not None:
                known, content = got
                schedule = await asyncio.to_thread(read, content)
                self._refuse_foreign(schedule, known)
                await self._take(schedule, known, content)
        except (BadSchedule, BadStore) as error:
            if str(error) != self.trouble:
                log.error("the schedule at %s is not used: %s", publication.shown, error)
            if self.trouble is None:
                self.since = datetime.now(UTC)
            self.trouble = str(error)
        else:
            if self.trouble is not None:
                log.info("the schedule at %s is good again", publication.shown)
            self.trouble, self.since, self._looked_at = None, None, datetime.now(UTC)

    async def _take(self, schedule: Schedule, known: Publication, content: bytes) -> None:
        published = self._ledger.published
        if published is None or published.content != content or published.place != known.place:
            old = self._ledger.rooms.schedule
            zone = self._ledger.rooms.zone
            change = _told(old, schedule, zone) if old != schedule else None
            new = PublishedSchedule(
                known.place, known.etag, known.modified, datetime.now(UTC), content
            )
            await self._ledger.publish(new, schedule, change)
            if change:
                log.info("the schedule has changed: %s", change)
        self._known = known

    def _publication(self) -> Publication | None:
        """Where to look, and what is known of the copy that is in use."""
        source = self.source
        place = source and (source.url or source.file)
        if not place:
            return None
        publication = Publication.at(place, self._directory)
        if self._known is not None and self._known.place == publication.place:
            return self._known
        kept = self._ledger.published
        if kept and kept.place == publication.place and self._ledger.rooms.schedule is not None:
            return Publication(kept.place, kept.etag, kept.modified)
        return publication

    def _refuse_foreign(self, schedule: Schedule, known: Publication) -> None:
        """Raises `BadSchedule` where it is that of another conference."""
        rooms = self._ledger.rooms
        if not match(schedule, rooms.names).rooms:
            there = ", ".join(f'"{one.name}"' for one in schedule.rooms[:_ROOMS])
            raise BadSchedule(
                [
                    f"none of its rooms ({there}) is one of the conference file's: name them there "
                    "as schedule = [...] of each room"
                ]
            )
        old, kept = rooms.schedule, self._ledger.published
        if old is None or kept is None or kept.place != known.place:
            return
        if old.acronym != schedule.acronym and not {one.guid for one in old.talks} & {
            one.guid for one in schedule.talks
        }:
            raise BadSchedule(
                [
                    f'it is the schedule of "{schedule.title}", and of "{old.title}" until now: '
                    "if that is meant, apply the conference file without [schedule], then with it"
                ]
            )


def _told(old: Schedule | None, new: Schedule, zone: tzinfo) -> str | None:
    if old is None:
        talks = counted(len(new.talks), "talk")
        return f'version {new.version or "unknown"} of "{new.title}", {talks}'
    lines = changes(old, new, zone)
    if not lines:
        return None
    more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    version = f"version {new.version}: " if new.version and new.version != old.version else ""
    return version + "; ".join(lines[:_SHOWN]) + more
