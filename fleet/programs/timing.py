"""When what comes in is shown and heard, and how much of it is lost on the way. Pure.

Times are nanoseconds of the output unless said otherwise.
"""

from collections import deque
from collections.abc import Sequence

LATE = 150_000_000
"""Nanoseconds a sample may come after its time; the mixers wait 200 ms for it."""
EARLY = 2_000_000_000
SETTLING = 1_000_000_000
"""Nanoseconds after the first sample, and of nothing but late ones, in which a source's time is
moved so that they are not late any more."""
MOVING = 10
"""Pictures in that time that make a moving picture; fewer are slides, and wait for no sound."""
_CLEARLY = 0.75
"""Frames a picture is off from one that it does not belong to."""
WINDOW = 30
"""Seconds over which losses are looked at."""


class Timeline:
    """When what a source gives is shown: at its own time, moved by an offset. In nanoseconds.

    A sender's clock is not ours, and what comes late once is late only once: the offset follows
    when all of a kind comes late, and picture and sound move together.
    """

    def __init__(self, offset: int) -> None:
        self.offset = offset
        """From the source's time to that of the output."""
        self._first: int | None = None
        self._foreign = False
        """Whether its clock is not ours; then it may begin so that nothing at all is late."""
        self.settled = False
        """Whether what is missing from now on is a loss."""
        self._late: dict[str, tuple[int, int, int]] = {}
        """Of each kind that is late: since when, how many, and by how much at least."""

    def place(self, kind: str, running: int, now: int) -> int | None:
        """The time for a sample of `kind`, `picture` or one of sound; None: it comes too late."""
        if self._first is None:
            self._first = now
        self.settled = now - self._first > SETTLING
        late = now - running - self.offset
        if late < -EARLY or (not self.settled and late > (0 if self._foreign else LATE)):
            return self._move(late, running)
        if late <= LATE:
            self._late.pop(kind, None)
            return running + self.offset
        since, count, least = self._late.pop(kind, (now, 0, late))
        if now - since < SETTLING:
            self._late[kind] = since, count + 1, min(least, late)
        elif kind != "picture" or count >= MOVING:
            return self._move(min(least, late), running)
        return now if kind == "picture" else None

    def _move(self, late: int, running: int) -> int:
        self._foreign = True
        self.offset += late
        self._late.clear()
        return running + self.offset


class Frames:
    """Puts pictures into the frames of a constant rate; counts those repeated and left out."""

    def __init__(self, over: int, under: int) -> None:
        self._rate = over, under * 1_000_000_000
        self._last: int | None = None
        self.repeated = self.dropped = 0

    def put(self, time: int, settled: bool = True) -> int | None:
        """The begin of the frame that shows a picture of this time; None where one has it.

        That is the nearest, and once it has `settled` the frame after the last one, unless the
        picture is clearly none of it: so jitter alone neither repeats nor drops.
        """
        over, under = self._rate
        at = time * over / under
        frame = round(at)
        if settled and self._last is not None and abs(at - self._last - 1) <= _CLEARLY:
            frame = self._last + 1
        if self._last is not None:
            if self._last - over < frame <= self._last:  # a second; more is another time
                self.dropped += 1
                return None
            self.repeated += max(0, frame - self._last - 1)
        self._last = frame
        return frame * under // over


def following(time: int, last: int | None, frame: float) -> int:
    """The time of a picture after one at `last`, where each has a frame of its own.

    A mixer of pictures that has just begun gives two the same time, and leaves out the next.

    >>> [following(time, 40, 40) for time in (80, 40, 41, 120)], following(0, None, 40)
    ([80, 80, 80, 120], 0)
    """
    if last is None or time - last > frame / 2:
        return time
    return last + round(frame)


class Share:
    """How much of what there was to be shown or heard in the last `WINDOW` seconds was lost."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque([(0, 0)], WINDOW + 1)

    def of(self, lost: float, total: float, least: float) -> float:
        """From 0 to 1, told both since the begin once a second; 0 where less than `least` came."""
        self._seen.append((lost, total))
        lost, total = lost - self._seen[0][0], total - self._seen[0][1]
        return lost / total if total >= least else 0.0


def rate_of(times: Sequence[int]) -> float:
    """Pictures a second that have these times; 0 where that cannot be said.

    >>> rate_of([0, 100_000_000, 200_000_000, 300_000_000]), rate_of([5])
    (10.0, 0.0)
    """
    took = times[-1] - times[0] if times else 0
    return (len(times) - 1) * 1e9 / took if took > 0 else 0.0


def unplanned(share: float, given: float, wanted: float) -> float:
    """What of a share left out is more than going from one rate to another takes.

    >>> round(unplanned(0.52, given=50, wanted=25), 2), unplanned(0.0, given=25, wanted=30)
    (0.02, 0.0)
    """
    return max(0.0, share - max(0.0, 1 - wanted / given))
