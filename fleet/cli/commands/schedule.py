"""`fleet schedule`: the talks of the rooms; whether a schedule that is published can be used."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.cli.commands import COMMANDS, with_examples
from fleet.cli.completion import rooms
from fleet.cli.talks import opted_out
from fleet.cli.terminal import Exit, ask, data, print_json, say, stop
from fleet.cli.view import TableRow, clean, show, stamp, zoned
from fleet.model import counted
from fleet.operations.schedule import ScheduleArguments, ScheduleResult
from fleet.schedule import BadSchedule, Schedule, ScheduledTalk, day_at, match

ABOUT: Final = COMMANDS["schedule"]
HELP: Final = with_examples(
    f"{ABOUT} check reads a file or an address from here, and ends with 0 if it is fine, and 1 if "
    f"it has mistakes or rooms that nobody knows.",
    "fleet schedule",
    "fleet schedule hall1 --day 2",
    "fleet schedule check schedule.json",
    "fleet schedule check https://example.org/democon/schedule.json",
)
_CHECK: Final = "check"


def run(
    ctx: typer.Context,
    room: Annotated[
        str | None,
        typer.Argument(metavar="ROOM", help="Only this room; or: check.", autocompletion=rooms),
    ] = None,
    place: Annotated[str | None, typer.Argument(metavar="FILE|URL", help="What to check.")] = None,
    day: Annotated[
        str | None,
        typer.Option("--day", metavar="D", help="Only this day: 2, or 2026-11-16, or today."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask the manager; or read what is to be checked."""
    if room == _CHECK:
        _check(ctx, place, json)
        return
    if place is not None:
        stop(f"there is no need of {place!r}; to check a schedule: fleet schedule check {place}")
    asked = ScheduleArguments(room)
    found = ask(ctx, lambda manager: manager.ask("schedule", asked, ScheduleResult))
    talks = _of_day(found, day)
    if json:
        print_json({"schedule": found, "talks": talks})
        return
    if found.place is None:
        say("the conference file has no [schedule]: talks go by the rooms' hours")
        return
    _tell(found)
    if found.schedule is not None:
        _show(found, talks)


def _of_day(found: ScheduleResult, day: str | None) -> tuple[ScheduledTalk, ...]:
    talks = found.schedule.talks if found.schedule else ()
    if day is None:
        return talks
    wanted = str(day_at(_today(found))) if day == "today" else day
    chosen = tuple(
        one
        for one in talks
        if wanted in (str(one.day), one.date, str(zoned(one.begin, found.timezone).date()))
    )
    if not chosen and day != "today":
        days = sorted({(one.day, one.date) for one in talks})
        there = ", ".join(f"{number} ({date})" for number, date in days) or "none"
        stop(f"there is no talk on day {day!r}; the days with talks are: {there}")
    return chosen


def _today(found: ScheduleResult) -> datetime:
    return zoned(datetime.now(UTC), found.timezone)


def _tell(found: ScheduleResult) -> None:
    """How it stands with the schedule."""
    if found.schedule is not None:
        title, version = clean(found.schedule.title), clean(found.schedule.version or "unknown")
        at = stamp(found.read_at, found.timezone)
        say(f"{title}, version {version}, from {found.place}, good at {at}")
    if found.trouble is not None:
        since = stamp(found.trouble_since, found.timezone)
        say(f"it cannot be used as it is published now, since {since}: {clean(found.trouble)}")
    for note in found.schedule.notes if found.schedule else ():
        say(f"note: {clean(note)}")


def _show(found: ScheduleResult, talks: tuple[ScheduledTalk, ...]) -> None:
    assert found.schedule is not None  # noqa: S101 (the caller has looked)
    ours = {
        theirs: room
        for room, several in match(found.schedule, found.rooms).rooms.items()
        for theirs in several
    }
    rows = []
    for one in talks:
        begin, end = (zoned(at, found.timezone) for at in (one.begin, one.end))
        title = f"{clean(one.title)}{opted_out(one)}"
        room = ours.get(one.room) or f"({clean(one.room.name)})"
        times = f"{begin:%H:%M}-{end:%H:%M}"
        rows.append(TableRow((f"{begin:%a}", f"{begin:%Y-%m-%d}", times, room, title)))
    zone = f"TIME({_today(found):%Z})"
    show(rows, data(), ("DAY", "DATE", zone, "ROOM", "TALK"))
    unknown = match(found.schedule, found.rooms).unknown
    if unknown and len(found.rooms) > 1:
        say("in (brackets): rooms that the conference file does not know")


def _check(ctx: typer.Context, place: str | None, json: bool) -> None:
    if place is None:
        stop("which one? fleet schedule check FILE|URL")
    try:
        schedule = asyncio.run(_read(place))
    except BadSchedule as bad:
        if json:
            print_json({"mistakes": bad.mistakes, "more": bad.more})
        for one in bad.mistakes:
            say(f"{place}: {clean(one)}")
        many = counted(len(bad.mistakes) + bad.more, "mistake")
        stop(f"{place} has {many}; nobody would go by it", Exit.NO)
    found = ask(ctx, lambda manager: manager.ask("schedule", ScheduleArguments(), ScheduleResult))
    matched = match(schedule, found.rooms)
    lines = _changes(found, schedule)
    absent = sorted(found.rooms.keys() - matched.rooms.keys())
    if json:
        print_json({"mistakes": [], "unknown_rooms": matched.unknown, "changes": lines})
    else:
        for line in lines:
            data().print(clean(line), soft_wrap=True)
    for note in schedule.notes:
        say(f"note: {clean(note)}")
    if absent:
        say(f"note: it has nothing of {', '.join(absent)}, which go by their hours")
    for room in matched.unknown:
        guid = f" ({room.guid})" if room.guid else ""
        say(f"nobody knows its room {room.name!r}{guid}: name it in the schedule = [...] of a room")
    if matched.unknown:
        raise typer.Exit(Exit.NO)
    talks, rooms = counted(len(schedule.talks), "talk"), counted(len(schedule.rooms), "room")
    say(f"{place} is fine: {talks} in {rooms}")


async def _read(place: str) -> Schedule:
    from fleet.schedule.fetching import Publication
    from fleet.schedule.reading import read

    got = await Publication.at(place, Path.cwd()).get()
    assert got is not None  # noqa: S101 (nothing is known of an earlier copy)
    return read(got[1])


def _changes(found: ScheduleResult, new: Schedule) -> list[str]:
    from fleet.schedule.changes import changes

    if found.schedule is None:
        return [f"no schedule is in use yet; this one has {counted(len(new.talks), 'talk')}"]
    zone = _today(found).tzinfo or UTC
    return changes(found.schedule, new, zone) or ["nothing differs from the one in use"]
