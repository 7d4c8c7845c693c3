"""Matroska as ffmpeg writes it to a pipe: taken apart into packets, and put together again."""

from collections.abc import Iterator

from fleet.programs.continuity import Block

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TIME, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_TRACKS, _TRACK, _NUMBER, _TYPE, _CODEC = 0x1654AE6B, 0xAE, 0xD7, 0x83, 0x86
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
                self.tracks[number] = int.from_bytes(one[_TYPE], "big"), one[_CODEC].decode()

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


def cluster(at: int, block: Block) -> bytes:
    """A packet at its time, as the writer reads it."""
    time_ = b"\xe7\x88" + max(at, 0).to_bytes(8, "big")
    size = (len(time_) + len(block.data) | 1 << 56).to_bytes(8, "big")
    return b"\x1f\x43\xb6\x75" + size + time_ + block.data
