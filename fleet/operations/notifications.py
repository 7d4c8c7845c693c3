"""Who sees to a room, and what is told to those who are called."""

from datetime import datetime
from typing import Annotated

from attrs import frozen
from msgspec import Meta


@frozen
class AckArguments:
    """Operation `ack`: somebody sees to what is wrong in a room now, for so many seconds."""

    room: str
    on: bool = True
    """False takes it back."""
    seconds: Annotated[float, Meta(gt=0, le=366 * 86400)] = 1800.0


@frozen
class RoomAck:
    """That somebody sees to what was wrong in a room when they said so."""

    room: str
    by: str
    since: datetime
    until: datetime


@frozen
class NotifyArguments:
    """Operation `notify`: tell everybody who is called something."""

    text: Annotated[str, Meta(min_length=1, max_length=1000)]


@frozen
class NotifyResult:
    """The addresses, without what is secret in them, to which it is on its way."""

    addresses: tuple[str, ...]
