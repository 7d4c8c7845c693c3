"""The two sides of the wire as a stranger plays them, from docs/protocol.md and plain JSON alone.

Nothing of `fleet` is imported: a mistake that both its programs share would not be seen.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.processes import Mosquitto, Program, Programs
from tests.stranger import Heard, Stranger, wire_time

Json = dict[str, Any]

RECORD: Json = {"source": {"type": "test", "size": "64x64", "rate": 5}, "segment_seconds": 60}
"""Settings of a recording that costs next to nothing."""
ACK = {"revision", "boot", "at", "result", "error", "in_force"}
PROBLEM = {"type", "role", "instance", "path", "message"}


def now() -> str:
    return wire_time(datetime.now(UTC))


def config(revision: Any, roles: Any, **more: Any) -> Json:
    return {"revision": revision, "at": now(), "by": "stranger", "roles": roles} | more


def records(*instances: str, **settings: Any) -> Json:
    return {"record": dict.fromkeys(instances, RECORD | settings)}


class Boss:
    """Plays the manager (and an operator) of one station that is a real agent."""

    def __init__(self, stranger: Stranger, station: str) -> None:
        self.stranger = stranger
        self.station = station
        self.since = 0
        """Where the agent's present life begins in what was heard."""

    def topic(self, kind: str) -> str:
        return f"fleet/v1/station/{self.station}/{kind}"

    async def online(self) -> Json:
        """Wait until the agent is online (anew since `since`); its presence."""
        presence: Json = await self.stranger.expect(
            self.topic("presence"), lambda p: p["state"] == "online", after=self.since
        )
        return presence

    async def send(self, payload: Any) -> None:
        """Publish a config, or bytes in its place."""
        await self.stranger.publish(self.topic("config"), payload, retain=True)

    async def ask(self, payload: Any) -> Json:
        """Publish a config, or bytes in its place; the ack that follows."""
        mark = self.stranger.mark()
        await self.send(payload)
        ack: Json = await self.stranger.expect(self.topic("ack"), after=mark)
        assert set(ack) == ACK
        for problem in (ack["error"] or {}).get("problems", ()):
            assert set(problem) == PROBLEM
        return ack

    async def push(self, revision: int, roles: Json, **more: Any) -> Json:
        """Publish a config that must be accepted, and wait until all of it runs."""
        ack = await self.ask(config(revision, roles, **more))
        assert (ack["revision"], ack["result"], ack["error"]) == (revision, "accepted", None)
        assert ack["in_force"] == {"revision": revision, "roles": roles}
        await self.runs(revision, roles)
        return ack

    async def runs(self, revision: int, roles: Json, timeout: float = 60) -> Json:
        """Wait until the status shows every instance of `roles` running as `revision` wants it."""

        def is_so(status: Any) -> bool:
            wanted = {(role, name) for role in roles for name in roles[role]}
            shown = {(r, i): v for r, of in status["roles"].items() for i, v in of.items()}
            return (
                status["revision"] == revision
                and set(shown) == wanted
                and all(one["state"] == "running" for one in shown.values())
                and all(one["revision"] == revision for one in shown.values())
            )

        status: Json = await self.stranger.expect(
            self.topic("status"), is_so, timeout, after=self.since
        )
        return status

    async def command(
        self, role: str, command: str, arguments: Any = None, **more: Any
    ) -> tuple[bytes, Json]:
        """Send a command; its correlation data and the reply."""
        correlation = more.pop("correlation", None) or secrets.token_bytes(8)
        payload = {"instance": more.pop("instance", None), "arguments": arguments or {}}
        mark = self.stranger.mark()
        code = await self.stranger.publish(
            self.topic(f"command/me/{role}/{command}"),
            more.pop("raw", payload),
            correlation=correlation,
            **more,
        )
        assert code == 0, "somebody must listen to commands"
        reply = await self.reply(correlation, mark)
        assert set(reply.json) == {"result", "error"}
        return correlation, reply.json

    async def reply(self, correlation: bytes, after: int) -> Heard:
        topic = self.topic("reply/me")
        return await self.stranger.expect_message(topic, after=after, correlation=correlation)


def writers(programs: Programs) -> dict[int, float]:
    """The recorders at work: process id -> when it was started."""
    found = {}
    for process in programs.leftovers():
        try:
            argv = process.cmdline()  # none in the moment in which it begins
            if process.name() == "ffmpeg" and argv and "null" not in argv:  # that one reads
                found[process.pid] = process.create_time()
        except psutil.Error:
            continue
    return found


async def probe(path: Path) -> float:
    """Seconds of a recording, if it is whole."""
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert not err, err
    found = json.loads(out)
    assert {stream["codec_type"] for stream in found["streams"]} == {"video", "audio"}
    return float(found["format"]["duration"])


class Box:
    """Plays one station towards a real manager. It obeys only what a test lets it obey."""

    def __init__(self, broker: Mosquitto, station: str, interval: float = 60) -> None:
        self.broker = broker
        self.station = station
        self.interval = interval
        self.boot = secrets.token_hex(8)
        self.epoch = 0
        self.hostname = f"host-{station}"
        self.blocked: list[str] = []
        self.revision: int | None = 0
        self.result: str | None = None
        self.error: Json | None = None
        self.in_force: Json = {"revision": 0, "roles": {}}
        self.stranger: Stranger

    def topic(self, kind: str) -> str:
        return f"fleet/v1/station/{self.station}/{kind}"

    def presence(self, state: str, **more: Any) -> Json:
        return {
            "state": state,
            "boot": self.boot,
            "epoch": self.epoch,
            "at": now(),
            "interval": self.interval,
        } | more

    async def connect(self, *, ack: bool = True) -> None:
        """As a station does: will, subscribe, registration, ack, status, online."""
        self.epoch += 1
        will = (self.topic("presence"), self.presence("lost"))
        self.stranger = Stranger(self.broker.port, self.topic("config"), will=will)
        await self.stranger.__aenter__()
        await self.register()
        if ack:
            await self.ack()
        await self.status()
        await self.say("presence", self.presence("online"))

    async def say(self, kind: str, payload: Any) -> None:
        await self.stranger.publish(self.topic(kind), payload, retain=True)

    async def register(self, **more: Any) -> None:
        registration: Json = {
            "boot": self.boot,
            "agent": "0",
            "hostname": self.hostname,
            "mac": None,
            "addresses": [],
            "blocked_roles": self.blocked,
            "factories": {"record": {"instances": 0, "settings": {}, "commands": {}}},
            "broken_roles": {},
            "devices": [],
        }
        await self.say("registration", registration | more)

    async def ack(self, **more: Any) -> None:
        ack = {
            "revision": self.revision,
            "boot": self.boot,
            "at": now(),
            "result": self.result,
            "error": self.error,
            "in_force": self.in_force,
        }
        await self.say("ack", ack | more)

    async def accept(self, wanted: Mapping[str, Any]) -> None:
        self.revision, self.result, self.error = wanted["revision"], "accepted", None
        self.in_force = {"revision": wanted["revision"], "roles": wanted["roles"]}
        await self.ack()
        await self.status()

    async def reject(self, revision: int | None, *types: str) -> None:
        problems = [
            {"type": one, "role": "record", "instance": None, "path": None, "message": f"no: {one}"}
            for one in types
        ]
        self.revision, self.result = revision, "rejected"
        self.error = {"type": types[0], "message": "no", "problems": problems}
        await self.ack()

    async def status(self, state: str = "running", **more: Any) -> None:
        roles = {
            role: {
                name: {
                    "state": state,
                    "since": now(),
                    "restarts": 0,
                    "reason": None,
                    "message": None,
                }
                for name in instances
            }
            for role, instances in self.in_force["roles"].items()
        }
        status = {"boot": self.boot, "at": now(), "revision": self.in_force["revision"]}
        await self.say("status", status | {"roles": roles} | more)

    async def wanted(self, revision: int | None = None, after: int = 0) -> Json:
        """The next config sent to it (with `revision`, if given)."""
        found: Json = await self.stranger.expect(
            self.topic("config"),
            lambda c: c is not None and revision in (None, c["revision"]),
            after=after,
        )
        return found

    async def obey(self, revision: int | None = None, after: int = 0) -> Json:
        """Accept the next config sent to it."""
        wanted = await self.wanted(revision, after)
        await self.accept(wanted)
        return wanted

    def configs(self) -> list[Heard]:
        """Every config that came, as it came."""
        return [one for one in self.stranger.on(self.topic("config")) if one.payload]

    async def leave(self) -> None:
        """Say goodbye."""
        await self.say("presence", self.presence("offline"))
        await self.stranger.__aexit__(None, None, None)

    async def vanish(self) -> None:
        """Be gone, so that the will is sent."""
        await self.stranger.vanish()


async def started(program: Program, boss: Boss) -> Json:
    """Wait for an agent that was just started."""
    assert program.running
    return await boss.online()


def dumps_toml(value: Any) -> str:
    """A JSON value as an inline TOML value."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(k)} = {dumps_toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(dumps_toml, value))}]"
    return json.dumps(value)
