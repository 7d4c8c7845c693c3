"""One station's credential and a place on the network, in hands that want everybody to suffer.

`python -m tests.manager.attacks BROKER_PORT HTTP_PORT SECONDS SEED`: attacks at random until then.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from tests.manager.more_attacks import MORE
from tests.manager.station import NOW, PretendStation, presence
from tests.manager.test_hostile import JPEG, with_properties
from tests.stranger import Stranger

HERE: Final = ("127.0.0.2", 0)
"""Another address than that of the good."""
HELD: Final = 300
"""Connections that an attack opens and lets stand."""


class Attacker:
    """Speaks for the station `bad1` alone, and to the manager's HTTP port."""

    def __init__(self, stranger: Stranger, broker: int, http: int, chance: random.Random) -> None:
        self.bad = PretendStation(stranger, "bad1")
        self.broker = broker
        self.http = http
        self.chance = chance
        self.held: list[asyncio.StreamWriter] = []
        self.tried: dict[str, int] = {}

    async def attack(self) -> None:
        one = self.chance.choice(ATTACKS)
        self.tried[one.__name__] = self.tried.get(one.__name__, 0) + 1
        async with asyncio.timeout(60):
            await one(self)

    async def say(self, kind: str, payload: Any, *, retain: bool = False) -> None:
        await self.bad.say(kind, payload, retain=retain)

    async def figures(self, name: str, type_: str, samples: list[Any]) -> None:
        families = [{"name": name, "type": type_, "help": "", "samples": samples}]
        await self.say("telemetry", {"boot": self.bad.boot, "at": NOW, "families": families})


async def heartbeats(on: Attacker) -> None:
    on.bad.roles = {"record": {f"i{n}": {} for n in range(on.chance.choice((1, 1000)))}}
    for _ in range(100):
        await on.bad.status(on.chance.choice(("running", "failed", "backoff", "surprised")))


async def comings_and_goings(on: Attacker) -> None:
    for number in range(300):
        on.bad.boot, on.bad.epoch = f"boot-{on.chance.random()}", number
        await on.bad.presence(on.chance.choice(("online", "offline", "lost")))


async def long_answers(on: Attacker) -> None:
    error = {"type": "InvalidConfiguration", "message": "\x1b[2J" * 40_000, "problems": []}
    for _ in range(30):
        await on.bad.ack(7, "rejected", error)


async def names_that_others_have(on: Attacker) -> None:
    for name in (
        "fleet_station_info",
        "ALERTS",
        "fleet:core_lost:rooms",
        "up",
        "fleet_room_talk_on",
    ):
        await on.figures(name, on.chance.choice(("gauge", "info", "counter")), [[name, {}, 1.0]])


async def many_figures(on: Attacker) -> None:
    name = "fleet_recording_bytes"
    for _ in range(10):
        labels = [{"role": f"r{on.chance.random()}", "role_instance": "x"} for _ in range(2000)]
        await on.figures(name, "gauge", [[name, one, "+Inf"] for one in labels])


async def pictures(on: Attacker) -> None:
    for number in range(100):
        await on.say(f"thumbnail/monitor/i{number}", JPEG + bytes(64_000))


async def pictures_to_be_kept(on: Attacker) -> None:
    await on.say("thumbnail/monitor/main", JPEG + bytes(12 * 2**20), retain=True)


async def properties(on: Attacker) -> None:
    topic = on.bad.topic("thumbnail/monitor/main")
    await with_properties(on.broker, topic, 200_000, retain=on.chance.random() < 0.5)


async def schemas(on: Attacker) -> None:
    evil = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(a*)*$"}}}
    deep: Any = {}
    for _ in range(60):
        deep = {"anyOf": [deep, deep]} if len(json.dumps(deep)) < 50_000 else {"not": deep}
    for settings in (evil, deep, {"$ref": "#"}):
        factory = {"instances": 1, "settings": settings, "commands": {}}
        await on.bad.register(factories={f"r{n}": factory for n in range(3)})


async def no_json(on: Attacker) -> None:
    keys = ",".join(f'"k{n}":0' for n in range(20_000))
    texts = ("[" * 100_000, f'{{{keys},"k1":0}}', '{"restarts":' + "9" * 200_000 + "}", "\xff\0")
    for kind in ("status", "registration", "ack", "telemetry", "presence", "segment", "log"):
        await on.say(kind, on.chance.choice(texts).encode("latin-1"), retain=True)


async def times(on: Attacker) -> None:
    for at in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-13-01T00:00:00Z"):
        await on.say("presence", presence("online", on.bad.boot) | {"at": at, "interval": 1e300})


async def segments(on: Attacker) -> None:
    for number in range(100):
        said = {
            "index": f"i{on.chance.random()}", "number": number, "file": f"../../{number}.ts",
            "room": "hall1", "role": "record", "instance": "main", "begin": NOW, "end": NOW,
            "bytes": 2**53, "frames": -1, "streams": [], "checksum": "x", "gap": None,
            "ended": "full", "check": None,
        }  # fmt: skip
        await on.say("segment", said)


async def half_requests(on: Attacker) -> None:
    await hold(on, on.http, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Half: ")


async def silent_connections(on: Attacker) -> None:
    await hold(on, on.broker, b"")


async def streams(on: Attacker) -> None:
    await hold(on, on.http, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def foreign_hosts(on: Attacker) -> None:
    await hold(
        on, on.http, b"POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9999999\r\n\r\n"
    )


async def hold(on: Attacker, port: int, text: bytes) -> None:
    while len(on.held) > HELD:
        on.held.pop(0).transport.abort()
    for _ in range(50):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=HERE)
            writer.write(text)
            on.held.append(writer)


ATTACKS: Final[tuple[Callable[[Attacker], Awaitable[None]], ...]] = (
    *(heartbeats, comings_and_goings, long_answers, names_that_others_have, many_figures),
    *(pictures, pictures_to_be_kept, properties, schemas, no_json, times, segments),
    *(half_requests, silent_connections, streams, foreign_hosts),
    *MORE,
)


async def attack(broker: int, http: int, seconds: float, seed: int) -> dict[str, int]:
    """How often each was tried."""
    end = time.monotonic() + seconds
    async with Stranger(broker) as stranger:
        attacker = Attacker(stranger, broker, http, random.Random(seed))
        for one in ATTACKS:  # each once, whatever chance has in mind
            await one(attacker)
        while time.monotonic() < end:
            await attacker.attack()
        for writer in attacker.held:
            writer.transport.abort()
    return attacker.tried


if __name__ == "__main__":
    broker, http, seconds, seed = sys.argv[1:]
    print(asyncio.run(attack(int(broker), int(http), float(seconds), int(seed))))
