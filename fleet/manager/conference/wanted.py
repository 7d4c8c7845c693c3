"""What a conference file says of rooms and stations. Pure."""

from collections.abc import Mapping

from attrs import frozen

from fleet.model import Problem, Roles


@frozen
class Room:
    """A room as the file names it. `hours`: when it is in use, `09:00-19:00`."""

    title: str | None = None
    hours: tuple[str, ...] = ()


@frozen
class Header:
    """The table `[conference]`."""

    id: str | None = None
    title: str | None = None
    timezone: str | None = None


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


@frozen
class ConferenceFile:
    """A conference file; stations by id. With `problems`, only as far as it can be read."""

    header: Header
    rooms: Mapping[str, Room]
    stations: Mapping[str, DesiredState]
    problems: tuple[Problem, ...] = ()
