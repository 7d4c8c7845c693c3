"""What was recorded of each talk, and where people want it cut."""

from datetime import datetime
from typing import Annotated, Literal

from attrs import frozen
from msgspec import Meta

from fleet.schedule import ScheduledTalk

MarkKind = Literal["start", "end", "cut"]
Verdict = Literal["green", "yellow", "red"]
"""Of a talk: it is there and plays; it is there, but; some of it is not there."""


@frozen
class CutMark:
    """Where somebody wants a recording of a room to begin, end or be cut. `set_at`: when it was
    said.
    """

    room: str
    kind: MarkKind
    at: datetime
    by: str
    set_at: datetime
    note: str | None = None


@frozen
class MarkArguments:
    """Operation `mark`. `at`: None for now."""

    room: str
    kind: MarkKind
    at: datetime | None = None
    note: Annotated[str, Meta(max_length=500)] | None = None


@frozen
class MarkResult:
    """The mark as it is kept. `timezone`: the conference's."""

    mark: CutMark
    timezone: str = "UTC"


@frozen
class Gap:
    """What is missing of a talk: from when to when, and why as far as that is known."""

    begin: datetime
    end: datetime
    why: str


@frozen
class Coverage:
    """What one instance has of a talk. `share`: 0 to 1; `missing`: seconds; `copied`: how many of
    its files are verified elsewhere, None where nothing copies them.
    """

    station: str
    """Its name."""
    instance: str
    share: float
    missing: float
    gaps: tuple[Gap, ...]
    files: tuple[str, ...]
    findings: tuple[str, ...] = ()
    """What the read-back found in the talk's time, with times."""
    unread: int = 0
    """Files that were not read back yet."""
    copied: int | None = None


@frozen
class Receipt:
    """What is known of one talk's recording. `verdict`: None while it is not over.

    `why`: for yellow and red, the reason in words; of a red one also what still exists, and where.
    """

    talk: ScheduledTalk
    room: str
    verdict: Verdict | None
    why: str
    coverage: tuple[Coverage, ...]
    """The best first."""
    marks: tuple[CutMark, ...] = ()


@frozen
class TalkReceipt:
    """A receipt in short. `guid` and `title` are the talk's."""

    room: str
    guid: str
    title: str
    verdict: Verdict
    why: str


@frozen
class RecordingsArguments:
    """Operation `recordings`: of one room or talk (its guid), or of all; `missing`: only talks
    that are not covered to five seconds.
    """

    room: str | None = None
    talk: str | None = None
    missing: bool = False


@frozen
class RecordingsResult:
    """The receipts, by time. `at`: when; `timezone`: the conference's."""

    receipts: tuple[Receipt, ...]
    at: datetime
    timezone: str = "UTC"
