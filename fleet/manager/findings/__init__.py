"""What can be wrong, from when on it counts, and how people read it. Pure.

The kinds stand in the order in which they matter to the one question: is the right thing being
captured, with usable sound, saved, and leaving the building? How bad one is depends on the room:
outside talks silence is no alarm, and outside its hours nobody is sent anywhere. `station` finds
what is wrong with a box, `instance` with what it runs, `whole` with a room, or with what belongs to
none. `health` judges by it, and nobody else does.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import define, frozen

from fleet.manager.stations.state import BLANK, StationState
from fleet.operations.health import HealthFinding, HealthLevel


class FindingKind(StrEnum):
    """What is wrong, what matters most first."""

    LOST = "Lost"
    OFFLINE = "Offline"
    MISSING = "Missing"
    REJECTED = "Rejected"
    RECORD = "Record"
    INGEST = "Ingest"
    SIGNAL = "Signal"
    SILENCE = "Silence"
    LOW = "Low"
    STREAM = "Stream"
    PRIVATE = "Private"
    BLANK = "Blank"
    SOURCE = "Source"
    MAINS = "Mains"
    DISK_FULL = "DiskFull"
    COPIES = "Copies"
    CONFLICT = "Conflict"
    LAGGING = "Lagging"
    SOUND = "Sound"
    CHANNEL = "Channel"
    ROLE = "Role"
    LOUD = "Loud"
    PICTURE = "Picture"
    METER = "Meter"
    DISK_FAILS = "DiskFails"
    DISK_USED = "DiskUsed"
    VOLTAGE = "Voltage"
    HOT = "Hot"
    THROTTLED = "Throttled"
    LOAD = "Load"
    LINK = "Link"
    RETRANSMITS = "Retransmits"
    CLOCK = "Clock"
    SCHEDULE = "Schedule"
    NOT_NOTIFIED = "NotNotified"
    CREDENTIAL = "CredentialEnds"
    CERTIFICATE = "CertificateEnds"
    PUT_BACK = "StorePutBack"
    WAITING = "BoxWaiting"
    UNWATCHED = "Unwatched"
    NOTICE = "Notice"
    UNKNOWN = "Unknown"

    @property
    def rank(self) -> int:
        """0 for what matters most."""
        return _RANKS[self]


ABSENT: Final = (
    FindingKind.LOST,
    FindingKind.OFFLINE,
    FindingKind.MISSING,
    FindingKind.UNKNOWN,
)
"""Kinds of a station that cannot be asked."""
_RANKS: Final = {kind: rank for rank, kind in enumerate(FindingKind)}

CRASH_LOOP: Final = 3
"""Crashes within five minutes that are a crash loop, as for the alerts."""
DISK_SECONDS: Final = 2 * 3600.0
DAY_SECONDS: Final = 12 * 3600.0
"""What a disk should last in the morning."""
WRITE_SECONDS: Final = 60.0
METER_SECONDS: Final = 30.0
BEHIND_SECONDS: Final = 15 * 60.0
"""So long after it was finished a recording is copied and verified."""
NO_COPY_SECONDS: Final = 3600.0
THUMBNAIL_SECONDS: Final = 30.0
"""A picture older than this is stale."""
CORE_SECONDS: Final = 30.0
"""Rooms lost within this have one cause."""
LOW_LUFS: Final = -48.0
QUIET_LUFS: Final = -30.0
LOUD_LUFS: Final = -14.0
DISK_USED: Final = 0.85
HOT_CELSIUS: Final = 75.0
MAINS_SECONDS: Final = 60.0
RETRANSMITS: Final = 0.01
RETRANSMIT_SECONDS: Final = 120.0
LINK_BYTES: Final = 125e6
CLOCK_SECONDS: Final = 0.2
LOAD_PER_CPU: Final = 2.0
SLOW_SECONDS: Final = 15.0
"""What a start, a stop or an answer may take."""
ONE_DAY: Final = 86400.0
ENDS_SECONDS: Final = 14 * ONE_DAY
"""A credential or a certificate that ends within that time should have been renewed."""
MACHINE_SECONDS: Final = 60.0
SLUGGISH_SECONDS: Final = 300.0
"""What heat and clocks may take to settle."""

_COMMANDS: Final = {FindingKind.BLANK: "live", FindingKind.PRIVATE: "blank"}
"""What a mixer is to be told."""
NOTES: Final[Mapping[str, tuple[FindingKind, str]]] = {
    "NoSignal": (FindingKind.SIGNAL, "no signal"),
    BLANK: (FindingKind.BLANK, "its stream is blank"),
    "SourceMissing": (FindingKind.SOURCE, "a source of the mixer is missing"),
    "NoPicture": (FindingKind.SIGNAL, "no picture"),
    "DeviceMissing": (FindingKind.SIGNAL, "device missing"),
    "DeviceBusy": (FindingKind.SIGNAL, "device busy"),
    "SourceUnreachable": (FindingKind.SIGNAL, "source unreachable"),
    "SourceRefused": (FindingKind.SIGNAL, "source refuses us"),
    "SourceUnreadable": (FindingKind.SIGNAL, "source unreadable"),
    "FileMissing": (FindingKind.SIGNAL, "file missing"),
    "NotPermitted": (FindingKind.SIGNAL, "not permitted"),
    "EncoderFallback": (FindingKind.ROLE, "encodes in software"),
    "Choppy": (FindingKind.PICTURE, "choppy"),
    "DiskMissing": (FindingKind.RECORD, "disk missing"),
    "DiskHangs": (FindingKind.RECORD, "disk hangs"),
    "OtherDisk": (FindingKind.RECORD, "other disk"),
    "ClockJumped": (FindingKind.NOTICE, "clock jumped"),
    "SourceChanged": (FindingKind.NOTICE, "source changed"),
    "RoleFileChanged": (FindingKind.NOTICE, "role file changed"),
    "AgentChanged": (FindingKind.NOTICE, "changes the agent"),
    "NoSound": (FindingKind.SOUND, "no sound"),
    "ChannelSilent": (FindingKind.CHANNEL, "a sound channel is silent"),
    "DigitalSilence": (FindingKind.SILENCE, "digital silence"),
    "SoundLow": (FindingKind.LOW, "sound too low"),
    "SoundHigh": (FindingKind.LOUD, "sound too loud"),
    "PictureBlack": (FindingKind.PICTURE, "black picture"),
    "PictureFrozen": (FindingKind.PICTURE, "frozen picture"),
}
"""Reasons of instances that run; a `NOTICE` asks nobody to do anything."""


@frozen
class Suspicion:
    """A finding, if it lasts for so many seconds. `dated`: whether it matters since when."""

    finding: HealthFinding
    after: float = 0.0
    dated: bool = True


@define
class Judgement:
    """A moment at which is judged. `until`: to when, in Unix seconds, the same would be found."""

    at: datetime
    until: float = math.inf

    def is_past(self, moment: float) -> bool:
        """Whether a moment, in Unix seconds, is over; as long as it is not, that may change."""
        if self.at.timestamp() > moment:
            return True
        self.holds(moment)
        return False

    def holds(self, moment: float) -> None:
        """What is found is so up to then, in Unix seconds."""
        self.until = min(self.until, moment)


def suspect(
    station: StationState,
    kind: FindingKind,
    level: HealthLevel,
    text: str,
    detail: str | None = None,
    instance: str | None = None,
    since: datetime | None = None,
    after: float = 0.0,
    dated: bool = True,
) -> Suspicion:
    """Of a station: where that is, and what to type, are known."""
    name, room = station.name, station.status.room
    command = f"fleet logs {name} {instance}" if instance else f"fleet status {name}"
    if kind is FindingKind.CREDENTIAL:
        command = f"fleet rotate {name}"
    if kind in _COMMANDS and room:
        command = f"fleet {_COMMANDS[kind]} {room}"
    finding = HealthFinding(
        kind.value, level, room, name, instance, station.where, text, command, detail, since
    )
    return Suspicion(finding, after, dated)


def words(reason: str) -> str:
    """What people read in place of a code.

    >>> words("TargetUnreachable")
    'target unreachable'
    """
    if reason in NOTES:
        return NOTES[reason][1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", reason).lower()
