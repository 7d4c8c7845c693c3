"""The times of a source, whatever its clock does, on one line that never jumps."""

from collections import deque
from collections.abc import Iterator, Sequence

SECOND = 1000
"""All times are in milliseconds, unless they say seconds."""
BEGIN = 10 * SECOND
"""Where a line begins: a track may turn out to have begun before the first packet."""
REORDERED = SECOND
"""How far back the times of pictures go that are sent in another order than they are shown."""
SLACK = SECOND // 10
"""How far a packet may be behind where it is due: on any track alike, so that none goes alone."""
AHEAD = SECOND
"""How much further than our own clock a source's clock may go between two packets."""
AHEAD_IN_FILE = 600 * SECOND
"""How much further a file's may, where no other track comes before: slides stand as long."""
STILL = SECOND
"""How long a track of one packet lasts that is read over and over: a still picture."""
TOGETHER = 0.5
"""Seconds in which all tracks of a source that began anew are to come."""
WRAPS = tuple(sign * of for of in (round(2**33 / 90), 2**32, 2**31) for sign in (1, -1))
"""After so much the times of a transport stream, or of RTMP (with some, after half of it), begin
again, as do those back."""
NEAR = 5 * SECOND
"""Tracks whose clocks are further apart have clocks of their own."""


def _wrap(step: int) -> int | None:
    """What is to be added to a time after which a clock has begun again; None where it has not.

    >>> _wrap(40 - 2**32), _wrap(-40)
    (4294967296, None)
    """
    return next((wrap for wrap in WRAPS if abs(step + wrap) < REORDERED), None)


class Block:
    """One packet of a track; `raw` is its time as the source has it."""

    def __init__(
        self,
        track: int,
        raw: int,
        key: bool,
        data: bytes,
        at: float = 0.0,
        *,
        timed: bool = True,
        ours: bool = False,
        private: bytes = b"",
    ) -> None:
        self.track, self.raw, self.key, self.data = track, raw, key, data
        self.at = at
        """When it came, in seconds of our clock."""
        self.late = 0.0
        """For how many seconds it had been on the station by then."""
        self.timed = timed
        """Whether `raw` is when it is shown; else it is when it is decoded."""
        self.ours = ours
        """Whether `raw` is by our own clock, which does not jump."""
        self.decoded: int | None = None
        """When it is decoded, as the source has it."""
        self.private = private
        """What a decoder is to know from it on, where that is something else than before."""


class _Track:
    def __init__(self, offset: int, raw: int, at: float) -> None:
        self.offset = offset
        """From the source's time to ours."""
        self.top = self.raw = raw
        """The highest time so far, the source's, and the last."""
        self.at = at
        self.decoded: int | None = None
        """When the last one was decoded, the source's."""
        self.steps: deque[int] = deque(maxlen=16)

    @property
    def due(self) -> int:
        """Where the next packet is expected at least, on our line."""
        return self.top + min(self.steps, default=0) + self.offset

    def due_at(self, at: float) -> int:
        """Where a packet that came then is expected; of steps that differ it tells the last."""
        step = min(round((at - self.at) * SECOND), max(self.steps, default=0))
        return self.top + max(step, min(self.steps, default=0)) + self.offset

    def move(self, raw: int, offset: int) -> None:
        """Go on at another time of the source."""
        self.offset, self.top, self.raw, self.decoded = offset, raw, raw, None


class Continuity:
    """Puts the packets of all tracks on one line that never jumps.

    What is in order keeps the distance that the source gave it. A track that jumps waits a
    moment for the others, so that they go on together as the source has them; where it is alone,
    it goes on where it would have been. `ahead`: further than our own clock no packet may go.
    """

    def __init__(self, pictures: frozenset[int] = frozenset(), ahead: int = AHEAD) -> None:
        self._pictures = pictures
        self._ahead = ahead
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[Block] = []
        self._begun = 0.0
        self._expected = False
        self.jumps = 0
        self.jumped = 0.0
        """By how many seconds the source's clock went wrong the last time."""

    def begins_again(self) -> None:
        """Know that the source's clock begins again, which is no jump and no pause."""
        self._expected = True
        for track in self._tracks.values():
            track.offset += 0 if track.steps else STILL

    @property
    def waits(self) -> bool:
        """Whether packets are held back."""
        return bool(self._waiting)

    def put(self, block: Block) -> Iterator[tuple[int, Block]]:
        """Take a packet; gives what is in order now, each with its time on our line."""
        joined = {one.track for one in self._waiting}
        if block.track in joined or self._jumps(block):
            self._waiting.append(block)
        else:
            yield self._placed(block), block
        yield from self.due(block.at)

    def due(self, now: float) -> Iterator[tuple[int, Block]]:
        """What need not wait any longer at `now`."""
        while self._waiting:
            first = self._waiting[0].at
            joined = {one.track for one in self._waiting}
            latest = max(track.at for track in self._tracks.values())
            missing = [
                track.at
                for number, track in self._tracks.items()
                if number not in joined and track.at > latest - 4 * TOGETHER
            ]
            if missing and now - first <= TOGETHER:
                return
            waiting, self._waiting = self._waiting, []
            paused = not self._expected and all(at < first for at in missing)
            self._begin_anew(waiting, paused)
            for index, block in enumerate(waiting):
                if index and self._jumps(block):  # the first is where it goes on
                    self._waiting = waiting[index:]
                    break
                yield self._placed(block), block

    def _jumps(self, block: Block) -> bool:
        """Whether a packet's time cannot follow the one before; adopts what others found."""
        track = self._tracks.get(block.track)
        if track is None:
            self._join(block)
        if track is None or block.ours:
            return False
        if self._expected:  # however little it goes back by
            return True
        wrapped = _wrap(block.raw - track.top)
        if wrapped is not None:
            track.move(block.raw, track.offset + wrapped)
        back = track.top - block.raw
        unsorted = block.track in self._pictures and not block.key
        ahead = -back - round((block.at - track.at) * SECOND)
        behind = track.due - track.offset - block.raw
        usual = max(self._ahead, 2 * (track.steps[-1] if track.steps else 0))
        others = [other for other in self._tracks.values() if other is not track]
        with_others = any(
            other.offset == track.offset and block.raw - other.top < AHEAD for other in others
        )
        in_order = back <= REORDERED if unsorted else behind <= SLACK
        if unsorted and block.decoded is not None and track.decoded is not None:
            # Shown in another order they are still sent in that in which they are decoded.
            step = block.decoded - track.decoded
            shown_after = back <= REORDERED or block.raw >= block.decoded - SLACK
            in_order = shown_after and (step >= -SLACK // 2 or _wrap(step) is not None)
        if in_order and (ahead <= usual or with_others):
            return False
        for other in others:  # which jumped before, and this one follows
            late = block.raw + other.offset - track.due
            most = AHEAD + (block.at - track.at) * SECOND
            apart = other.top - block.raw  # a lot where the others are about to jump once more
            follows = abs(apart) <= AHEAD or (apart <= NEAR and late < most)
            if other.offset != track.offset and follows and late > -AHEAD // 4:
                track.move(block.raw, other.offset)
                return False
        return True

    def _join(self, block: Block) -> None:
        """Let a new track in: by the clock of the others, or else with one of its own."""
        others = self._tracks.values()
        if not others:
            self._begun = block.at
            offset = BEGIN - block.raw
        else:
            nearest = min(others, key=lambda other: abs(block.raw - other.top))
            offset = nearest.offset
            if abs(block.raw - nearest.top) > NEAR:
                offset = max(other.top + other.offset for other in others) - block.raw
        self._tracks[block.track] = _Track(offset, block.raw, block.at)

    def _begin_anew(self, waiting: Sequence[Block], paused: bool) -> None:
        """Find where the tracks that wait go on: none before its own end, all as far apart.

        A pause lasts as long as it did, where nothing else came meanwhile.
        """
        head = waiting[0]
        firsts: dict[int, int] = {}
        came: dict[int, float] = {}
        for block in waiting:
            came.setdefault(block.track, block.at)
            least = firsts.setdefault(block.track, block.raw)
            if least - block.raw < REORDERED:  # else its clock was set once more
                firsts[block.track] = min(block.raw, least)
        now = BEGIN + round((head.at - self._begun) * SECOND) if paused else 0
        offsets = {n: max(self._tracks[n].due_at(came[n]), now) - raw for n, raw in firsts.items()}
        together = [n for n, raw in firsts.items() if abs(raw - head.raw) < NEAR]
        shared = max(offsets[n] for n in together)
        self.jumps += not self._expected
        self._expected = False
        self.jumped = (self._tracks[head.track].offset - shared) / SECOND
        for number, raw in firsts.items():
            self._tracks[number].move(raw, shared if number in together else offsets[number])

    def _placed(self, block: Block) -> int:
        track = self._tracks[block.track]
        if block.raw != track.raw:
            track.steps.append(min(abs(block.raw - track.raw), self._ahead))
        track.top, track.raw, track.at = max(track.top, block.raw), block.raw, block.at
        track.decoded = block.decoded
        return block.raw + track.offset
