"""The time of day of a picture, written into the picture's own data.

A key frame of H.264 or H.265 gets a message (SEI, user data unregistered) as MISB ST 0604 has it:
Unix time in microseconds. It goes wherever the picture goes, through copies, cuts and containers,
and is there once the picture is.
"""

from collections import deque

MARK = b"MISPmicrosectime"
_LOCKED = 0x1F
"""The time is that of a clock which runs on."""
WINDOW_SECONDS = 60
"""Of which the packet that came soonest counts: in that time no clock drifts by a picture."""
JUMP_SECONDS = 3
"""What comes so much later is not waited for: it is soonest by itself."""
_HEADERS = {"h264": b"\x06", "h265": b"\x4e\x01"}
"""What begins such a message."""


def message(codec: str, at: float) -> bytes:
    """The message of a picture of `at`, Unix time in seconds; `codec` is `h264` or `h265`.

    >>> message("h264", 0.0)[:3].hex(), written(message("h265", 1700000000.25)[20:32])
    ('06051c', 1700000000.25)
    """
    number = round(at * 1e6).to_bytes(8, "big")
    pairs = b"\xff".join(number[at : at + 2] for at in range(0, 8, 2))
    payload = MARK + bytes([_LOCKED]) + pairs
    return _HEADERS[codec] + bytes([5, len(payload)]) + payload + b"\x80"


def written(data: bytes) -> float | None:
    """What such a message says, from what follows its mark; None where it is none."""
    if len(data) != 12 or not data[3] == data[6] == data[9] == 0xFF:
        return None
    return int.from_bytes(data[1:3] + data[4:6] + data[7:9] + data[10:], "big") / 1e6


def picture_in(codec: str, first: int) -> bool:
    """Whether a unit that begins with this byte holds a part of the picture itself."""
    return 1 <= first & 0x1F <= 5 if codec == "h264" else first >> 1 & 0x3F < 32


def in_bytes(codec: str, data: bytes, at: float) -> bytes:
    """A picture as a byte stream, with its time; as it was where it holds no picture."""
    begin = data.find(b"\0\0\1")
    while begin >= 0 and begin + 3 < len(data):
        if picture_in(codec, data[begin + 3]):
            return data[:begin] + b"\0\0\1" + message(codec, at) + data[begin:]
        begin = data.find(b"\0\0\1", begin + 3)
    return data


def in_units(codec: str, data: bytes, length: int, at: float) -> bytes:
    """The same of a picture whose units come after their lengths, of so many bytes each."""
    begin = 0
    while begin + length < len(data):
        if picture_in(codec, data[begin + length]):
            said = message(codec, at)
            return data[:begin] + len(said).to_bytes(length, "big") + said + data[begin:]
        begin += length + int.from_bytes(data[begin : begin + length], "big")
    return data


class Arrivals:
    """When what a source sends came: by its own times, moved so that none came before its time.

    The first may come in a heap, or late; the one that came soonest of late tells how far its
    clock is from ours. Times are whole numbers, `second` of them in a second.
    """

    def __init__(self, second: int) -> None:
        self._window, self._jump = WINDOW_SECONDS * second, JUMP_SECONDS * second
        self._soonest: deque[tuple[int, int]] = deque()
        """When it came, and how long after its own time, each later than the one before it."""

    def came(self, own: int, now: int) -> None:
        """A packet of its own time `own` came at `now`."""
        late = now - own
        if self._soonest and late > self._soonest[0][1] + self._jump:
            self._soonest.clear()  # its clock began again, or what comes is that late from now on
        while self._soonest and self._soonest[-1][1] >= late:
            self._soonest.pop()
        self._soonest.append((now, late))
        while self._soonest[0][0] < now - self._window:
            self._soonest.popleft()

    @property
    def late(self) -> int | None:
        """How long after its own time what came soonest has come; None before the first."""
        return self._soonest[0][1] if self._soonest else None
