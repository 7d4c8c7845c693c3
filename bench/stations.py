"""A process of simulated stations: each its own connection, each accepting every config at once.

    python -m bench.stations PORT COUNT

It prints `ready` when all are online, and ends with its standard input.
"""

import asyncio
import json
import sys

from bench.thin import Thin

NOW = "2026-02-01T09:30:00.000Z"
RUNNING = {"state": "running", "since": NOW, "restarts": 0, "reason": None, "message": None}
ROOT = "fleet/v1/station"


def station_id(number: int) -> str:
    return f"bench{number:05}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Station:
    def __init__(self, number: int) -> None:
        self.id = station_id(number)
        self.boot = f"boot-{number}"
        self.thin: Thin

    def say(self, kind: str, value: object) -> None:
        self.thin.publish(f"{ROOT}/{self.id}/{kind}", _json(value), retain=True)

    def ack(self, revision: int, result: str | None, roles: object) -> None:
        in_force = {"revision": revision, "roles": roles}
        ack = {"revision": revision, "boot": self.boot, "at": NOW, "result": result}
        self.say("ack", ack | {"error": None, "in_force": in_force})

    def status(self, revision: int, roles: dict[str, dict[str, object]]) -> None:
        shown = {role: dict.fromkeys(named, RUNNING) for role, named in roles.items()}
        status = {"boot": self.boot, "at": NOW, "revision": revision, "roles": shown}
        self.say("status", status)

    def heard(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        config = json.loads(payload)
        self.ack(config["revision"], "accepted", config["roles"])
        self.status(config["revision"], config["roles"])

    async def connect(self, port: int) -> None:
        self.thin = await Thin.open(port, self.id, self.heard, f"{ROOT}/{self.id}/config")
        self.say(
            "registration",
            {
                "boot": self.boot,
                "agent": "bench",
                "hostname": self.id,
                "mac": None,
                "addresses": [],
                "blocked_roles": [],
                "factories": {"record": {"instances": 0, "settings": {}, "commands": {}}},
                "broken_roles": {},
                "devices": [],
            },
        )
        self.ack(0, None, {})
        self.status(0, {})
        presence = {"state": "online", "boot": self.boot, "epoch": 1, "at": NOW}
        self.say("presence", presence | {"interval": 3600})


async def main(port: int, count: int) -> None:
    stations = [Station(number) for number in range(count)]
    for start in range(0, count, 50):
        await asyncio.gather(*(one.connect(port) for one in stations[start : start + 50]))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for one in stations:
        one.thin.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
