"""How boxes are let in: what is asked, and what the manager answers."""

from datetime import datetime
from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from fleet.model import ShortText

MOST_USES: Final = 100_000
HOUR: Final = 3600.0
"""Seconds that a token holds of which nothing else is said."""


@frozen
class TokenArguments:
    """Operation `token`: a token to join with, for `seconds` and `uses` boxes (None: any number).

    `room`: where they serve; `approve`: somebody has to say yes to each.
    """

    seconds: Annotated[float, Meta(gt=0, le=366 * 86400)] = HOUR
    uses: Annotated[int, Meta(ge=1, le=MOST_USES)] | None = None
    room: ShortText | None = None
    approve: bool = False


@frozen
class TokenResult:
    """What to type on a box: `fleet-agent join URL TOKEN`, `prefix` where it is not `fleet`."""

    url: str
    token: str
    until: datetime
    prefix: str
    timezone: str = "UTC"
    notes: tuple[str, ...] = ()


@frozen
class WaitingBox:
    """A box that asks to be let in. `since`: when it was first heard."""

    code: str
    station: str
    hostname: str
    mac: str | None
    addresses: tuple[str, ...]
    room: str | None
    since: datetime


@frozen
class WaitingResult:
    """Operation `waiting`, the first to ask first."""

    boxes: tuple[WaitingBox, ...]
    timezone: str = "UTC"


@frozen
class ApproveArguments:
    """Operation `approve`: let the box in that shows this code, called `name`."""

    code: ShortText
    name: ShortText | None = None


@frozen
class ApproveResult:
    """Who was let in."""

    station: str
    name: str
    hostname: str
    room: str | None


@frozen
class RevokeArguments:
    """Operation `revoke`: a station by its name or id."""

    station: ShortText


@frozen
class RotateArguments:
    """Operation `rotate`: a station by its name or id, None for all that joined."""

    station: ShortText | None


@frozen
class Rotated:
    """What became of one: `problem` is None where it has its new credential."""

    station: str
    name: str
    ends: datetime | None
    problem: str | None


@frozen
class RotateResult:
    """Of each."""

    rotated: tuple[Rotated, ...]
    timezone: str = "UTC"
