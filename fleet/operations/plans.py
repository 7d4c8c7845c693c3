"""What applying a conference file would change, and what is wrong with one."""

from typing import Literal

from attrs import frozen

from fleet.model import Problem, State

Action = Literal["+", "~", "-"]


@frozen
class PlanArguments:
    """Operation `plan`. `text`: the conference file; `name`: what to call it in messages.

    `room`, `station`: only this part of the file; a station goes by its name or id.
    """

    text: str
    name: str
    room: str | None = None
    station: str | None = None


@frozen
class Change:
    """One instance that applying would change, on the station `id` called `station`."""

    id: str
    station: str
    room: str | None
    role: str
    instance: str
    action: Action
    detail: str
    """What changes in a few words: `segment_seconds 180 -> 300`."""
    running: bool
    """Whether the instance is at work: it runs, is starting, or is to be tried again soon."""
    live: bool = False
    """Whether it takes the change while it runs."""
    state: State | None = None
    """Which of these, where it is at work."""
    records: bool = False
    """Whether it records on its box, as what captures does that keeps a copy."""

    @property
    def interrupts(self) -> bool:
        """Whether something that is at work is interrupted."""
        return self.running and self.action != "+" and not self.live


@frozen
class Cut:
    """An instance that is at work and is interrupted though it stays as it is.

    `source`: what it reads, also by way of others, and what changes: `hall1-cam ingest/main`.
    """

    id: str
    station: str
    room: str | None
    role: str
    instance: str
    source: str
    state: State = State.RUNNING
    records: bool = False
    """As a change has it."""


@frozen
class StationChange:
    """A station that is new, or of which more than its instances changes."""

    id: str
    station: str
    room: str | None
    detail: str
    """`new`, or what changes in a few words: `room hall1 -> hall2, seat cam -> slides`."""


@frozen
class TableChange:
    """A table of no station, `conference`, `schedule` or `rooms.hall1`, of which something changes.

    It holds as soon as the file is applied, also where that is for one room or station.
    """

    table: str
    detail: str
    """In a few words: `timezone UTC -> Europe/Brussels`."""


@frozen
class Doubt:
    """A problem that the station `id`, called `station`, would find with its settings."""

    id: str
    station: str
    problem: Problem


@frozen
class PlanResult:
    """What applying would change."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...]
    """What a station would refuse, or a file that disagrees with what is heard."""
    unnamed: tuple[str, ...]
    """Stations that are known and not in the file: they are left as they are."""
    stations: tuple[StationChange, ...] = ()
    """What changes besides instances."""
    recording: tuple[str, ...] = ()
    """What records right now, anywhere: `hall1-cam record/main`."""
    revision: int = 0
    """The number of the last rollout: a higher one later means that somebody applied since."""
    doubts: tuple[Doubt, ...] = ()
    """What stations that change would refuse, so that applying is refused too, unless forced."""
    cuts: tuple[Cut, ...] = ()
    """Who else is interrupted."""
    tables: tuple[TableChange, ...] = ()
    """What changes besides stations."""

    @property
    def is_empty(self) -> bool:
        """Whether applying would change nothing."""
        return not (self.changes or self.stations or self.tables)

    @property
    def interrupted(self) -> tuple[str, ...]:
        """The recordings at work that applying would restart, end or cut off from their source.

        `hall1-cam record/main`, `hall1-cam record/main (starting)`.
        """
        ended: list[Change | Cut] = [one for one in self.changes if one.interrupts]
        return tuple(
            f"{one.station} {one.role}/{one.instance}"
            + (f" ({one.state.value})" if one.state not in (None, State.RUNNING) else "")
            for one in [*ended, *self.cuts]
            if one.records or one.role == RECORDING
        )


RECORDING = "record"
"""The role of recorders."""


@frozen
class ValidateArguments:
    """Operation `validate`."""

    text: str
    name: str


@frozen
class ValidateResult:
    """What stations would refuse; empty where all would accept."""

    doubts: tuple[Doubt, ...]
    unheard: tuple[str, ...]
    """Stations that never said what they can run: only roles that come with fleet were judged."""
    stations: int
    """How many stations the file names."""
