"""What a conference file says of rooms and stations. Pure."""

from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, NamedTuple, TypeVar

from attrs import frozen
from msgspec import Meta

from fleet.model import Problem, Roles


@frozen
class Room:
    """A room as the file names it. `hours`: when it is in use, `09:00-19:00`; `schedule`: names
    and guids of it in the schedule, its title and key where none are given.
    """

    title: str | None = None
    hours: tuple[str, ...] = ()
    schedule: Annotated[tuple[str, ...], Meta(max_length=20)] = ()

    def called(self, key: str) -> tuple[str, ...]:
        """What the schedule may call it, the likeliest first."""
        return self.schedule or tuple(filter(None, (self.title, key)))


@frozen
class Header:
    """The table `[conference]`."""

    id: str | None = None
    title: str | None = None
    timezone: str | None = None


@frozen
class ScheduleSource:
    """The table `[schedule]`: where the talks are published, one of `url` and `file`.

    `every`: seconds between two looks; `before`, `after`: seconds a talk counts as on before it
    begins and after its end; `blank_optouts`: whether a room's stream is blanked during talks that
    must not be streamed.
    """

    url: str | None = None
    file: str | None = None
    every: Annotated[float, Meta(ge=30, le=3600)] = 120.0
    before: Annotated[float, Meta(ge=0, le=7200)] = 300.0
    after: Annotated[float, Meta(ge=0, le=7200)] = 300.0
    blank_optouts: bool = False


@frozen
class Facts:
    """What the file says of a station besides its roles; None where it says nothing."""

    name: str | None = None
    room: str | None = None
    seat: str | None = None
    where: str | None = None
    address: str | None = None


@frozen
class DesiredState:
    """What the file wants of the station with this id."""

    id: str
    facts: Facts
    roles: Roles

    @property
    def name(self) -> str:
        """What people call the station."""
        return self.facts.name or self.id


class InstanceName(NamedTuple):
    """One instance in the file, on the station of this name."""

    station: str
    role: str
    instance: str

    def __str__(self) -> str:
        return f"{self.role}/{self.instance} of {self.station!r}"


@frozen
class Reading:
    """One instance that reads another.

    `place`: where its settings say so, as `("source",)`; `by_mdns`: whether the file gives no
    address, so that the reader has to find it by the name `<station>.local`.
    """

    reader: InstanceName
    place: tuple[str, ...]
    source: InstanceName
    by_mdns: bool


@frozen
class ConferenceFile:
    """A conference file; stations by id. With `problems`, only as far as it can be read."""

    header: Header
    rooms: Mapping[str, Room]
    stations: Mapping[str, DesiredState]
    readings: tuple[Reading, ...] = ()
    problems: tuple[Problem, ...] = ()
    schedule: ScheduleSource | None = None


T = TypeVar("T", bound=Hashable)


def behind(start: T, sources: Mapping[T, AbstractSet[T]]) -> set[T]:
    """All that `start` reads, and what that reads, and so on; in a circle also itself."""
    found: set[T] = set()
    ahead = list(sources.get(start, ()))
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += sources.get(one, ())
    return found
