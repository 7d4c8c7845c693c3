"""What a station says of itself, what is wanted of it, and what it is asked."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Self

from attrs import field, frozen
from msgspec import Meta

from fleet.model.bounds import (
    MAX_CALLS,
    MAX_INSTANCES,
    MAX_INTERVAL,
    MAX_LISTED,
    MAX_REVISION,
    MAX_SECRETS,
    MAX_STOPS,
    Boot,
    Count,
    JsonSchema,
    Revision,
    RevisionOrNone,
    Roles,
    ShortText,
    Signature,
)
from fleet.model.refusals import Error
from fleet.model.words import day_and_clock, printable


class State(StrEnum):
    """What an instance is doing."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    UNKNOWN = "unknown"
    """The manager's word: the station has not been heard, or speaks of a newer state."""


class PresenceState(StrEnum):
    """Whether a station (or the manager) can be reached."""

    ONLINE = "online"
    OFFLINE = "offline"
    """It said goodbye."""
    LOST = "lost"
    """Its will fired, or it fell silent."""
    UNKNOWN = "unknown"
    """The manager's word: there is no broker to hear it through."""


class Result(StrEnum):
    """How a station decided about a revision."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@frozen
class CommandSchema:
    """What a command takes and gives."""

    arguments: JsonSchema
    result: JsonSchema


@frozen
class Factory:
    """A role a station can run; `instances` = most at once, 0 = no limit."""

    instances: int
    settings: JsonSchema
    commands: Mapping[str, CommandSchema]

    @cached_property
    def schema(self) -> bytes:
        """`settings` as JSON, by which equal ones are found."""
        return json.dumps(self.settings, ensure_ascii=False, separators=(",", ":")).encode()


@frozen
class DeviceFormat:
    """Pictures a video device can give: kind of pixels (`MJPG`), size (`1920x1080`), frames/s."""

    pixels: str
    size: str
    rates: tuple[float, ...]


@frozen
class Device:
    """A capture device the station has; `id` stays the same over a reboot."""

    kind: str
    id: str
    name: str
    formats: tuple[DeviceFormat, ...] = ()
    """Empty where it has none or cannot be asked; earlier releases leave it out."""

    @property
    def words(self) -> str | None:
        """As the conference file names it; None for a kind that is not known here.

        >>> Device("alsa", "Device", "USB Audio").words
        '{type = "alsa", device = "hw:CARD=Device"}'
        """
        match self.kind:
            case "alsa":
                return f'{{type = "alsa", device = "hw:CARD={self.id}"}}'
            case "v4l2":
                return f'{{type = "v4l2", device = "{self.id}"}}'
            case "decklink":
                return f'{{type = "decklink", device = {self.id}}}'
        return None


@frozen
class KeptSecret:
    """A secret that a station has. `at`: when it was sent, None where its owner keeps it; `allow`:
    the hosts to which it may go, all where that is empty; `problem`: why it goes nowhere.
    """

    name: str
    at: datetime | None
    allow: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    problem: Annotated[str, Meta(max_length=1000)] | None = None


@frozen
class Registration:
    """What a station is and can do."""

    boot: Boot
    agent: str
    hostname: str
    mac: str | None
    addresses: Annotated[tuple[str, ...], Meta(max_length=MAX_LISTED)]
    blocked_roles: Annotated[tuple[str, ...], Meta(max_length=MAX_LISTED)]
    factories: Annotated[Mapping[str, Factory], Meta(max_length=MAX_LISTED)]
    broken_roles: Annotated[Mapping[str, str], Meta(max_length=MAX_LISTED)]
    devices: Annotated[tuple[Device, ...], Meta(max_length=MAX_LISTED)]
    public_key: Annotated[str, Meta(max_length=100)] | None = None
    """What is meant for this box alone is sealed with it. Earlier releases leave it out."""
    secrets: Annotated[tuple[KeptSecret, ...], Meta(max_length=MAX_SECRETS)] = ()
    """By name; their values travel sealed, and to no one else. Earlier releases leave it out."""


@frozen
class Presence:
    """Whether somebody can be reached. `interval`: seconds between heartbeats, positive."""

    state: PresenceState
    boot: Boot
    epoch: Count
    at: datetime
    interval: float = field()

    @interval.validator
    def _positive(self, _: object, value: float) -> None:
        if not 0 < value <= MAX_INTERVAL:
            raise ValueError(
                f"interval must be a positive number of seconds, at most {MAX_INTERVAL:.0f}, got "
                f"{value:g}"
            )


STOPPED_BY_HAND: Final = "Stopped"
"""The reason of an instance that somebody stopped."""


@frozen
class InstanceStatus:
    """What one instance does. `reason` is a CamelCase code, `message` a sentence.

    `revision`: the latest whose settings are the ones this state belongs to; None where the
    station is of an earlier release and does not say. `restarts_last_hour`: of `restarts`, those of
    the last hour; absent from the wire when 0.
    """

    state: State
    since: datetime
    restarts: Count
    reason: str | None
    message: str | None
    revision: RevisionOrNone | None = None
    restarts_last_hour: Count = 0

    @property
    def text(self) -> str:
        """`backoff (DeviceMissing: there is no /dev/video0)`, `stopped by ann`."""
        if self.reason == STOPPED_BY_HAND:
            return self.why
        return f"{self.state.value} ({self.why})" if self.why else self.state.value

    @property
    def why(self) -> str:
        """`DeviceMissing: there is no /dev/video0`, empty where all is well."""
        if self.reason == STOPPED_BY_HAND and self.message:  # which says it all
            return self.message
        return ": ".join(filter(None, (self.reason, self.message)))


def _not_too_many(_: object, __: object, roles: Mapping[str, Mapping[str, object]]) -> None:
    count = sum(map(len, roles.values()))
    if count > MAX_INSTANCES:
        raise ValueError(f"expected at most {MAX_INSTANCES} instances, got {count}")


@frozen
class StopByHand:
    """An instance that somebody stopped. `until`: None until it is started again."""

    role: Annotated[str, Meta(max_length=64)]
    instance: Annotated[str, Meta(max_length=64)]
    by: Annotated[str, Meta(max_length=64)]
    why: ShortText | None
    at: datetime
    until: datetime | None

    @property
    def key(self) -> tuple[str, str]:
        """Role and instance."""
        return self.role, self.instance

    def holds(self, now: datetime) -> bool:
        """Whether it is not over yet."""
        return self.until is None or now < self.until

    def text(self, zone: tzinfo = UTC) -> str:
        """`stopped by ann until Thu 10:30 UTC: the beamer is being changed`."""
        until = ""
        if self.until:
            until = f" until {day_and_clock(self.until, self.at.astimezone(zone))}"
        why = f": {printable(self.why)}" if self.why else ""
        return f"stopped by {printable(self.by)}{until}{why}"


StoppedInstances = Annotated[tuple[StopByHand, ...], Meta(max_length=MAX_STOPS)]


@frozen
class StopList:
    """All that is stopped by hand on a station; `at`: when the manager said so."""

    at: datetime
    stops: StoppedInstances


@frozen
class DirectCall:
    """A command that may have changed something, and came to a station past the manager.

    `what`: `record/main frob {"hard":true}`.
    """

    at: datetime
    by: Annotated[str, Meta(max_length=64)]
    what: ShortText


DirectCalls = Annotated[tuple[DirectCall, ...], Meta(max_length=MAX_CALLS)]


@frozen
class Status:
    """What a station runs now: the revision in force and each instance.

    `stops`: what it keeps stopped, None where its release cannot. `called`: what it was told past
    the manager, the last, the oldest first.
    """

    boot: Boot
    at: datetime
    revision: RevisionOrNone
    roles: Mapping[str, Mapping[str, InstanceStatus]] = field(validator=_not_too_many)
    stops: StoppedInstances | None = None
    called: DirectCalls = ()


@frozen
class Config:
    """What the manager wants of one station.

    `name` and `room` are the conference file's keys. By its `signature` the manager knows it again.
    All three are absent from the wire when None.
    """

    revision: Revision
    at: datetime | None
    by: str | None
    roles: Roles
    name: str | None = None
    room: str | None = None
    signature: Signature | None = None


@frozen
class StoreMark:
    """How often the manager's store had been written, by its `signature`: a number that only grows,
    so an older copy of the store is known for one.
    """

    written: Count
    signature: Signature


@frozen
class InForce:
    """The last config a station accepted; revision 0 and no roles if there was none.

    `signature` is the config's, absent from the wire when None.
    """

    revision: RevisionOrNone
    roles: Roles = field(validator=_not_too_many)
    signature: Signature | None = None

    @classmethod
    def none(cls) -> Self:
        """Nothing was ever accepted."""
        return cls(0, {})


@frozen
class Ack:
    """A station's answer to a revision.

    `revision`: 0 when none was ever received, None when it could not be read.
    """

    revision: Annotated[int | None, Meta(ge=0, le=MAX_REVISION)]
    boot: Boot
    at: datetime
    result: Result | None
    error: Error | None
    in_force: InForce


@frozen
class CommandRequest:
    """A request to a running role; `instance` None where one runs."""

    instance: str | None
    arguments: Mapping[str, Any]


@frozen
class Reply:
    """The answer to a command or a request: one of the two is None. `result` is plain JSON."""

    result: Any
    error: Error | None
