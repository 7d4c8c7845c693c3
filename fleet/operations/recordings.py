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
class CutFile:
    """A file of a piece. `file`: below the directory that has one for each room, where copies go;
    `begin`: of the file; `in_point`, `out_point`: seconds from there.

    `start`: what the file's own clock says at its begin, in seconds; `key`: seconds from there of
    the last key frame at or before the in point; `rate`: pictures a second; each None where it is
    not known.
    """

    file: str
    begin: datetime
    in_point: float
    out_point: float
    start: float | None
    key: float | None
    rate: float | None


@frozen
class CutPiece:
    """One stretch of a talk without a cut in it."""

    begin: datetime
    end: datetime
    files: tuple[CutFile, ...]


@frozen
class CutList:
    """Where one talk lies. `begin`, `end`: by marks, else by the schedule; `missing`: seconds that
    no file of it has; `notes`: what is odd about the marks.
    """

    talk: ScheduledTalk
    room: str
    begin: datetime
    end: datetime
    station: str | None
    """Whose files they are, None where there are none."""
    instance: str | None
    is_program: bool
    """Whether that is what the mixer shows."""
    pieces: tuple[CutPiece, ...]
    missing: float
    is_covered: bool
    """To five seconds."""
    gaps: tuple[Gap, ...] = ()
    marks: tuple[CutMark, ...] = ()
    """Those that counted."""
    notes: tuple[str, ...] = ()


@frozen
class CutListArguments:
    """Operation `cutlist`: of these talks, or of all that are over and may be published."""

    talks: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()


@frozen
class CutListResult:
    """The cut lists, by time. `at`: when; `timezone`: the conference's."""

    lists: tuple[CutList, ...]
    at: datetime
    timezone: str = "UTC"


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
    """The receipts, by time. `at`: when; `timezone`: the conference's.

    `over`: how many of the talks that were asked for are over and may be recorded, None from a
    manager of an earlier release.
    """

    receipts: tuple[Receipt, ...]
    at: datetime
    timezone: str = "UTC"
    over: int | None = None
