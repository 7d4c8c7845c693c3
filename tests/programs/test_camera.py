"""What a camera answers a reader that has a login: nothing of it can be read as a way elsewhere."""

import asyncio
import re
from contextlib import suppress

import pytest

from fleet.programs.camera import Camera, past

GOOD = (
    b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Base: rtsp://10.0.0.5/main/\r\n"
    b"Content-Length: 9\r\n\r\nv=0\r\nm=x\n"
)


async def told(said: bytes) -> bytes:
    """What a program hears of a camera that says this, before it has pictures sent."""

    async def camera(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(camera, "127.0.0.1", 0) as far:
        port = far.sockets[0].getsockname()[1]
        between = Camera(f"rtsp://127.0.0.1:{port}")
        async with await asyncio.start_server(between.serve, "127.0.0.1", 0) as near:
            at = near.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", at)
            writer.write(b"DESCRIBE rtsp://127.0.0.1/main RTSP/1.0\r\nCSeq: 2\r\n\r\n")
            heard = await reader.read()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    return heard


@pytest.mark.parametrize(
    "said",
    [
        b"RTSP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.1  301\nlocation:rtsp://evil/\n\n",
        b"\r\nRTSP/1.0 305 Use Proxy\r\nCSeq: 2\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0 +302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0\t302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"R\rTSP/1.0 302 Found\r\nLo\rcation: rtsp://evil/\r\n\r\n",
        b" RTSP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/9.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"$\0\0\x04RTSPRTSP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n$\0\0\x01Location: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n12345"
        b"RTSP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\nRTSP/1.0 302 x\r\nLocation: rtsp://evil/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 200 + b"Location: rtsp://evil/\r\n\r\n",
        b"X" * 200_000 + b"\r\nRTSP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
        b"REDIRECT rtsp://10.0.0.5/ RTSP/1.0\r\nLocation: rtsp://evil/\r\n\r\n",
        b"HTTP/1.0 302 Found\r\nLocation: rtsp://evil/\r\n\r\n",
    ],
)
async def test_no_answer_leads_elsewhere_however_it_is_written(said: bytes) -> None:
    heard = await told(said)
    assert b"evil" not in heard
    assert not re.search(rb"(?m)^\W*RTSP/\S+\s+\W*3", heard)


async def test_what_a_camera_says_of_its_pictures_is_told() -> None:
    assert await told(GOOD) == GOOD.replace(b"Content-Length: 9\r\n", b"").replace(
        b"main/\r\n", b"main/\r\nContent-Length: 9\r\n"
    )
    setup = b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;unicast;client_port=5-6;server_port=7-8\r\n\r\n"
    assert await told(setup) == setup.replace(b"7-8", b"7-8;source=127.0.0.1"), "else it is us"


@pytest.mark.parametrize(
    "said", [b"", b"file 'rtsp://camera/main'", b"file 'http://me:pw@camera/'"]
)
def test_what_is_no_camera_with_a_login_is_not_read_past_us(said: bytes) -> None:
    with pytest.raises(ValueError, match="is expected"):
        past(said, 1)
