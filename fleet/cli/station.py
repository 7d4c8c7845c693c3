"""One station as an operator names it: which one is meant, whether it is there, what it offers.

Its own retained words are enough where its id is given; for a name the manager is asked, or,
where there is none, the registrations are looked through for a box of that host name.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from attrs import frozen

from fleet.cli.connection import (
    REACH,
    Denied,
    Line,
    Manager,
    ManagerPresence,
    NoSuchStation,
    Unreachable,
    manager_filters,
)
from fleet.cli.sync import matching, near
from fleet.cli.typed import instead
from fleet.cli.view import clean, clock
from fleet.model import (
    CommandSchema,
    InstanceStatus,
    Presence,
    PresenceState,
    Registration,
    Status,
    is_station_id,
    meant_station_id,
)
from fleet.mqtt import Filter, Message
from fleet.schema import json_schema
from fleet.station import ABOUT, COMMANDS, STATION
from fleet.topics import Topics
from fleet.wire import Undecodable, decode

T = TypeVar("T")

GATHER: Final = 0.5
"""Seconds for the registrations of all stations, where no manager knows their names."""


class _Heard:
    """What stations have said that is retained, by topic."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._payloads: dict[str, bytes] = {}
        self._news = asyncio.Event()

    def hear(self, message: Message) -> None:
        """Hand messages here."""
        address = self._topics.parse(message.topic)
        if address is not None and address.station is not None:
            if message.payload:
                self._payloads[message.topic] = message.payload
            else:
                self._payloads.pop(message.topic, None)
            self._news.set()

    def has(self, topic: str) -> bool:
        """Whether there was anything on `topic`."""
        return topic in self._payloads

    def latest(self, topic: str, cls: type[T]) -> T | None:
        """What was said last on `topic`; None where that was nothing, or nonsense."""
        try:
            return decode(self._payloads[topic], cls) if topic in self._payloads else None
        except Undecodable:
            return None

    def all(self, kind: str, cls: type[T]) -> dict[str, T]:
        """By station, what was said last on its topic `kind`."""
        found: dict[str, T] = {}
        for topic in self._payloads:
            address = self._topics.parse(topic)
            if address is None or address.kind != kind or address.station is None:
                continue
            if (said := self.latest(topic, cls)) is not None:
                found[address.station] = said
        return found

    async def until(self, topic: str) -> None:
        """Wait for anything on `topic`."""
        while topic not in self._payloads:
            self._news.clear()
            await self._news.wait()


@frozen
class Station:
    """A station that is online. `registration`: None where it was not heard."""

    id: str
    name: str
    registration: Registration | None
    timezone: str | None = None
    """The conference's, None where no manager was asked."""

    def commands(self, role: str) -> Mapping[str, CommandSchema]:
        """What is known to be offered; a role may offer more while it runs."""
        if role == STATION:
            return {
                name: CommandSchema(
                    {**json_schema(arguments), "description": ABOUT[name]}, json_schema(result)
                )
                for name, (arguments, result) in COMMANDS.items()
            }
        factories = self.registration.factories if self.registration is not None else {}
        return factories[role].commands if role in factories else {}

    def roles(self) -> frozenset[str]:
        """Those that are known to offer commands."""
        said = self.registration
        factories = said.factories if said is not None else {}
        return frozenset({STATION, *(role for role in factories if factories[role].commands)})


async def find(line: Line, given: str, patience: float = REACH) -> Station:
    """The station with this id or name.

    Raises:
        NoSuchStation: there is none.
        Unreachable: it is not online, or nobody can say which one is meant.
    """
    access, topics = line.access, line.access.topics
    heard, manager = _Heard(topics), ManagerPresence(topics)

    def hear(message: Message) -> None:
        heard.hear(message)
        manager.hear(message)

    if is_station_id(given):
        await line.listen(*_own(topics, given), *manager_filters(access), hear=hear)
        first = [heard.until(topics.presence(given)), manager.online.wait()]
    else:
        await line.listen(*manager_filters(access), hear=hear)
        first = [manager.online.wait()]
    await _any_of(*first, patience=patience)
    timezone = None
    if heard.has(topics.presence(given)):
        id_, name = given, given
    elif manager.online.is_set():
        id_, name, timezone = await _known_to(Manager(line), given)
    else:
        id_, name = await _of_host_name(line, heard, given), given
    if id_ != given:
        await line.listen(*_own(topics, id_))
    await _any_of(heard.until(topics.presence(id_)), patience=patience)
    presence = heard.latest(topics.presence(id_), Presence)
    if presence is None or presence.state is not PresenceState.ONLINE:
        raise Unreachable(absence(name, presence))
    await _any_of(heard.until(topics.registration(id_)), patience=patience)
    registration = heard.latest(topics.registration(id_), Registration)
    return Station(id_, name, registration, timezone)


async def runs(line: Line, station: Station) -> Mapping[str, Mapping[str, InstanceStatus]]:
    """Role -> instance -> what it does; empty where the station does not say."""
    topic, heard = line.access.topics.status(station.id), _Heard(line.access.topics)
    await line.listen(Filter(topic), hear=heard.hear)
    await _any_of(heard.until(topic), patience=GATHER)
    said = heard.latest(topic, Status)
    return said.roles if said is not None else {}


async def heard_of(line: Line) -> set[str]:
    """The ids of all stations that were ever heard."""
    heard = _Heard(line.access.topics)
    await line.listen(Filter(line.access.topics.presence("+"), qos=0, bare=True), hear=heard.hear)
    await asyncio.sleep(GATHER)
    return set(heard.all("presence", Presence))


async def registrations(line: Line) -> Mapping[str, Registration]:
    """By id, what every station last said that it is and can do."""
    heard = _Heard(line.access.topics)
    await line.listen(
        Filter(line.access.topics.registration("+"), qos=0, bare=True), hear=heard.hear
    )
    await asyncio.sleep(GATHER)
    return heard.all("registration", Registration)


async def names(line: Line) -> Mapping[str, str]:
    """By id, what the manager calls the stations; empty where none is online."""
    manager = ManagerPresence(line.access.topics)
    await line.listen(*manager_filters(line.access), hear=manager.hear)
    await _any_of(manager.online.wait(), patience=GATHER)
    if not manager.online.is_set():
        return {}
    try:
        return {one.id: one.name for one in (await Manager(line).status()).stations}
    except Denied:
        return {}


def absence(name: str, presence: Presence | None) -> str:
    """Why a station cannot be asked."""
    if presence is None:
        return f"{name} was never heard; is its fleet-agent running, and on this broker?"
    if presence.state is PresenceState.OFFLINE:
        here = datetime.now(UTC).astimezone()
        at = f"{clock(presence.at, here)} {here:%Z}"
        return f"{name} is offline: its fleet-agent was stopped at {at}; start it again"
    # A will does not know when it is sent; the manager does.
    return (
        f"{name} is {presence.state.value}: look at its power and its network; since when: "
        f"fleet status {name}"
    )


def _own(topics: Topics, id_: str) -> tuple[Filter, Filter]:
    return Filter(topics.presence(id_)), Filter(topics.registration(id_))


async def _any_of(*waits: Any, patience: float) -> None:
    """Until one of them is over, or nobody is patient any more."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _known_to(manager: Manager, given: str) -> tuple[str, str, str]:
    """Id and name of the station the manager knows as `given`, and the conference's time zone."""
    try:
        status = await manager.status()
    except Denied as denied:
        raise Unreachable(
            f"the manager does not say which station {given!r} is: {denied}"
        ) from None
    stations = status.stations
    found = [one for one in matching(stations, given) if given in (one.id, one.name)]
    if not found:
        hint = near(given, [one.name for one in stations], [one.id for one in stations])
        raise NoSuchStation(f"there is no station {given!r}; {hint}")
    station = next((one for one in found if one.id == given), found[0])
    if station.presence in (PresenceState.OFFLINE, PresenceState.LOST):
        raise Unreachable(
            f"{station.name} is {station.presence.value}; {instead('status')} says more"
        )
    return station.id, station.name, status.timezone


async def _of_host_name(line: Line, heard: _Heard, given: str) -> str:
    """The id of the one box with this host name."""
    topic = line.access.topics.registration("+")
    await line.listen(Filter(topic, qos=0))
    await asyncio.sleep(GATHER)
    found = _hosts(heard.all("registration", Registration), given)
    if len(found) == 1:
        return found[0]
    several = f" ({', '.join(found)} have this host name)" if found else ""
    meant = meant_station_id(given)
    such_as = f", such as {meant}" if meant not in (None, given) else ""
    raise Unreachable(
        f"no manager is online that knows which station {clean(given)!r} is{several}; "
        f"start fleet-manager, or give the station's id{such_as}"
    )


def _hosts(registrations: Mapping[str, Registration], name: str) -> Sequence[str]:
    return sorted(id_ for id_, one in registrations.items() if one.hostname == name)
