"""More of what one station's credential and a place on the network can do; see `attacks`.

Each goes for one bound: of size, number, range, rate or cost.
"""

import asyncio
import gzip
import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tests.manager.station import NOW
from tests.manager.test_hostile import JPEG
from tests.stranger import Stranger

if TYPE_CHECKING:
    from tests.manager.attacks import Attacker

ZALGO: Final = "a" + "\u0336\u035c\u0489" * 40
BIDI: Final = "\u202e\u2066\ufeff\u200b" * 30


async def long_topics(on: "Attacker") -> None:
    for number in range(60):
        name = f"{on.chance.random()}{number}".replace(".", "").ljust(60_000, "x")
        await on.say(f"thumbnail/monitor/{name}", JPEG)


async def new_topics(on: "Attacker") -> None:
    for _ in range(300):
        await on.say(f"thumbnail/r{on.chance.getrandbits(64)}/i{on.chance.getrandbits(64)}", JPEG)


async def pictures_of_gigabytes(on: "Attacker") -> None:
    frame = b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x11\x00"
    for filler in (b"\xff", b"\xff\x00", b"\xff\xe0\x00\x00", b"\xff\xd0"):
        for _ in range(20):
            await on.say("thumbnail/monitor/main", JPEG + filler * (60_000 // len(filler)) + frame)


async def devices(on: "Attacker") -> None:
    deep: Any = {}
    for _ in range(90):
        deep = {"x": deep}
    one = {"kind": "video", "id": ZALGO, "name": BIDI, "formats": [deep]}
    for many in ([one] * 300, [{"kind": "audio", "id": f"hw:{n}"} for n in range(10_000)]):
        await on.bad.register(devices=many)


async def names(on: "Attacker") -> None:
    for name in (ZALGO, BIDI, "\x1b]0;x\x07", "<script>", "x" * 5000, "../../x", "\ud800"):
        await on.bad.register(hostname=name, addresses=[name] * 100, mac=name)
        on.bad.roles = {name: {name: {}}}
        await on.bad.status(reason=name, message=name)


async def receipts_of_others(on: "Attacker") -> None:
    for at in ("1970-01-01T00:00:00.000Z", "2037-12-31T23:59:59.999Z", NOW):
        for number in (0, -1, 2**53, 2**63):
            said = {
                "index": "good1", "number": number, "file": "hall1/record-main.ts",
                "room": "hall1", "role": "record", "instance": "main", "begin": NOW, "end": at,
                "bytes": 0, "frames": 0, "streams": [{}] * 1000, "checksum": "0" * 32,
                "gap": 1e308, "ended": "full", "check": None,
            }  # fmt: skip
            await on.say("segment", said, retain=bool(number))


async def replies_to_the_manager(on: "Attacker") -> None:
    for number in range(40):
        topic = on.bad.topic(f"reply/manager-{on.chance.getrandbits(32):08x}-{number % 8}")
        await on.bad.stranger.publish(topic, bytes(64_000), correlation=bytes(60_000))


async def configs(on: "Attacker") -> None:
    for revision in (0, 1, 2**53, 2**63):
        wanted = {"revision": revision, "roles": {"record": {"main": {"x": "y" * 100_000}}}}
        await on.bad.say("config", wanted)
        await on.bad.say("stops", {"stops": [{}] * 5000})


async def wills(on: "Attacker") -> None:
    will = on.bad.topic("presence"), {"state": "lost", "boot": BIDI, "epoch": -1, "at": "never"}
    for _ in range(5):
        async with Stranger(on.broker, will=will) as stranger:
            await stranger.vanish()


async def subscriptions(on: "Attacker") -> None:
    async with Stranger(on.broker) as stranger:
        filters = [f"fleet/v1/+/bad1/{'+/' * (n % 20)}{n}" for n in range(1000)]
        for first in range(0, len(filters), 100):
            await stranger.listen(*filters[first : first + 100])


async def requests(on: "Attacker") -> None:
    for number in range(200):
        name = on.chance.choice(("status", "history", "doctor", "nothing", "plan"))
        on.bad.stranger.publish(
            f"fleet/v1/manager/request/mallory/{name}",
            {"text": "[rooms.hall1]\n" * 500, "name": "x"} if name == "plan" else {},
            correlation=struct.pack("!I", number) * 16_000 if number % 50 == 0 else b"x",
        )
    await on.bad.stranger.publish("fleet/v1/manager/request/mallory/status", "[" * 50_000)


async def scrapes(on: "Attacker") -> None:
    await ask_for(on, *[b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 40)


async def guesses(on: "Attacker") -> None:
    form = b"name=ann&password=" + b"x" * 3000
    head = b"POST /signin HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    await ask_for(on, *[head % len(form) + form] * 20)


async def bodies(on: "Attacker") -> None:
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    alarm = json.dumps({"status": "firing", "labels": {"a": ZALGO}, "annotations": {}}).encode()
    packed = gzip.compress(bytes(50 * 2**20))
    said = b'{"alerts": [' + b",".join([alarm] * 900) + b"]}"
    await ask_for(
        on,
        head % b"/alerts" + b"Content-Length: %d\r\n\r\n" % len(said) + said,
        head % b"/alerts" + b"Content-Length: 5\r\n\r\n[[[[[",
        head % b"/signin"
        + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        + packed,
        head % b"/do/status" + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        head % b"/signin" + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    )


async def headers(on: "Attacker") -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(2000))
    await ask_for(
        on,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"a=b;" * 2000 + b"\r\n\r\n",
        b"GET /%0d%0aSet-Cookie:x=y HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /page/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /thumbnail/%2e%2e/%2e%2e/x.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01" + bytes(500),
    )


async def ask_for(on: "Attacker", *texts: bytes) -> None:
    """Ask, each on a connection of its own, and read nothing."""
    while len(on.held) > 100:
        on.held.pop(0).transport.abort()
    for text in texts:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", on.http, local_addr=("127.0.0.3", 0)
            )
            writer.write(text)
            on.held.append(writer)


MORE: Final[tuple[Callable[["Attacker"], Awaitable[None]], ...]] = (
    *(long_topics, new_topics, pictures_of_gigabytes, devices, names, receipts_of_others),
    *(replies_to_the_manager, configs, wills, subscriptions, requests),
    *(scrapes, guesses, bodies, headers),
)
