"""What a decoder has to know of a stream before it can begin, and when that is something else."""

from collections import deque
from collections.abc import Iterator

from fleet.programs.continuity import Block
from fleet.programs.nut import NutStream
from fleet.programs.stamp import in_bytes, in_units, picture_in

_START = b"\0\0\1"
_SETS = {"h264": frozenset({7, 8}), "h265": frozenset({32, 33, 34})}
"""Kinds of units that say how pictures are to be decoded."""
_SIZES = {"h264": 7, "h265": 33}
"""The one of them that says how large they are."""
_BEGINS = {"h264": 9, "h265": 35}
"""The kind of unit that stands before all others of a picture."""
_LENGTH_AT = {"h264": 4, "h265": 21}
"""Where what is known before says how long the length of a unit is."""
_REPEAT = "dump_extra=freq=keyframe"
_STRANGE, _OF = 6, 12
"""So many packets of so many that cannot be of a codec are of another one."""
_SWALLOWED = 3.0
"""Seconds in which MPEG-2, which never stands still, has no picture where there is another codec:
ffmpeg looks for the end of one."""
_LOOKED_AT = 8
"""Units of a packet that are looked at."""
_NONE = frozenset({0, *range(24, 32)})
"""Kinds of units that H.264 has not in a stream."""
_MPEG2 = frozenset({0x00, 0xB2, 0xB3, 0xB5, 0xB7, 0xB8})
"""What a picture of MPEG-1 or 2, or what stands before it, begins with."""


class Head:
    """What is known of one stream."""

    def __init__(self, stream: NutStream, *, told_once: bool = False) -> None:
        """`told_once`: it is copied to where what each packet of AAC says of itself is lost."""
        self.codec = stream.codec
        self.picture = stream.kind == 0
        self.private = stream.private
        """What a decoder is told before the first packet."""
        at = _LENGTH_AT.get(stream.codec)
        units = at is not None and self.private[:1] == b"\1" and len(self.private) > at
        self.length = (self.private[at] & 3) + 1 if at is not None and units else 0
        """Bytes of a unit's length; 0 for a byte stream."""
        self._sizes = self._of_sizes(self.private)
        self._strange: deque[bool] = deque(maxlen=_OF)
        self._last: float | None = None
        self._told_once = told_once
        self._sounds: tuple[int, ...] | None = None

    def changes(self, block: Block) -> bool:
        """Whether with this packet something else begins, which is in `private` then."""
        if block.private:
            before, self.private = self.private, block.private
            return before not in (b"", block.private)
        if self.codec == "aac" and self._told_once and not self.private:
            sounds, self._sounds = self._sounds, _adts(block.data) or self._sounds
            return sounds not in (None, self._sounds)
        if not block.key or self.length or self.codec not in _SETS:
            return False
        sizes = self._of_sizes(block.data)
        if not sizes or sizes == self._sizes:
            return False
        known, self._sizes = self._sizes, sizes
        self.private = b"".join(b"\0" + _START + one for one in self._sets(block.data))
        return bool(known)

    def strange(self, block: Block) -> bool:
        """Whether what comes has been of another codec for a while."""
        self._last = block.at
        self._strange.append(not self.length and _is_strange(self.codec, block.data))
        return sum(self._strange) >= _STRANGE

    @property
    def doubtful(self) -> bool:
        """Whether something of late cannot be of its codec."""
        return any(self._strange)

    def swallowed(self, now: float) -> bool:
        """Whether nothing comes out any more of what came, though other streams do."""
        last = self._last
        return self.codec == "mpeg2" and last is not None and now - last > _SWALLOWED

    def stamped(self, data: bytes, at: float) -> bytes:
        """A key frame with its time of day, and with what a decoder has to know before it."""
        if self.codec not in _SETS:
            return data
        if self.length:
            return in_units(self.codec, data, self.length, at)
        return in_bytes(self.codec, data if self._of_sizes(data) else self._told(data), at)

    def _told(self, data: bytes) -> bytes:
        """The same with what is known before, but after what begins each picture."""
        begin = data.find(_START)
        if begin < 0 or begin + 3 >= len(data) or not self.private:
            return data
        if _kind(self.codec, data[begin + 3]) == _BEGINS[self.codec]:
            begin = data.find(_START, begin + 3)
        return data[:begin] + self.private + data[begin:] if begin >= 0 else data

    def _of_sizes(self, data: bytes) -> list[bytes]:
        kind = _SIZES.get(self.codec)
        return [one for one in self._sets(data) if _kind(self.codec, one[0]) == kind]

    def _sets(self, data: bytes) -> list[bytes]:
        if self.length or self.codec not in _SETS:
            return []
        units = dict.fromkeys(_before_picture(self.codec, data))  # many a camera says each twice
        return [one for one in units if _kind(self.codec, one[0]) in _SETS[self.codec]]


def _adts(data: bytes) -> tuple[int, ...] | None:
    """Profile, rate and channels in the head of a packet of AAC; None where it has none.

    >>> _adts(bytes.fromhex("fff15080")) == _adts(bytes.fromhex("fff14c80"))
    False
    """
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    return data[2] & 0xFD, data[3] & 0xC0


def _kind(codec: str, first: int) -> int:
    return first & 0x1F if codec == "h264" else first >> 1 & 0x3F


def _before_picture(codec: str, data: bytes) -> Iterator[bytes]:
    """The units of a byte stream before the first that holds a part of the picture."""
    begin = data.find(_START)
    while 0 <= begin < len(data) - 3 and not picture_in(codec, data[begin + 3]):
        end = data.find(_START, begin + 3)
        unit = data[begin + 3 : end if end >= 0 else None].rstrip(b"\0")
        if unit:
            yield unit
        begin = end


def _is_strange(codec: str, data: bytes) -> bool:
    """Whether there is something in a packet of a byte stream that its codec has not."""
    firsts = list(_firsts(data)) if codec in (*_SETS, "mpeg2") else []
    if codec == "h264":
        return any(first & 0x80 or first & 0x1F in _NONE for first in firsts)
    if codec == "h265":
        return any(first & 0x81 for first in firsts)
    return bool(firsts) and firsts[0] not in _MPEG2


def _firsts(data: bytes) -> Iterator[int]:
    """What the first units of a byte stream begin with."""
    begin = data.find(_START)
    for _ in range(_LOOKED_AT):
        if not 0 <= begin < len(data) - 3:
            return
        yield data[begin + 3]
        begin = data.find(_START, begin + 3)


def filters(head: Head) -> str:
    """With what each key frame in a transport stream begins with what a decoder has to know."""
    if head.codec == "h264" and head.length:
        return f"h264_mp4toannexb,{_REPEAT}"
    return _REPEAT if head.codec in ("mpeg2", "mpeg4") else "null"
