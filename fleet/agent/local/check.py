"""Whether a box has all it needs before anybody relies on it: `fleet-agent check`."""

import asyncio
import logging
import os
import pwd
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from attrs import frozen

import fleet.role
import fleet.roles
from fleet.agent.box import machine
from fleet.agent.config import catalogue
from fleet.agent.config.accept import Memory
from fleet.agent.config.store import kept_id, saved
from fleet.agent.engine.recordings import mount_of
from fleet.agent.local import socket as local
from fleet.agent.settings import AgentSettings
from fleet.model import Log, plain
from fleet.mqtt import Broker, Disconnected, Link, Message, NotLetIn, Refused, Will, connect_once
from fleet.settings import AGENT_FILE
from fleet.topics import Topics
from fleet.wire import Undecodable, encode


@frozen
class Finding:
    """One thing looked at.

    `unused` is broken, and nothing on this box needs it; `unsure` may be otherwise for the agent.
    """

    verdict: Literal["ok", "missing", "unused", "unsure"]
    subject: str
    text: str


def findings(settings: AgentSettings, file: Path | None, broker: Broker) -> Iterator[Finding]:
    """Settings, user, directories, broker, devices, then each role."""
    named = file or (AGENT_FILE if AGENT_FILE.exists() else None)
    yield Finding("ok", "settings", str(named) if named else "no file, defaults")
    yield from user(settings.state)
    memory, state = _state(settings.state)
    yield state
    yield recordings(settings)
    station = settings.station or kept_id(settings.state) or machine.mac()
    if station is None:
        yield Finding("missing", "station", "no network card to be named after: give --station")
    else:
        yield Finding("ok", "station", station)
    yield _broker(settings, broker, station)
    yield from devices()
    yield from _roles(settings, memory)


def devices(root: Path = Path("/")) -> Iterator[Finding]:
    """The capture devices, each with the words for it in the conference file."""
    found = machine.devices(root)
    if not found:
        yield Finding("ok", "devices", "none is plugged in")
    for one in found:
        name = f"hw:CARD={one.id}" if one.kind == "alsa" else one.id
        yield Finding("ok", "device", f'{one.name}  {{type = "{one.kind}", device = "{name}"}}')


def user(state: Path) -> Iterator[Finding]:
    """Whether we see what the agent will."""
    try:
        owner = state.stat().st_uid
    except OSError:
        return
    if owner == os.geteuid():
        yield Finding("ok", "user", f"looked at as {_name(owner)}, like the agent")
        return
    me, them = _name(os.geteuid()), _name(owner)
    yield Finding(
        "unsure",
        "user",
        f"run by {me}, but the agent's files belong to {them}, who may do other things: "
        f"sudo -u {them} fleet-agent check --state-dir {state}",
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def recordings(settings: AgentSettings) -> Finding:
    """Whether something could be recorded now."""
    directory = settings.recordings_dir
    mount = mount_of(directory)
    if settings.recordings_mount and mount == Path("/"):
        text = f"no disk is mounted at {directory} or above it, and recordings_mount is true"
        return Finding("missing", "recordings", text)
    place = next(one for one in (directory, *directory.parents) if one.exists())
    if not place.is_dir() or not _may_write(place):
        return Finding("missing", "recordings", f"{place} may not be written to")
    try:
        free = shutil.disk_usage(place).free / 1024**3
    except OSError as error:
        return Finding("missing", "recordings", f"{place}: {error.strerror}")
    return Finding("ok", "recordings", f"{directory}, {free:.1f} GiB are free")


def _may_write(place: Path) -> bool:
    return os.access(place, os.W_OK | os.X_OK, effective_ids=True)


def _state(directory: Path) -> tuple[Memory, Finding]:
    place = directory
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not _may_write(place):
        return Memory(), Finding("missing", "state", f"{place} may not be written to")
    try:
        memory = saved(directory)
    except (OSError, Undecodable) as error:
        return Memory(), Finding(
            "missing", "state", f"{directory} has a damaged decision: {plain(error)}"
        )
    return memory, Finding("ok", "state", f"{directory}, revision {memory.revision} is in force")


def _broker(settings: AgentSettings, broker: Broker, station: str | None) -> Finding:
    try:  # a second connection could push the agent's own off the broker
        running = local.status(settings.state)
    except local.NoAgent:
        pass
    else:
        if running.connected:
            return Finding("ok", "broker", f"{running.broker}, the agent is connected")
        return Finding("missing", "broker", f"the agent is not connected: {running.trouble}")
    visit = _Visit(Topics(settings.prefix).log(station) if station else None)
    try:
        asyncio.run(connect_once(broker, f"fleet-agent-check-{secrets.token_hex(4)}", visit))
    except NotLetIn as error:
        return Finding("missing", "broker", str(error))
    except Refused as error:
        return Finding("missing", "broker", f"{error}: may this user speak for {station}?")
    except Disconnected as error:
        return Finding("missing", "broker", f"{error}; is it running, is the address right?")
    return Finding("ok", "broker", str(broker))


def _roles(settings: AgentSettings, memory: Memory) -> Iterator[Finding]:
    logging.getLogger("fleet").setLevel(logging.CRITICAL)  # it is said here
    broken = catalogue.load(settings.roles)
    offer = catalogue.offer(broken, frozenset(settings.blocked_roles))
    needed = set(memory.in_force.roles) if memory.in_force else set()
    if settings.roles is not None and not settings.roles.is_dir():
        yield Finding("missing", "roles_dir", f"{settings.roles} is not a directory")
    for role in sorted({*offer.factories, *offer.broken, *needed}):
        subject = f"role {role}"
        if role in offer.broken:
            verdict: Literal["missing", "unused"] = "missing" if role in needed else "unused"
            yield Finding(verdict, subject, offer.broken[role])
        elif role in offer.factories:
            tools = ", ".join(fleet.role.factories[role].tools) or "needs no tools"
            yield Finding("ok", subject, tools)
        else:
            yield Finding("missing", subject, "the saved config needs it, and nothing provides it")


class _Visit:
    """A connection that says next to nothing, as the station, and leaves."""

    def __init__(self, topic: str | None) -> None:
        self._topic = topic

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        pass

    async def connected(self, link: Link) -> None:
        if self._topic is not None:
            await link.publish(self._topic, encode(Log((), 0)))

    def disconnected(self, why: str) -> None:
        pass
