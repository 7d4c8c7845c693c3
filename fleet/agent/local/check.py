"""Whether a box has all it needs before anybody relies on it: `fleet-agent check`."""

import asyncio
import json
import logging
import os
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from attrs import evolve, frozen

import fleet.role
import fleet.roles
from fleet.agent.box import machine
from fleet.agent.box.devices import CaptureDevices, device_files
from fleet.agent.box.hardware import SMART, smart
from fleet.agent.config import catalogue
from fleet.agent.config.accept import Memory
from fleet.agent.config.store import holder, kept_id, saved
from fleet.agent.credential import WayIn
from fleet.agent.engine.recordings import mount_of
from fleet.agent.local import socket as local
from fleet.agent.local.service import AgentService
from fleet.agent.secret_files import SecretFiles
from fleet.agent.settings import AgentSettings
from fleet.host import Failed, named_secrets
from fleet.model import Device, Log, Roles, plain
from fleet.mqtt import (
    BadBroker,
    Disconnected,
    Link,
    Message,
    NotLetIn,
    Refused,
    Will,
    connect_once,
)
from fleet.mqtt.broker import ca_file
from fleet.settings import AGENT_FILE, BadSettings
from fleet.topics import Topics
from fleet.wire import Undecodable, encode, to_json

_GIB: Final = 1024**3
_SYSTEM: Final = "sudo fleet-agent check"


@frozen
class Finding:
    """One thing looked at.

    `unused` is broken, and nothing on this box needs it; `unsure` may be otherwise for the agent.
    """

    verdict: Literal["ok", "missing", "unused", "unsure"]
    subject: str
    text: str


def eyes(service: AgentService) -> Iterator[Finding]:
    """Whose rights all else is looked at with, and whether they are the service's."""
    us = _name()
    if not service.is_us:
        them = service.user.pw_name
        text = f"run by {us}, but the service runs as {them}, whose rights differ: {_SYSTEM}"
        yield Finding("unsure", "user", text)
        return
    lacking = service.missing_groups()
    text = f"checked as {us}, like the service"
    if lacking:
        text += f", but without its groups {', '.join(lacking)}: {_SYSTEM}"
    yield Finding("ok", "user", text)
    try:
        command = [service.program, "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        why = (done.stderr.strip().splitlines() or ["it ends at once"])[-1]
        runs = done.returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        runs, why = False, plain(error)
    if not runs:
        text = f"{service.program} cannot be run by {us} ({why}): install it where {us} may read it"
        yield Finding("missing", "program", text)


def findings(
    settings: AgentSettings, file: Path | None, service: AgentService | None
) -> Iterator[Finding]:
    """Settings, state directory, recordings, broker, secrets, disks, devices, then each role."""
    named = file or (AGENT_FILE if AGENT_FILE.exists() else None)
    yield Finding("ok", "settings", str(named) if named else "no file, defaults")
    if service is None:
        yield user(settings.state)
    memory, state = _state(settings.state, service)
    yield state
    yield _recordings(settings, service)
    station = _station(settings)
    if station is None:
        yield Finding("missing", "station", "no network card to be named after: give --station")
    else:
        yield Finding("ok", "station", station)
    yield from _broker(settings, station)
    wanted: Roles = memory.in_force.roles if memory.in_force else {}
    yield from _secrets(SecretFiles(settings.secrets, settings.state / "secrets"), wanted)
    yield disks()
    words = json.dumps(to_json(wanted))
    yield from devices(needed=lambda one: service is not None or one.id in words)
    yield from _roles(settings, frozenset(wanted))


def disks(root: Path = Path("/")) -> Finding:
    """What the disks say of themselves, which only root may ask."""
    found = smart(root)
    failing = [name for name, well in found.items() if not well]
    if failing:
        many = failing[1:]
        reports = "report that they are failing" if many else "reports that it is failing"
        advice = f"replace {'them' if many else 'it'}"
        return Finding("missing", "disks", f"{' and '.join(failing)} {reports}: {advice}")
    if found:
        return Finding("ok", "disks", f"{' and '.join(found)} report no failure")
    where = f"/{SMART}"
    text = f"their state is not known: only root may ask them, and {where} has no recent answer"
    return Finding("unused", "disks", f"{text}; see: systemctl status fleet-smart.timer")


def devices(
    root: Path = Path("/"), needed: Callable[[Device], bool] = lambda _: True
) -> Iterator[Finding]:
    """The capture devices, each with the words for it in the conference file."""
    there = CaptureDevices(root)
    there.look()
    if not (root / "run/udev/control").exists():
        yield Finding("ok", "udev", "none runs here: a new device is noticed within a minute")
    found = there.found
    if not found:
        yield Finding("ok", "devices", "none is plugged in")
    for one in found:
        text = f"{one.name}  {one.words or one.id}"
        shut = [path for path in device_files(one, root) if not _usable(path)]
        if not shut:
            yield Finding("ok", "device", text)
            continue
        group = "audio" if one.kind == "alsa" else "video"
        text += f"  {shut[0]} may not be opened by {_name()}: usermod -a -G {group} {_name()}"
        yield Finding("missing" if needed(one) else "unused", "device", text)


def user(state: Path) -> Finding:
    """Where no service is installed: whether we see what the agent of this directory will."""
    us = _name()
    try:
        owner = state.stat().st_uid
    except OSError:
        return Finding("ok", "user", f"checked as {us}; no service is installed here")
    if owner == os.geteuid():
        return Finding("ok", "user", f"checked as {us}, like the agent")
    them = _name(owner)
    return Finding(
        "unsure",
        "user",
        f"run by {us}, but the agent's files belong to {them}, whose rights differ: "
        f"sudo -u {them} fleet-agent check --state-dir {state}",
    )


def _name(user: int | None = None) -> str:
    """Of a user, else of ours."""
    number = os.geteuid() if user is None else user
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _state(directory: Path, service: AgentService | None) -> tuple[Memory, Finding]:
    def missing(text: str) -> tuple[Memory, Finding]:
        return Memory(), Finding("missing", "state", text)

    if service is not None and service.is_us and service.given(directory):
        text = f"{directory}, which systemd gives to {_name()} when the service starts"
        return Memory(), Finding("ok", "state", text)
    for wrong in _not_ours(directory):
        return missing(
            f"{wrong} may not be read and written by {_name()}: chown -R {_name()}: {directory}"
            if os.path.lexists(wrong)
            else f"{directory} cannot be made by {_name()}: make it, and give it to {_name()}"
        )
    try:
        memory = saved(directory)
    except (OSError, Undecodable) as error:
        return missing(f"{directory} has a damaged decision: {plain(error)}")
    text = f"{directory}, revision {memory.revision} is in force"
    pid = holder(directory)
    if pid is not None:
        if service is not None and service.is_us and not service.runs(pid):
            return missing(
                f"{directory} is in use by process {pid}, which is not the service's: it cannot "
                f"start before that one has ended; fleet-agent stop --state-dir {directory}"
            )
        text += f", in use by the agent that runs (process {pid})"
    return memory, Finding("ok", "state", text)


def _not_ours(directory: Path) -> Iterator[Path]:
    """What an agent would have to read and write there, and we may not."""
    try:
        there = directory.is_dir()
    except PermissionError:
        there = False
    if not there:
        above = next(one for one in directory.parents if os.path.lexists(one))
        if not os.access(above, os.W_OK | os.X_OK):
            yield directory
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield directory
        return
    for place, below, files in os.walk(directory):
        if place == str(directory) and "recordings" in below:
            below.remove("recordings")  # of an earlier release; looked at by itself
        for name in below:
            if not os.access(path := Path(place, name), os.R_OK | os.W_OK | os.X_OK):
                yield path
        for name in files:
            if not _usable(path := Path(place, name)) and path.exists():
                yield path


def _recordings(settings: AgentSettings, service: AgentService | None) -> Finding:
    place = settings.state.parent
    try:
        directory = settings.recordings_dir
        if settings.recordings_mount and mount_of(directory) == Path("/"):
            text = f"no disk is mounted at {directory} or above it, as recordings_mount wants"
            return Finding("missing", "recordings", f"{text}: mount it")
        if service is not None and service.is_us and service.given(directory):
            text = f"{directory}, which systemd gives to {_name()} when the service starts"
            return Finding("ok", "recordings", text)
        place = next(one for one in (directory, *directory.parents) if os.path.lexists(one))
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0")
        room = os.statvfs(place)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        advice = f"give the directory of recordings to {_name()}, or set another as recordings"
        text = f"{_name()} cannot write to {place} ({why}): {advice}"
        return Finding("missing", "recordings", text)
    free = room.f_bavail * room.f_frsize / _GIB
    return Finding("ok", "recordings", f"{directory}, {free:.1f} GiB are free")


def _secrets(files: SecretFiles, wanted: Roles) -> Iterator[Finding]:
    """Each secret that the config in force names; else those that nobody needs yet."""
    needed = sorted(named_secrets(to_json(wanted)))
    if files.own.exists() and not os.access(files.own, os.R_OK | os.X_OK):
        why = f"{files.own} cannot be read by {_name()}: Permission denied"
        yield Finding("missing" if needed else "unused", "secrets", why)
    there = {one.name: one for one in files.there()}
    for name in sorted({*needed, *there}):
        verdict: Literal["missing", "unused"] = "missing" if name in needed else "unused"
        one = there.get(name)
        try:
            files.value(name)
        except Failed as failed:
            yield Finding(verdict, f"secret {name}", failed.message)
            continue
        if one is not None and one.problem is not None:
            yield Finding(verdict, f"secret {name}", one.problem)
            continue
        hosts = " and ".join(one.allow) if one else ""
        where = f"for {hosts}" if hosts else "goes wherever a config sends it"
        yield Finding("ok", f"secret {name}", f"{files.file(name)}, {where}")


def _station(settings: AgentSettings) -> str | None:
    """Its id, as an agent that starts now would have it."""
    with suppress(BadBroker, BadSettings):  # told of the broker
        if given := WayIn(settings).station:
            return given
    return settings.station or kept_id(settings.state) or machine.mac()


def _broker(settings: AgentSettings, station: str | None) -> Iterator[Finding]:
    """Its address, the password file, the CA file, and whether it lets the station in."""
    try:
        way = WayIn(settings)
    except (BadBroker, BadSettings) as error:
        yield Finding("missing", "broker", str(error))
        return
    broker = way.broker
    if settings.password_file:
        yield Finding("ok", "password", settings.password_file)
    if broker.tls:
        yield Finding("ok", "CA file", ca_file(broker.ca_file))
    yield _visited(settings, way, station)


def _visited(settings: AgentSettings, way: WayIn, station: str | None) -> Finding:
    try:  # a second connection could push the agent's own off the broker
        running = local.status(settings.state)
    except local.SilentAgent as error:
        return Finding("missing", "agent", str(error))
    except local.NoAgent:
        pass
    else:
        if running.connected:
            return Finding("ok", "broker", f"{running.broker}, the agent is connected")
        return Finding("missing", "broker", f"the agent is not connected: {running.trouble}")
    visit = _Visit(Topics(way.prefix).log(station) if station else None)
    try:
        asyncio.run(connect_once(way.broker, f"fleet-agent-check-{secrets.token_hex(4)}", visit))
    except NotLetIn as error:
        return Finding("missing", "broker", str(error))
    except Refused as error:
        return Finding("missing", "broker", f"{error}: may this user speak for {station}?")
    except Disconnected as error:
        advice = way.hint or "; is it running, is the address right?"
        return Finding("missing", "broker", f"{error}{advice}")
    return Finding("ok", "broker", str(way))


def _roles(settings: AgentSettings, needed: frozenset[str]) -> Iterator[Finding]:
    logging.getLogger("fleet").setLevel(logging.CRITICAL)  # it is said here
    if settings.roles is not None and not os.access(settings.roles, os.R_OK | os.X_OK):
        there = os.path.lexists(settings.roles)
        why = f"cannot be read by {_name()}" if there else "is not there"
        yield Finding("missing", "roles_dir", f"{settings.roles} {why}")
        settings = evolve(settings, roles_dir=None)
    elif settings.roles is not None and not settings.roles.is_dir():
        yield Finding("missing", "roles_dir", f"{settings.roles} is not a directory")
    broken = catalogue.load(settings.roles)
    offer = catalogue.offer(broken, settings.blocked)
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
