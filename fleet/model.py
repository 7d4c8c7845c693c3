"""What travels between station and manager, as frozen values.

Every class here is one shape of the wire page (`docs/protocol.md`); `wire` turns them into
bytes and back. Nothing here does I/O. Mappings and tuples are treated as immutable.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Final, Literal, Self

from attrs import field, frozen
from msgspec import Meta

Settings = Mapping[str, Any]
"""The settings of one instance, as plain JSON values."""
Roles = Mapping[str, Mapping[str, Settings]]
"""role name -> instance name -> settings."""
JsonSchema = Mapping[str, Any]

MAX_PAYLOAD: Final = 256 * 1024
"""Bytes a payload may have, but for the manager's requests and replies."""
MAX_REQUEST: Final = 16 * 1024 * 1024
"""Bytes a manager's request or reply may have."""
MAX_REVISION: Final = 2**53 - 1
"""The highest revision: the largest integer every JSON reader holds exactly (RFC 7493)."""
Boot = Annotated[str, Meta(min_length=1, max_length=64)]
"""Random text made at each start of a program."""
ShortText = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
"""How often, or how many."""
Revision = Annotated[int, Meta(ge=1, le=MAX_REVISION)]
RevisionOrNone = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
"""0 stands for no revision at all."""
MAX_INSTANCES: Final = 1000
"""Instances a station can have: more do not fit into one status."""
MAX_FAMILIES: Final = 2000
MAX_SAMPLES: Final = 5000
"""Of one family."""
MAX_PROBLEMS: Final = 2000
MAX_SPANS: Final = 100
"""Stretches of one kind that are told of one segment."""
MAX_STOPS: Final = 100
"""Instances of a station that can be stopped by hand at once."""
MAX_KEY_FRAMES: Final = 64
"""Groups of even key frames that are told of one segment."""
MAX_LISTED: Final = 1000
MAX_SECRETS: Final = 200
"""Of a station."""
"""Addresses, devices, roles or problems that one message can list."""
EXEC: Final = "exec"
"""The role that runs any program: a station blocks it unless its settings allow it."""
ALLOW_EXEC: Final = (
    "allow_exec = true in the station's /etc/fleet/agent.toml allows it, where blocked_roles does "
    "not name it; then restart the agent"
)
INTERVAL: Final = 10.0
"""Seconds between two heartbeats, unless the station says otherwise."""
MAX_INTERVAL: Final = 31 * 86400.0
SILENT_INTERVALS: Final = 3
"""Intervals an online station may stay unheard before it is `lost`."""

_STATION = re.compile(r"[a-z0-9-]{1,64}")
_ADDRESS = re.compile(
    r"[0-9a-f]{2}([:. -]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}"
)
"""A network card's, as people write them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NAME_RULE: Final = "1 to 64 letters, digits, '_' or '-', the first a letter or digit"
STATION_RULE: Final = "1 to 64 of a-z, 0-9 and '-'"


def is_station_id(text: str) -> bool:
    """Whether `text` can be a station's id."""
    return _STATION.fullmatch(text) is not None


def meant_station_id(text: str) -> str | None:
    """The id that `text`, which is none, stands for; None where there is no telling.

    >>> meant_station_id("B8:27:EB:00:00:A1")
    'b827eb0000a1'
    >>> meant_station_id("Hall1_cam.local")
    'hall1-cam-local'
    """
    text = text.strip().lower()
    if _ADDRESS.fullmatch(text):
        return re.sub(r"[^0-9a-f]", "", text)
    meant = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    return meant if is_station_id(meant) else None


def no_station_id(text: str) -> str:
    """Why `text` cannot be a station's id, and which one is meant."""
    meant = meant_station_id(text)
    hint = f" (did you mean {meant!r}?)" if meant else ""
    return f"cannot be a station's id: expected {STATION_RULE}{hint}"


def is_name(text: str) -> bool:
    """Whether `text` can name a role, an instance, a command or a caller."""
    return _NAME.fullmatch(text) is not None


def counted(number: int, what: str, several: str | None = None) -> str:
    """`1 station`, `2 stations`; `several`: the plural where it is not made with an s."""
    return f"{number} {what if number == 1 else several or f'{what}s'}"


@lru_cache(maxsize=2**14)
def natural(text: str) -> tuple[tuple[int, str], ...]:
    """How people order names, as a key to sort by.

    >>> sorted(["room10", "room3", "Foyer", "attic"], key=natural)
    ['attic', 'Foyer', 'room3', 'room10']
    """
    parts = re.split(r"(\d+)", text)
    ordered = [
        (int(part), "") if number % 2 else (-1, part.casefold())
        for number, part in enumerate(parts)
    ]
    return (*ordered, (-1, text))


def printable(text: str, besides: str = "") -> str:
    """`text` with `?` for each character that a terminal or log would obey instead of showing it.

    Such are escape, C1 and bidi controls, and a newline that begins a line of its own; those in
    `besides` stay. The one way out for what strangers wrote.

    >>> printable("a\\x1b[2Jb\\nc\\u202ed"), printable("a\\nb", besides="\\n") == "a\\nb"
    ('a?[2Jb?c?d', True)
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in besides else "?" for one in text)


def plain(error: BaseException) -> str:
    """What went wrong, without the system's number of it: `No such file or directory`."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Refusal(Exception):
    """Somebody asked for something that cannot be; the class name is the type on the wire."""

    def __init__(self, message: str, problems: "tuple[Problem, ...]" = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = problems

    @property
    def error(self) -> "Error":
        """The refusal as it travels."""
        return Error(type(self).__name__, self.message, self.problems)


class BlockedRole(Refusal):
    """The station's owner forbids this role here."""


class MissingRoleFactory(Refusal):
    """The station has nothing that can build this role."""


class InvalidConfiguration(Refusal):
    """The settings, the number of instances or the payload itself are wrong."""


class UnknownCommand(Refusal):
    """No role that runs here has registered such a command."""


class NoSuchInstance(Refusal):
    """The instance named does not run, or none was named and several do."""


class InvalidArguments(Refusal):
    """The arguments of a command are wrong."""


class CommandFailed(Refusal):
    """The command ran and did not succeed."""


class DeadlineExceeded(Refusal):
    """The command's deadline passed before it was done."""


class Forbidden(Refusal):
    """The caller may not do this."""


CONFIG_ERRORS: Final = (BlockedRole, MissingRoleFactory, InvalidConfiguration)
"""What can be wrong with a config, the one that names an ack first."""


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
class Problem:
    """One thing wrong, said so that it can be fixed without the station's logs.

    `path` is a JSON Pointer into the settings or arguments; None where the role or instance
    as a whole is meant.
    """

    type: str
    role: str | None
    instance: str | None
    path: str | None
    message: str

    @property
    def text(self) -> str:
        """`InvalidConfiguration record/main /segment_seconds: expected 1 to 86400, got 0`."""
        instance = "/".join(filter(None, (self.role, self.instance)))
        where = " ".join(filter(None, (self.type, instance, self.path)))
        return f"{where}: {self.message}"


@frozen
class Error:
    """Why an ack rejects or a reply refuses."""

    type: str
    message: str
    problems: Annotated[tuple[Problem, ...], Meta(max_length=MAX_PROBLEMS)] = ()


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


_SIX_DAYS: Final = timedelta(days=6)
"""Within them a day of the week says which day is meant."""
STOPPED_BY_HAND: Final = "Stopped"
"""The reason of an instance that somebody stopped."""


@frozen
class InstanceStatus:
    """What one instance does. `reason` is a CamelCase code, `message` a sentence.

    `revision`: the latest whose settings are the ones this state belongs to; None where the
    station is of an earlier release and does not say.
    """

    state: State
    since: datetime
    restarts: Count
    reason: str | None
    message: str | None
    revision: RevisionOrNone | None = None

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
            form = "%a %H:%M %Z" if self.until - self.at < _SIX_DAYS else "%Y-%m-%d %H:%M %Z"
            until = f" until {self.until.astimezone(zone):{form}}"
        why = f": {printable(self.why)}" if self.why else ""
        return f"stopped by {printable(self.by)}{until}{why}"


StoppedInstances = Annotated[tuple[StopByHand, ...], Meta(max_length=MAX_STOPS)]


@frozen
class StopList:
    """All that is stopped by hand on a station; `at`: when the manager said so."""

    at: datetime
    stops: StoppedInstances


@frozen
class Status:
    """What a station runs now: the revision in force and each instance.

    `stops`: what it keeps stopped, None where its release cannot.
    """

    boot: Boot
    at: datetime
    revision: RevisionOrNone
    roles: Mapping[str, Mapping[str, InstanceStatus]] = field(validator=_not_too_many)
    stops: StoppedInstances | None = None


@frozen
class Config:
    """What the manager wants of one station.

    `name` and `room` are the conference file's keys, absent from the wire when None.
    """

    revision: Revision
    at: datetime | None
    by: str | None
    roles: Roles
    name: str | None = None
    room: str | None = None


@frozen
class InForce:
    """The last config a station accepted; revision 0 and no roles if there was none."""

    revision: RevisionOrNone
    roles: Roles = field(validator=_not_too_many)

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
class Sample:
    """One value of a metric family; `value` may be nan or infinite."""

    name: str
    labels: Mapping[str, str]
    value: float


@frozen
class Family:
    """A Prometheus metric family."""

    name: str
    type: str
    help: str
    samples: Annotated[tuple[Sample, ...], Meta(max_length=MAX_SAMPLES)]

    @cached_property
    def by_instance(self) -> Mapping[tuple[str, str], list[tuple[Mapping[str, str], float]]]:
        """(role, instance) -> labels and value of its samples that are numbers.

        The machine's own have neither: `("", "")`.
        """
        found: dict[tuple[str, str], list[tuple[Mapping[str, str], float]]] = {}
        for one in self.samples:
            if not math.isnan(one.value):
                whose = one.labels.get("role", ""), one.labels.get("role_instance", "")
                found.setdefault(whose, []).append((one.labels, one.value))
        return found


@frozen
class Telemetry:
    """Figures of a station and its roles, as Prometheus families."""

    boot: Boot
    at: datetime
    families: Annotated[tuple[Family, ...], Meta(max_length=MAX_FAMILIES)]

    @cached_property
    def by_name(self) -> Mapping[str, Family]:
        """Its families, the last of each name."""
        return {family.name: family for family in self.families}


@frozen
class SegmentStream:
    """One track of a segment. `name`, `language`: None where it has none; `frames`: pictures, or
    packets of sound.
    """

    kind: Literal["video", "audio"]
    codec: ShortText
    name: ShortText | None
    language: ShortText | None
    frames: Count


@frozen
class Span:
    """From when to when something is so; `what`: the track or channel, None where it is all."""

    begin: datetime
    end: datetime
    what: ShortText | None = None


Spans = Annotated[tuple[Span, ...], Meta(max_length=MAX_SPANS)]


@frozen
class SegmentCheck:
    """What was found when a segment was decoded whole.

    `missing`, `damaged`: pictures; `dropouts`: holes in the sound; `loudness`: LUFS; `offset`:
    seconds by which the sound is ahead of the picture at the end, played sample by sample; both
    None where it cannot be told. `error`: why it does not decode; `skipped`: why nobody looked;
    `damaged_sound`: packets.
    """

    at: datetime
    missing: Count = 0
    damaged: Count = 0
    dropouts: Spans = ()
    silences: Spans = ()
    black: Spans = ()
    frozen: Spans = ()
    loudness: float | None = None
    offset: float | None = None
    error: Annotated[str, Meta(max_length=500)] | None = None
    skipped: Annotated[str, Meta(max_length=500)] | None = None
    damaged_sound: Count = 0


@frozen
class KeyFrames:
    """Key frames that follow each other evenly: when the first is shown, seconds from each to the
    next, and how many they are.
    """

    first: float
    every: float
    count: Annotated[int, Meta(ge=1, le=MAX_REVISION)]


SHORT_OF_CPU: Final = "the box is short of CPU: it is read back once it is not"
"""Why nobody has looked at a segment who will look later."""
GONE: Final = "the file is not there any more"
"""Why nobody will."""
SegmentEnd = Literal["full", "stopped", "source lost", "crash"]
"""Why there is no more of a segment."""


@frozen
class Segment:
    """One closed file of a recording.

    `number` rises by one within an `index`, which is random text and new whenever the station
    begins its index anew; `file`: below the station's recordings; `begin`, `end`: by the packets'
    times; `gap`: seconds to the one before of its instance; `ended`: why there is no more of it;
    `start`, `keys`: the least time in its packets, and its key frames, both in seconds of the
    file's own time; None and empty in an index of an earlier agent.
    """

    index: Boot
    number: Annotated[int, Meta(ge=1, le=MAX_REVISION)]
    file: Annotated[str, Meta(min_length=1, max_length=1024)]
    room: ShortText | None
    role: ShortText
    instance: ShortText
    begin: datetime
    end: datetime
    bytes: Count
    streams: Annotated[tuple[SegmentStream, ...], Meta(max_length=64)]
    frames: Count
    checksum: ShortText | None
    gap: float | None
    ended: SegmentEnd
    start: float | None = None
    keys: Annotated[tuple[KeyFrames, ...], Meta(max_length=MAX_KEY_FRAMES)] = ()
    check: SegmentCheck | None = None
    """None until it was read back."""

    @property
    def is_read(self) -> bool:
        """Whether no check is to come."""
        return self.check is not None and self.check.skipped != SHORT_OF_CPU

    @property
    def is_gone(self) -> bool:
        """Whether the station does not have it any more."""
        return self.check is not None and self.check.skipped == GONE


@frozen
class LastSegment:
    """The last segment that somebody has."""

    index: Boot
    number: Count


@frozen
class SegmentList:
    """What the station's command `segments {after}` gives: those that follow; `more`: not all."""

    index: Boot
    segments: tuple[Segment, ...]
    more: bool


@frozen
class LogLine:
    """One line an instance wrote; `stream` is `stdout` or `stderr`."""

    at: datetime
    role: str
    instance: str
    stream: str
    text: str


@frozen
class Log:
    """Lines of a station's instances; `dropped` counts those left out."""

    lines: tuple[LogLine, ...]
    dropped: Annotated[int, Meta(ge=0)]


@frozen
class CommandRequest:
    """A request to a running role; `instance` None where one runs."""

    instance: str | None
    arguments: Mapping[str, Any]


@frozen
class Reply:
    """The answer to a command or a request: one of the two is None."""

    result: Any
    error: Error | None
