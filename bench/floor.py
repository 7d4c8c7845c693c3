"""The thin manager beside which the real one is measured: aiomqtt and json, no store, no checks.

    python -m bench.floor PORT

Each line on its standard input is `COUNT REVISION`: it sends that config to so many stations and
prints `done` when each has acked it.
"""

import asyncio
import json
import logging
import socket
import sys
from typing import Any

import aiomqtt

from bench.push import roles
from bench.stations import NOW, ROOT, station_id

IN_FLIGHT = 100
"""Publishes at a time; more is slower with aiomqtt."""


async def push(client: aiomqtt.Client, count: int, revision: int) -> None:
    async def one(number: int) -> None:
        config = {"revision": revision, "at": NOW, "by": "bench", "roles": roles(revision)}
        name = station_id(number)
        payload = json.dumps(config | {"name": name, "room": "hall"})
        await client.publish(f"{ROOT}/{name}/config", payload, qos=1, retain=True)

    async def all_acked() -> None:
        left = count
        async for message in client.messages:
            if json.loads(bytes(message.payload))["revision"] == revision:
                left -= 1
            if not left:
                return

    acked = asyncio.create_task(all_acked())
    await asyncio.gather(*map(one, range(count)))
    await acked


async def main(port: int) -> None:
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # it warns of each pending publish
    options: dict[str, Any] = {
        "protocol": aiomqtt.ProtocolVersion.V5,
        "identifier": "floor",
        "max_concurrent_outgoing_calls": IN_FLIGHT,
        "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    }
    async with aiomqtt.Client("127.0.0.1", port, **options) as client:
        await client.subscribe(f"{ROOT}/+/ack", qos=1)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, revision = map(int, line.split())
            await push(client, count, revision)
            print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
