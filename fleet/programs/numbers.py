"""Numbers, texts and checksums as NUT has them."""

from collections.abc import Sequence


def many(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number, and where it ends.

    Raises:
        IndexError: it is not all there; so do the others.
    """
    value = 0
    while True:
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at


def signed(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number that may be below zero, and where it ends."""
    value, at = many(data, at)
    value += 1
    return (-(value >> 1) if value & 1 else value >> 1), at


def text(data: bytes | bytearray, at: int) -> tuple[bytes, int]:
    """Bytes after their number, and where they end."""
    size, at = many(data, at)
    if at + size > len(data):
        raise IndexError
    return bytes(data[at : at + size]), at + size


def number(value: int) -> bytes:
    """As `many` reads it.

    >>> number(5).hex(), number(300).hex()
    ('05', '822c')
    """
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def _checksums() -> Sequence[int]:
    table = []
    for value in range(256):
        left = value << 24
        for _ in range(8):
            left = (left << 1 ^ (0x04C11DB7 if left >> 31 else 0)) & 0xFFFFFFFF
        table.append(left)
    return table


_TABLE = _checksums()


def checksum(data: bytes) -> int:
    """Of what stands before it."""
    left = 0
    for byte in data:
        left = (left << 8 ^ _TABLE[left >> 24 ^ byte]) & 0xFFFFFFFF
    return left
