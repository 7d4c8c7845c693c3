"""NUT as ffmpeg writes it to a pipe: taken apart into packets, and put together again.

It carries whatever ffmpeg can copy, each picture with the time at which it is shown. Of its parts
only those are written that say where a packet goes and when; what the reader says of its streams
goes on as it is.
"""

from collections.abc import Iterator
from typing import NamedTuple

from fleet.programs.continuity import SECOND, Block
from fleet.programs.numbers import checksum, many, number, signed, text

_ID = b"nut/multimedia container\0"
_MAIN, _STREAM, _SYNC = (bytes.fromhex(f"4e{it}") for it in (
    "4d7a561f5f04ad", "5311405bf2f9db", "4be4adeeca4569",
))  # fmt: skip
_KEY, _TIMED, _NAMED, _SIZED, _CHECKED, _RESERVED = 1, 8, 16, 32, 64, 128
_SIDE, _HEADED, _MATCHED, _CODED, _INVALID = 256, 1024, 2048, 4096, 8192
"""Flags of a packet: which of its parts are there."""
_LARGEST = 256 * 1024 * 1024
SHIFT = 1 << 48
"""Is added to the times on the way here, in whatever units: none may be below zero."""
MARK = 1 << 50
"""Is added where there is no time of when a picture is shown."""
SHIFT_SECONDS = 1001 << 21
"""The same where ffmpeg turns times into other units after it was added; of most a whole number."""
MARK_SECONDS = 4 * SHIFT_SECONDS
BLOCKS = "blocks"
"""Sound in blocks of a length that is not told on the way: Windows Media."""
_CODECS = {
    BLOCKS: tuple(bytes([kind, 1, 0, 0]) for kind in (0x60, 0x61, 0x62, 0x63)),
    "h264": (b"H264", b"AVC1", b"X264", b"DAVC"),
    "h265": (b"HEVC", b"HEV1", b"HVC1", b"H265"),
    "mpeg2": (b"MPG2", b"MPG1", b"M2V1", b"MX5P"),
    "mpeg4": (b"FMP4", b"MP4V", b"XVID", b"DIVX", b"DX50"),
    "aac": (b"\xff\0\0\0", b"MP4A"),
}
"""Codec -> by what names of four letters it goes; in small ones too."""


class Unlike(ValueError):
    """It is no NUT as ffmpeg writes it."""


class NutStream(NamedTuple):
    """One stream, as the header tells of it."""

    kind: int
    """0 is a picture, 1 sound."""
    codec: str
    """Empty where nothing has to be known of it."""
    private: bytes
    """What a decoder has to know before the first packet."""
    unit: tuple[int, int]
    """Of its times, as a fraction of a second."""
    bits: int
    """So many of a time are told where the rest is as before."""
    delay: int = 0
    """How many pictures may come before one that is shown earlier."""


class _Code(NamedTuple):
    """What the first byte of a packet says of it."""

    flags: int
    stream: int
    times: int
    size: int
    delta: int
    reserved: int
    head: int


class Nut:
    """Takes apart what the reader writes, bit by bit.

    `turned`: its times were shifted by seconds, not by units.
    """

    def __init__(self, *, turned: bool = False) -> None:
        self._turned = turned
        self._data = bytearray()
        self._at = 0
        self._units: list[tuple[int, int]] = []
        self._codes: list[_Code] = []
        self._heads: list[bytes] = [b""]
        self._last: dict[int, int] = {}
        self._parts: list[tuple[bytes, bytes]] = []
        """Of the header, what each is and what it holds."""
        self._begun = False
        self.streams: dict[int, NutStream] = {}

    def feed(self, data: bytes) -> Iterator[Block]:
        """Take what was read; gives the packets that are whole now.

        Raises:
            Unlike: it cannot be taken apart.
        """
        self._data += data
        while True:
            try:
                block = self._next()
            except IndexError:  # not all there
                break
            if block is not None:
                yield block
        del self._data[: self._at]
        self._at = 0

    def header(self, private: dict[int, bytes]) -> bytes:
        """All before the first packet; of some streams a decoder is to know something else."""
        parts = []
        for kind, content in self._parts:
            if kind == _STREAM:
                content = _told(content, private)
            parts.append(_part(kind, content))
        return _ID + b"".join(parts)

    def packed(self, at: int, block: Block) -> bytes:
        """A packet at its time in milliseconds, as the writer reads it after the header."""
        stream = self.streams[block.track]
        over, under = stream.unit
        time = max(at, 0) * under // (SECOND * over) + (1 << stream.bits)
        flags = _TIMED | _NAMED | _SIZED | _CHECKED | (_KEY if block.key else 0)
        said = number(block.track) + number(time) + number(len(block.data))
        head = bytes([self._plain()]) + number(flags) + said
        return head + checksum(head).to_bytes(4, "big") + block.data

    def _plain(self) -> int:
        """The first byte of a packet that says all by itself."""
        for byte, code in enumerate(self._codes):
            if (code.flags, code.times, code.size) == (_CODED, 1, 0):
                return byte
        raise Unlike("no packet says all by itself")

    def _next(self) -> Block | None:
        data, at = self._data, self._at
        if data[at] != _MAIN[0]:
            if not self._begun:
                if len(data) - at < len(_ID):
                    raise IndexError
                if not data.startswith(_ID, at):
                    raise Unlike("no NUT")
                self._begun, self._at = True, at + len(_ID)
                return None
            return self._packet()
        if not self._begun and data.startswith(_ID[: len(data) - at], at):
            raise Unlike("no NUT")
        kind = bytes(data[at : at + 8])
        size, at = many(data, at + 8)
        at += 4 if size > 4096 else 0
        if at + size > len(data):
            raise IndexError
        content = bytes(data[at : at + size - 4])
        self._at = at + size
        if not self._last or kind == _SYNC:
            self._learn(kind, content)
        return None

    def _learn(self, kind: bytes, content: bytes) -> None:
        self._parts.append((kind, content))
        if kind == _MAIN:
            self._learn_main(content)
        elif kind == _STREAM:
            self._learn_stream(content)
        elif kind == _SYNC:
            if self._last:
                self._parts.pop()
            time, _ = many(content, 0)
            over, under = self._units[time % len(self._units)]
            for one, stream in self.streams.items():
                other, of = stream.unit
                self._last[one] = time // len(self._units) * over * of // (under * other)

    def _learn_main(self, content: bytes) -> None:
        version, at = many(content, 0)
        at = many(content, at)[1] if version > 3 else at
        _, at = many(content, at)
        _, at = many(content, at)
        count, at = many(content, at)
        for _ in range(count):
            over, at = many(content, at)
            under, at = many(content, at)
            self._units.append((over, under))
        at = self._learn_codes(content, at)
        count, at = many(content, at)
        for _ in range(count):
            head, at = text(content, at)
            self._heads.append(head)

    def _learn_codes(self, content: bytes, at: int) -> int:
        delta, times, stream, head = 0, 1, 0, 0
        while len(self._codes) < 256:
            flags, at = many(content, at)
            fields, at = many(content, at)
            size = reserved = 0
            count: int | None = None
            if fields > 0:
                delta, at = signed(content, at)
            if fields > 1:
                times, at = many(content, at)
            if fields > 2:
                stream, at = many(content, at)
            if fields > 3:
                size, at = many(content, at)
            if fields > 4:
                reserved, at = many(content, at)
            if fields > 5:
                count, at = many(content, at)
            if fields > 6:
                _, at = signed(content, at)
            if fields > 7:
                head, at = many(content, at)
            for _ in range(8, fields):
                _, at = many(content, at)
            for further in range(times - size if count is None else count):
                if len(self._codes) == _MAIN[0]:
                    self._codes.append(_Code(_INVALID, 0, 0, 0, 0, 0, 0))
                code = _Code(flags, stream, times, size + further, delta, reserved, head)
                self._codes.append(code)
        return at

    def _learn_stream(self, content: bytes) -> None:
        one, at = many(content, 0)
        kind, at = many(content, at)
        name, at = text(content, at)
        unit, at = many(content, at)
        bits, at = many(content, at)
        _, at = many(content, at)
        delay, at = many(content, at)
        _, at = many(content, at)
        private, _ = text(content, at)
        names = {name, name.upper()}
        codec = next((codec for codec, known in _CODECS.items() if names & set(known)), "")
        self.streams[one] = NutStream(kind, codec, private, self._units[unit], bits, delay)

    def _packet(self) -> Block:
        data, at = self._data, self._at
        code = self._codes[data[at]] if self._codes else _Code(_INVALID, 0, 0, 0, 0, 0, 0)
        flags, one, time, head, size = code.flags, code.stream, None, code.head, code.size
        reserved, at = code.reserved, at + 1
        if flags & _INVALID:
            raise Unlike("a packet of no kind")
        if flags & _CODED:
            others, at = many(data, at)
            flags ^= others
        if flags & _NAMED:
            one, at = many(data, at)
        if flags & _TIMED:
            time, at = many(data, at)
        if flags & _SIZED:
            times, at = many(data, at)
            size += code.times * times
        if flags & _MATCHED:
            _, at = signed(data, at)
        if flags & _HEADED:
            head, at = many(data, at)
        if flags & _RESERVED:
            reserved, at = many(data, at)
        for _ in range(reserved):
            _, at = many(data, at)
        at += 4 if flags & _CHECKED else 0
        before = self._heads[head]
        if one not in self.streams or not 0 <= size - len(before) <= _LARGEST:
            raise Unlike("a packet of no stream, or too large")
        end = at + size - len(before)
        if end > len(data):
            raise IndexError
        stream, last = self.streams[one], self._last[one]
        if time is None:
            time = last + code.delta
        elif time >= 1 << stream.bits:
            time -= 1 << stream.bits
        else:
            mask = (1 << stream.bits) - 1
            least = last - mask // 2
            time = (time - least & mask) + least
        private = b""
        if flags & _SIDE:
            private, at = _beside(data, at)
            at = _beside(data, at)[1]
        self._last[one], self._at = time, end
        over, under = stream.unit
        shift, mark = SHIFT, MARK
        if self._turned:
            shift, mark = (in_units(it, stream.unit) for it in (SHIFT_SECONDS, MARK_SECONDS))
        raw = time - shift
        timed = raw < mark // 2
        milliseconds = (raw if timed else raw - mark) * SECOND * over // under
        content = before + bytes(data[at:end])
        return Block(one, milliseconds, bool(flags & _KEY), content, timed=timed, private=private)


def in_units(seconds: int, unit: tuple[int, int]) -> int:
    """The nearest number of units, each a fraction of a second.

    >>> in_units(1001, (1001, 30000)), in_units(1, (3, 5))
    (30000, 2)
    """
    over, under = unit
    return (2 * seconds * under + over) // (2 * over)


def _beside(data: bytearray, at: int) -> tuple[bytes, int]:
    """What comes beside a packet: what a decoder is to know from it on, and where that ends."""
    private = b""
    count, at = many(data, at)
    for _ in range(count):
        name, at = text(data, at)
        kind, at = signed(data, at)
        if kind == -1:
            _, at = text(data, at)
        elif kind == -2:
            _, at = text(data, at)
            content, at = text(data, at)
            private = content if name == b"Extradata" else private
        elif kind == -3 or kind < -4:
            _, at = signed(data, at)
        elif kind == -4:
            _, at = many(data, at)
    return private, at


def _told(content: bytes, private: dict[int, bytes]) -> bytes:
    """What is told of a stream, where a decoder is to know something else: its size by that."""
    one, at = many(content, 0)
    if one not in private:
        return content
    kind, at = many(content, at)
    _, at = text(content, at)
    for _ in range(5):
        _, at = many(content, at)
    _, end = text(content, at)
    rest = content[end:]
    if kind == 0:
        for _ in range(2):
            rest = rest[many(rest, 0)[1] :]
        rest = b"\1\1" + rest  # it has to have one; that of the pictures is found
    return content[:at] + number(len(private[one])) + private[one] + rest


def _part(kind: bytes, content: bytes) -> bytes:
    size = number(len(content) + 4)
    head = kind + size
    if len(content) + 4 > 4096:
        head += checksum(head).to_bytes(4, "big")
    return head + content + checksum(content).to_bytes(4, "big")
