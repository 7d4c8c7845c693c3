"""MQTT 5 with as little as can be: what the measured programs are compared with, and fed by.

A hand-written protocol costs a station some 10 µs a message, so that 1,000 of them in one process
do not hide what is measured.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

Heard = Callable[[str, bytes, bytes | None], None]
"""Called with topic, payload and correlation data."""

_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 2, 3, 4, 9
_CORRELATION = 9
_VARIABLE = {3: 1, 8: 1, 9: 1, 38: 2}
"""Property -> how many strings with a length before them it has."""
_FIXED = {1: 1, 2: 4, 35: 2}


def _number(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _text(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("!H", len(data)) + data


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _number(len(body)) + body


def _correlation(properties: bytes) -> bytes | None:
    at = 0
    while at < len(properties):
        kind = properties[at]
        at += 1
        if kind in _FIXED:
            at += _FIXED[kind]
            continue
        for _ in range(_VARIABLE[kind]):
            (length,) = struct.unpack_from("!H", properties, at)
            value = properties[at + 2 : at + 2 + length]
            at += 2 + length
        if kind == _CORRELATION:
            return value
    return None


class Thin(asyncio.Protocol):
    """One connection; `await Thin.open(...)`, then `publish`."""

    def __init__(self, client_id: str, heard: Heard) -> None:
        self._client_id = client_id
        self._heard = heard
        self._buffer = b""
        self._mid = 0
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._subscribed: asyncio.Future[None] = loop.create_future()
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int, client_id: str, heard: Heard, *filters: str) -> "Thin":
        """Connected, and subscribed to `filters` at QoS 1."""
        loop = asyncio.get_running_loop()
        _, thin = await loop.create_connection(lambda: cls(client_id, heard), "127.0.0.1", port)
        await thin._connected
        if filters:
            body = struct.pack("!H", 1) + b"\0"
            body += b"".join(_text(one) + b"\x01" for one in filters)
            thin._transport.write(_packet(0x82, body))
            await thin._subscribed
        return thin

    def publish(
        self, topic: str, payload: bytes, retain: bool = False, correlation: bytes | None = None
    ) -> None:
        """At QoS 1; nobody waits for the PUBACK."""
        self._mid = self._mid % 65535 + 1
        properties = b"" if correlation is None else bytes((_CORRELATION,)) + _text(correlation)
        head = _text(topic) + struct.pack("!H", self._mid) + _number(len(properties)) + properties
        self._transport.write(_packet(0x33 if retain else 0x32, head + payload))

    def close(self) -> None:
        self._transport.write(b"\xe0\x00")
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        connect = _text("MQTT") + b"\x05\x02\x00\x00\x00" + _text(self._client_id)
        transport.write(_packet(0x10, connect))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at, buffer = 0, self._buffer
        while len(buffer) - at >= 2:
            length = shift = 0
            start = at + 1
            while start < len(buffer):
                byte = buffer[start]
                start += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            else:
                break
            if len(buffer) < start + length:
                break
            self._packet_received(buffer[at], buffer[start : start + length])
            at = start + length
        self._buffer = buffer[at:]

    def _packet_received(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == _PUBLISH:
            (length,) = struct.unpack_from("!H", body)
            topic, at = body[2 : 2 + length].decode(), 2 + length
            if first & 0x06:
                self._transport.write(b"\x40\x02" + body[at : at + 2])
                at += 2
            size = shift = 0
            while True:
                byte = body[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
            correlation = _correlation(body[at : at + size]) if size else None
            self._heard(topic, body[at + size :], correlation)
        elif kind == _CONNACK:
            assert body[1] == 0, f"the broker refused: {body[1]}"
            self._connected.set_result(None)
        elif kind == _SUBACK:
            self._subscribed.set_result(None)
        else:
            assert kind == _PUBACK, f"packet {kind}"
            assert len(body) < 3 or body[2] in (0, 16), f"a publish was refused: {body[2]}"
