"""Talks as people read them: what is on in a room, until when, and what is next. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from fleet.cli.view import clean, zoned
from fleet.model import clock
from fleet.operations.schedule import RoomTalk
from fleet.operations.stations import StatusResult
from fleet.schedule import ScheduledTalk

NONE_OVER: Final = "no talk that is to be recorded is over yet: fleet schedule shows them"


def talk_lines(found: StatusResult) -> Iterator[str]:
    """A line for each room shown of which the schedule knows a talk."""
    shown = {one.room for one in found.stations}
    now = zoned(found.at, found.timezone)
    for one in found.talks:
        if one.room in shown and (text := talk_line(one, now)):
            yield f"{clean(one.room)}  {text}"


def talk_line(room: RoomTalk, now: datetime) -> str:
    """`now "Opening" until 10:30 CET; next "Keynote" at Fri 09:00 CET`; empty where neither is.

    `now`: in the conference's time zone.
    """
    parts = []
    if (on := room.on) is not None:
        if now >= on.end:
            word, time = "just over", f"since {clock(on.end, now)}"
        elif now < on.begin:
            word, time = "about to begin", f"at {clock(on.begin, now)}"
        else:
            word, time = "now", f"until {clock(on.end, now)}"
        parts.append(f'{word} "{clean(on.title)}" {time}{opted_out(on)}')
    if (later := room.next) is not None:
        at = clock(later.begin, now)
        parts.append(f'next "{clean(later.title)}" at {at}{opted_out(later)}')
    if room.blanked:
        parts.append("the stream is blanked for a talk that must not be streamed")
    return "; ".join(parts)


def opted_out(talk: ScheduledTalk) -> str:
    """` (not to be recorded)`, empty where all may be."""
    said = {"recorded": talk.do_not_record, "streamed": talk.do_not_stream}
    words = [word for word, out in said.items() if out]
    return f" (not to be {' or '.join(words)})" if words else ""
