"""What `fleet check` asks the manager: a look at everything that matters, by who can see it."""

from datetime import datetime

from attrs import frozen

from fleet.operations.health import HealthLevel


@frozen
class CheckArguments:
    """Operation `check`: of one room, or of all."""

    room: str | None = None


@frozen
class CheckTrouble:
    """One thing that is not well. `look`: which of the looks saw it; `where` its box stands."""

    look: str
    level: HealthLevel
    room: str | None
    station: str | None
    where: str | None
    text: str
    command: str | None
    """What to type."""


@frozen
class CheckLook:
    """One kind of look: how many there were, how many of them saw all well, and what besides."""

    name: str
    well: int
    of: int
    text: str | None = None


@frozen
class CheckResult:
    """What was seen. `stations`: how many something is wanted of, without those in maintenance.

    `well`: whether all of them were found well; not where there is none.
    """

    well: bool
    stations: int
    troubles: tuple[CheckTrouble, ...]
    """The worst first."""
    looks: tuple[CheckLook, ...]
    """All of them, in the order in which a room is gone through."""
    maintenance: tuple[str, ...]
    """Stations that were left out, because somebody works on them."""
    at: datetime
    timezone: str = "UTC"
