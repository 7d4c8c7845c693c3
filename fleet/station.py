"""What can be asked of every station, whatever it runs: the commands of the reserved role.

They stand in no registration, so the agent that answers and the operator who asks share them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from fleet.model import LastSegment, SegmentList

STATION: Final = "station"
"""The role whose commands exist on every station; no role can have this name."""
OF_MANAGER: Final = "manager-"
"""How the names begin by which a manager calls; it notes itself for whom."""
READ_COMMANDS: Final = frozenset({"get", "list", "logs", "info", "look", "segments"})
"""They change nothing, whatever role has them."""
MAX_SEALED: Final = 8192
"""Characters of a credential that is sealed to a station."""
MAX_SECRET: Final = 16_384
"""Characters of a secret that is sent from afar."""
AllowedHosts = Annotated[
    tuple[
        Annotated[
            str,
            Meta(
                pattern=r"^((\*\.)?[A-Za-z0-9_][A-Za-z0-9._-]{0,252}"  # or an address with colons
                r"|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,40})$",
                title='a host such as "live.example.org" or "*.example.org"',
            ),
        ],
        ...,
    ],
    Meta(max_length=100),
]
MOST_LINES: Final = 1000
"""Lines of an instance that can be asked for at once."""


@frozen
class LogsArguments:
    """Which instances; all of the station, or of the role, where none is named."""

    role: str | None = None
    instance: str | None = None
    lines: Annotated[int, Meta(ge=1, le=MOST_LINES, description="of each instance")] = 100


@frozen
class InstanceLines:
    """The last lines of one instance, oldest first."""

    role: str
    instance: str
    lines: tuple[str, ...]
    at: tuple[datetime | None, ...] = ()
    """When each was written; null where that is not known. Earlier releases leave it out."""


@frozen
class LogsResult:
    """What the instances wrote last."""

    instances: tuple[InstanceLines, ...]


@frozen
class RestartArguments:
    """Which instance."""

    role: str
    instance: str


@frozen
class RestartResult:
    """The instance is being restarted."""

    restarting: str


@frozen
class InfoArguments:
    """Nothing to be said."""


@frozen
class Disk:
    """Bytes of the disk that holds a directory."""

    directory: str
    total_bytes: int
    free_bytes: int


@frozen
class InfoResult:
    """What the box is and how it is. Times in seconds; `clock_offset` null where nobody knows."""

    hostname: str
    addresses: tuple[str, ...]
    uptime_seconds: float
    agent: str
    python: str
    system: str
    clock: datetime
    clock_offset_seconds: float | None
    disks: tuple[Disk, ...]
    load: tuple[float, ...]
    """Over 1, 5 and 15 minutes."""


@frozen
class LookArguments:
    """How long it may take."""

    seconds: Annotated[float, Meta(ge=1, le=60)] = 6.0


@frozen
class FileLook:
    """What an instance recorded, as its files say. Peaks in dB below full scale, rate in Hz.

    `file`: the newest segment that is closed, or the only one there is (`closed` tells);
    `problem`: what decoding it complained of, or why that could not be done.
    """

    role: str
    instance: str
    file: str | None
    problem: str | None
    grows: bool = False
    """Whether the newest of all grew in a second."""
    closed: bool = False
    seconds: float = 0.0
    """That came out of it."""
    whole: bool = False
    """Whether its end was reached in time."""
    pictures: int | None = None
    """That came out of it; None where it has no picture."""
    size: str | None = None
    rate: float | None = None
    peaks: tuple[float | None, ...] | None = None
    """Of each track, the highest of the last minute, null where all was zero; null for all of
    them where nobody could listen in time.
    """


@frozen
class ListLook:
    """A playlist that an instance writes; `problem`: why a player would not play it."""

    role: str
    instance: str
    file: str
    problem: str | None
    age_seconds: float | None = None


@frozen
class LookResult:
    """What was seen of what the station recorded and offers; `clock`: its own time, at the end."""

    clock: datetime
    files: tuple[FileLook, ...]
    lists: tuple[ListLook, ...]


@frozen
class SegmentsArguments:
    """After which segment; null, and one of another index: from the first on."""

    after: LastSegment | None = None


@frozen
class CredentialArguments:
    """What the station comes in with from now on, sealed to its key."""

    sealed: Annotated[str, Meta(max_length=MAX_SEALED)]


@frozen
class CredentialResult:
    """It is kept; `ends`: how long it lasts."""

    ends: datetime


@frozen
class SentSecret:
    """What is sealed to a station. `value`: None where it is to be forgotten; `allow`: the hosts to
    which it may go, all where that is empty; `at`: by which an older one is known.
    """

    name: str
    value: Annotated[str, Meta(min_length=1, max_length=MAX_SECRET)] | None
    allow: AllowedHosts
    at: datetime


@frozen
class SecretArguments:
    """A secret that the station is to keep, or to forget, sealed to its key."""

    sealed: Annotated[str, Meta(max_length=65_536)]


@frozen
class SecretResult:
    """It is kept, or forgotten; `restarting`: the instances that name it, as `role/instance`."""

    name: str
    restarting: tuple[str, ...]


COMMANDS: Final[Mapping[str, tuple[type, type]]] = {
    "logs": (LogsArguments, LogsResult),
    "restart": (RestartArguments, RestartResult),
    "info": (InfoArguments, InfoResult),
    "look": (LookArguments, LookResult),
    "segments": (SegmentsArguments, SegmentList),
    "credential": (CredentialArguments, CredentialResult),
    "secret": (SecretArguments, SecretResult),
}
"""Name -> classes of its arguments and result."""
ABOUT: Final[Mapping[str, str]] = {
    "logs": "What instances wrote last.",
    "restart": "Stop an instance and start it again.",
    "info": "What the box is, and how it is.",
    "look": "What recordings and streams are like, decoded.",
    "segments": "What was recorded: the closed segments after one.",
    "credential": "What it comes in with from now on; fleet rotate sends it.",
    "secret": "A secret to keep or to forget; fleet secret sends it.",
}
"""Name -> what it does."""
