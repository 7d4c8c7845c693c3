"""Matroska as ffmpeg writes it to a pipe: taken apart into packets, and put together again."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from fleet.programs.continuity import Block

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TIME, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_TRACKS, _TRACK, _NUMBER, _TYPE, _CODEC, _PRIVATE = 0x1654AE6B, 0xAE, 0xD7, 0x83, 0x86, 0x63A2
_STAMPED = {"V_MPEG4/ISO/AVC": ("h264", 4), "V_MPEGH/ISO/HEVC": ("h265", 21)}
"""Codec -> its name, and where its private data say how long the length of a unit is."""
_LACED = 0x06
"""Flags of a packet that is several."""
_LARGEST = 256 * 1024 * 1024
SHIFT = 1 << 48
"""Is added to the times on the way here, for none may be below zero."""
MARK = 1 << 50
"""Is added where there is no time of when a picture is shown."""


def _number(data: bytes | bytearray, at: int, marked: bool) -> tuple[int, int] | None:
    """A number of variable length and where it ends; None if it is not all there."""
    if at >= len(data):
        return None
    length = 9 - data[at].bit_length()
    if length > 8:
        raise ValueError("no Matroska")
    if at + length > len(data):
        return None
    value = int.from_bytes(data[at : at + length], "big")
    return (value if marked else value & ((1 << 7 * length) - 1)), at + length


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that `data` consists of: what each is, and what it holds."""
    at = 0
    while at < len(data):
        kind = _number(data, at, marked=True)
        size = kind and _number(data, kind[1], marked=False)
        if not kind or not size:
            return
        yield kind[0], data[size[1] : size[1] + size[0]]
        at = size[1] + size[0]


class Matroska:
    """Takes apart what the reader writes, bit by bit."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0
        self._cluster = 0
        self.header = b""
        """All before the first packet, once that is there."""
        self.tracks: dict[int, tuple[int, str]] = {}
        """Number -> type (1 is a picture) and codec."""
        self.units: dict[int, tuple[str, int]] = {}
        """Track that can be told the time of day -> its codec, and bytes of a unit's length."""

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take what was read; gives the packets that are whole now."""
        self._data += data
        while True:
            kind = _number(self._data, self._at, marked=True)
            size = kind and _number(self._data, kind[1], marked=False)
            if not kind or not size:
                break
            begin, end = size[1], size[1] + size[0]
            if kind[0] in (_SEGMENT, _CLUSTER):
                if kind[0] == _CLUSTER and not self.header:
                    self.header = bytes(self._data[: self._at])
                    del self._data[: self._at]
                    begin -= self._at
                self._at = begin
                continue
            if size[0] > _LARGEST:
                raise ValueError("a packet too large")
            if end > len(self._data):
                break
            if not self.header:
                if kind[0] == _TRACKS:
                    self._learn(bytes(self._data[begin:end]))
                self._at = end  # kept, for it goes on as it is
                continue
            if kind[0] == _TIME:
                self._cluster = int.from_bytes(self._data[begin:end], "big")
            elif kind[0] in (_SIMPLE, _GROUP):
                yield self._block(kind[0], bytes(self._data[self._at : end]), begin - self._at)
            self._at = end
        if self.header:
            del self._data[: self._at]
            self._at = 0

    def _learn(self, tracks: bytes) -> None:
        for kind, entry in elements(tracks):
            if kind == _TRACK:
                one = dict(elements(entry))
                number = int.from_bytes(one[_NUMBER], "big")
                codec, private = one[_CODEC].decode(), one.get(_PRIVATE, b"")
                self.tracks[number] = int.from_bytes(one[_TYPE], "big"), codec
                name, at = _STAMPED.get(codec, ("", 0))
                if name and len(private) > at:
                    self.units[number] = name, (private[at] & 3) + 1

    def _block(self, kind: int, data: bytes, begin: int) -> Block:
        at, key = begin, True
        if kind == _GROUP:
            while True:
                inner = _number(data, at, marked=True)
                size = inner and _number(data, inner[1], marked=False)
                if not inner or not size:
                    raise ValueError("a group without a packet")
                at = size[1]
                if inner[0] == _BLOCK:
                    break
                at += size[0]
        track = _number(data, at, marked=False)
        if track is None:
            raise ValueError("a packet without a track")
        number, at = track
        raw = self._cluster + int.from_bytes(data[at : at + 2], "big", signed=True)
        if kind == _SIMPLE:
            key = bool(data[at + 2] & 0x80)
        return Block(number, raw - SHIFT, key, data[:at] + b"\0\0" + data[at + 2 :])


def changed(block: Block, change: Callable[[bytes], bytes]) -> Block:
    """The same packet with other data; as it was where it is not a simple one."""
    data = block.data
    size = _number(data, 1, marked=False)
    track = size and _number(data, size[1], marked=False)
    if data[0] != _SIMPLE or not size or not track or data[track[1] + 2] & _LACED:
        return block
    begin = track[1] + 3
    inner = data[size[1] : begin] + change(data[begin:])
    head = bytes([_SIMPLE]) + (len(inner) | 1 << 56).to_bytes(8, "big")
    return replace(block, data=head + inner)


def cluster(at: int, block: Block) -> bytes:
    """A packet at its time, as the writer reads it."""
    time_ = b"\xe7\x88" + max(at, 0).to_bytes(8, "big")
    size = (len(time_) + len(block.data) | 1 << 56).to_bytes(8, "big")
    return b"\x1f\x43\xb6\x75" + size + time_ + block.data
