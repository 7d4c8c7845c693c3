"""A station played from the wire page alone, and an operator who asks the manager."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.stranger import Stranger, wire_time

NOW = "2026-02-01T09:00:00.000Z"
AHEAD = timedelta(0)
"""What the clocks of stations are ahead in each status."""

INTERVAL = 60.0
"""Seconds between heartbeats, of which three may be missing: a test's station sends none."""


class PretendStation:
    """Says what a station would say, over a stranger's connection."""

    def __init__(self, stranger: Stranger, id_: str, boot: str = "boot-1") -> None:
        self.stranger = stranger
        self.id = id_
        self.boot = boot
        self.epoch = 1
        self.revision = 0
        self.roles: dict[str, Any] = {}
        self.signature: str | None = None
        """Of the config in force, as far as it gives that back."""

    def topic(self, kind: str) -> str:
        return f"fleet/v1/station/{self.id}/{kind}"

    async def say(self, kind: str, payload: Any, *, retain: bool = True) -> None:
        await self.stranger.publish(self.topic(kind), payload, retain=retain)

    async def register(self, **more: Any) -> None:
        await self.say("registration", registration(self.boot, **more))

    async def ack(
        self,
        revision: int | None = None,
        result: str | None = "accepted",
        error: Any = None,
        **more: Any,
    ) -> None:
        """By default: `revision` (or the one in force) is accepted and in force."""
        payload = {
            "revision": self.revision if revision is None and result != "rejected" else revision,
            "boot": self.boot,
            "at": NOW,
            "result": result if self.revision or revision is not None or error else None,
            "error": error,
            "in_force": {"revision": self.revision, "roles": self.roles},
        }
        if self.signature is not None:
            payload["in_force"]["signature"] = self.signature
        await self.say("ack", payload | more)

    async def status(self, state: str = "running", **more: Any) -> None:
        """Every instance in `state`; `more` is said of each, too."""
        one = {"state": state, "since": NOW, "restarts": 0, "reason": None, "message": None}
        one |= more
        roles = {role: dict.fromkeys(names, one) for role, names in self.roles.items()}
        at = wire_time(datetime.now(UTC) + AHEAD)
        await self.say(
            "status", {"boot": self.boot, "at": at, "revision": self.revision, "roles": roles}
        )

    async def presence(self, state: str = "online", interval: float = INTERVAL) -> None:
        await self.say("presence", presence(state, self.boot, self.epoch, interval))

    async def come_online(self, interval: float = INTERVAL) -> None:
        """As a station connects."""
        await self.register()
        await self.ack()
        await self.status()
        await self.presence(interval=interval)

    async def config(self, revision: int | None = None, timeout: float = 60, after: int = 0) -> Any:
        """The config heard (of that revision)."""
        return await self.stranger.expect(
            self.topic("config"),
            lambda value: value is not None and revision in (None, value["revision"]),
            timeout,
            after,
        )

    async def obey(self, config: Any) -> None:
        """Accept a config and run it."""
        self.revision, self.roles = config["revision"], config["roles"]
        self.signature = config.get("signature")
        await self.ack()
        await self.status()


def presence(state: str, boot: str, epoch: int = 1, interval: float = INTERVAL) -> dict[str, Any]:
    return {"state": state, "boot": boot, "epoch": epoch, "at": NOW, "interval": interval}


def registration(boot: str, **more: Any) -> dict[str, Any]:
    return {
        "boot": boot,
        "agent": "1.0",
        "hostname": f"host-{boot}",
        "mac": None,
        "addresses": ["192.0.2.7"],
        "blocked_roles": [],
        "factories": {
            role: {"instances": 0, "settings": {}, "commands": {}}
            for role in ("ingest", "mix", "monitor", "record", "stream", "sync")
        },
        "broken_roles": {},
        "devices": [],
    } | more


async def ask(
    stranger: Stranger,
    operation: str,
    timeout: float = 60,
    caller: str = "tester",
    **arguments: Any,
) -> Any:
    """The manager's reply to `caller`, once it is online."""
    await stranger.expect(
        "fleet/v1/manager/presence", lambda value: value and value["state"] == "online", timeout
    )
    correlation, mark = secrets.token_bytes(8), stranger.mark()
    reply = f"fleet/v1/manager/reply/{caller}"
    stranger.publish(
        f"fleet/v1/manager/request/{caller}/{operation}",
        arguments,
        correlation=correlation,
        response_topic=reply,
    )
    said = await stranger.expect_message(
        reply, timeout=timeout, after=mark, correlation=correlation
    )
    return said.json


def conference(*stations: tuple[str, str], extra: str = "", seconds: int = 180) -> str:
    """A file with these stations (name, id), each with one recording."""
    text = '[rooms.hall1]\n[profiles.rec.roles.record.main]\nsource = {type = "test"}\n'
    text += f"segment_seconds = {seconds}\n"
    for name, id_ in stations:
        text += f'[stations.{name}]\nid = "{id_}"\nroom = "hall1"\nprofiles = ["rec"]\n'
    return text + extra


async def apply(stranger: Stranger, text: str) -> Any:
    """The result of an apply that has to succeed."""
    reply = await ask(stranger, "apply", text=text, name="conference.toml", message=None)
    assert reply["error"] is None, reply
    return reply["result"]
