"""The tables of a conference file that are about no station: conference, schedule, rooms. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from attrs import evolve

from fleet.manager.conference.problems import FileProblems, Table, table_in
from fleet.manager.conference.wanted import Header, Room, ScheduleSource
from fleet.schedule import folded, is_web_address
from fleet.strict import close_match, show

_HOURS: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")


class GeneralTables(FileProblems):
    """Reads them, and collects their mistakes."""

    def header(self, table: Table) -> Header:
        """`[conference]`, as far as it can be read."""
        header = self.structure(table, Header, "conference") or Header(
            id=table["id"] if isinstance(table.get("id"), str) else None
        )
        self.name(table.get("id"), "the id of a conference", "conference", "id")
        zone = table.get("timezone")
        if isinstance(zone, str):
            try:
                ZoneInfo(zone)
            except (ValueError, OSError, KeyError):
                self._no_timezone(zone)
                return evolve(header, timezone=None)
        return header

    def _no_timezone(self, zone: str) -> None:
        zones = sorted(available_timezones())
        hint = close_match(zone, zones) if zones else " (this machine knows none: install tzdata)"
        self.wrong(f"there is no time zone {zone!r}{hint}", "conference", "timezone")

    def schedule(self, table: Table) -> ScheduleSource | None:
        """`[schedule]`; None where it cannot be read."""
        source = self.structure(table, ScheduleSource, "schedule")
        if source is None:
            return None
        if (source.url is None) == (source.file is None):
            self.wrong("expected either url or file: where the schedule is published", "schedule")
        if source.url is not None and not is_web_address(source.url):
            self.wrong(
                f'expected an address such as "https://example.org/schedule.json", got '
                f"{show(source.url)}",
                *("schedule", "url"),
            )
        if source.file is not None and (not source.file.strip() or "\0" in source.file):
            self.wrong(f"expected the name of a file, got {show(source.file)}", "schedule", "file")
        return source

    def claimed(self, rooms: Mapping[str, Room], *, titles: bool) -> None:
        """No room of the schedule is two of ours, by name or, where `titles`, by title."""
        first: dict[str, str] = {}
        for name, room in rooms.items():
            called = [(("schedule", str(n)), one) for n, one in enumerate(room.schedule)]
            if titles and not room.schedule and room.title and room.title.strip():
                called = [(("title", ""), room.title)]
            for place, one in called:
                here = ("rooms", name, *filter(None, place))
                if not one.strip():
                    self.wrong(f"expected a name or guid, got {show(one)}", *here)
                elif first.setdefault(folded(one), name) != name:
                    self.wrong(
                        f"{show(one)} is already the room {first[folded(one)]!r} in the schedule",
                        *here,
                    )

    def room(self, name: str, table: Any) -> Room | None:
        """`[rooms.NAME]`; None where it cannot be read."""
        self.name(name, "the name of a room", "rooms", name)
        room = self.structure(table, Room, "rooms", name) if isinstance(table, dict) else None
        wrong = []
        for index, one in enumerate(table_in(table, "hours", list)):
            if isinstance(one, str) and (not _HOURS.fullmatch(one) or one[:5] == one[6:]):
                wrong.append(one)
                self.wrong(
                    f'expected hours such as "09:00-19:00" (a second time before the first is '
                    f"that of the next day), got {show(one)}",
                    *("rooms", name, "hours", str(index)),
                )
        right = tuple(one for one in room.hours if one not in wrong) if room else ()
        return evolve(room, hours=right) if room else None
