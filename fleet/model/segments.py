"""What a station recorded, segment by segment."""

from datetime import datetime
from typing import Annotated, Final, Literal

from attrs import frozen
from msgspec import Meta

from fleet.model.bounds import MAX_KEY_FRAMES, MAX_REVISION, MAX_SPANS, Boot, Count, ShortText


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
    """What the station's command `segments {after}` gives: those that follow; `more`: not all.

    `until`: the number up to which it tells all there is; what is not in it the station has
    forgotten. None of an earlier agent, which forgets nothing.
    """

    index: Boot
    segments: tuple[Segment, ...]
    more: bool
    until: Annotated[int, Meta(ge=0, le=MAX_REVISION)] | None = None
