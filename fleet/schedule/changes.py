"""What changed from one schedule to the next, a line each, as people read it. Pure."""

from collections.abc import Iterator
from datetime import datetime, tzinfo

from fleet.schedule import Schedule, ScheduledTalk


def changes(old: Schedule, new: Schedule, zone: tzinfo) -> list[str]:
    """Moved, renamed, added, cancelled; opted out or in. By time; `zone`: the conference's."""
    before = {one.guid: one for one in old.talks}
    after = {one.guid: one for one in new.talks}
    found: list[tuple[datetime, str]] = []
    for guid, talk in after.items():
        was = before.get(guid)
        if was is None:
            found.append((talk.begin, f"added: {placed(talk, zone)}"))
        elif was != talk:
            found += [(talk.begin, line) for line in _changed(was, talk, zone)]
    for guid, talk in before.items():
        if guid not in after:
            found.append((talk.begin, f"cancelled: {placed(talk, zone)}"))
    return [line for _, line in sorted(found)]


def placed(talk: ScheduledTalk, zone: tzinfo) -> str:
    """`"Opening", Hall 1, Sun 01 Feb 09:00-09:30 CET`."""
    return f'"{talk.title}", {talk.room.name}, {_times(talk, zone)}'


def _times(talk: ScheduledTalk, zone: tzinfo) -> str:
    return f"{talk.begin.astimezone(zone):%a %d %b %H:%M}-{talk.end.astimezone(zone):%H:%M %Z}"


def _changed(was: ScheduledTalk, now: ScheduledTalk, zone: tzinfo) -> Iterator[str]:
    if was.title != now.title:
        yield f'renamed: "{was.title}" is now {placed(now, zone)}'
    if was.room.name != now.room.name or (was.begin, was.end) != (now.begin, now.end):
        yield f"moved: {placed(was, zone)} is now {now.room.name}, {_times(now, zone)}"
    for what, then, today in (
        ("recorded", was.do_not_record, now.do_not_record),
        ("streamed", was.do_not_stream, now.do_not_stream),
    ):
        if then != today:
            yield f"{'not to be' if today else 'may be'} {what}: {placed(now, zone)}"
