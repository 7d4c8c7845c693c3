"""What the conference file says of one station. Pure."""

from attrs import frozen

from fleet.model import Roles


@frozen
class Facts:
    """What the file says of a station besides its roles; None where it says nothing."""

    name: str | None = None
    room: str | None = None
    seat: str | None = None
    where: str | None = None
    address: str | None = None


@frozen
class Wanted:
    """What the file wants of the station with this id."""

    id: str
    facts: Facts
    roles: Roles
