"""A talk's receipt in words, as a click on `/talks` opens it. Pure."""

import shlex
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from attrs import frozen

from fleet.manager.web.page.talks import TalkBlock, talk_block
from fleet.model import counted
from fleet.operations.recordings import Coverage, Receipt

_MOST_FILES: Final = 40
"""Of one recording that are named."""


@frozen
class ReceiptRecording:
    """What one instance has of a talk. `wrong`: gaps and findings, in words."""

    name: str
    share: str
    copied: str
    wrong: tuple[str, ...]
    files: tuple[str, ...]
    more: int
    """Files that are not named."""


@frozen
class ReceiptView:
    """All that is known of one talk. `command`: what shows the same in a terminal."""

    block: TalkBlock
    room: str
    when: str
    persons: tuple[str, ...]
    recordings: tuple[ReceiptRecording, ...]
    marks: tuple[str, ...]
    command: str


def receipt_view(one: Receipt, room: str, now: datetime) -> ReceiptView:
    """A receipt; `room`: the title, `now` in the conference's time zone."""
    talk, zone = one.talk, now.tzinfo
    begin, end = (at.astimezone(zone) for at in (talk.begin, talk.end))
    return ReceiptView(
        talk_block(one, 0, now),
        room,
        f"{begin:%a %Y-%m-%d, %H:%M}\N{EN DASH}{end:%H:%M %Z}",
        talk.persons,
        tuple(_recording(it, zone) for it in one.coverage),
        tuple(
            f"{mark.kind} at {mark.at.astimezone(zone):%H:%M:%S} by {mark.by}"
            + (f": {mark.note}" if mark.note else "")
            for mark in one.marks
        ),
        f"fleet receipt {shlex.quote(talk.guid)}",
    )


def _recording(one: Coverage, zone: tzinfo | None) -> ReceiptRecording:
    files = len(one.files)
    copied = f"{one.copied} of {counted(files, 'file')} copied"
    return ReceiptRecording(
        f"{one.station} {one.instance}",
        f"{one.share:.1%}",
        "nothing copies it off the box" if one.copied is None else copied,
        tuple(_wrong(one, zone)),
        one.files[:_MOST_FILES],
        max(0, files - _MOST_FILES),
    )


def _wrong(one: Coverage, zone: tzinfo | None) -> Iterator[str]:
    for gap in one.gaps:
        first, last = (at.astimezone(zone) for at in (gap.begin, gap.end))
        yield f"missing {first:%H:%M:%S} to {last:%H:%M:%S}: {gap.why}"
    yield from one.findings
    if one.unread:
        yield f"{counted(one.unread, 'file')} not read back yet"
