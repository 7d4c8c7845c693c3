"""Who reads whom by the configs that are wanted now, and whom a change cuts off. Pure.

A config names what is read by host and port alone, whichever file or release it is from.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fleet.manager.conference.offers import offers, places
from fleet.manager.conference.wanted import Facts, behind
from fleet.media.sources import PORT
from fleet.model import Roles, Settings
from fleet.operations.plans import RECORDING

Configs = Mapping[str, tuple[Facts, Roles]]
"""Station id -> what the file said of it, and its roles."""


class Running(NamedTuple):
    """One instance on the station with this id."""

    id: str
    role: str
    instance: str


def cut(configs: Configs, changed: Iterable[Running]) -> dict[Running, Running]:
    """Each instance that reads one of `changed`, also by way of others, and which one."""
    ends = set(changed)
    if not ends:
        return {}
    sources = reads(configs)
    found = {}
    for reader in sources:
        lost = sorted(behind(reader, sources) & ends)
        if lost and reader not in ends:
            found[reader] = lost[0]
    return found


def reads(configs: Configs) -> dict[Running, set[Running]]:
    """Each instance that reads others, and which."""
    hosts: dict[str, set[str]] = defaultdict(set)
    offered: dict[tuple[str, int], set[Running]] = defaultdict(set)
    for id_, (facts, roles) in configs.items():
        hosts[f"{facts.name or id_}.local"].add(id_)
        if facts.address:
            hosts[facts.address].add(id_)
        for one, settings in _instances(id_, roles):
            for port, listen in _offered(one.role, settings):
                offered[id_, port].add(one)
                hosts[listen].add(id_)
    found: dict[Running, set[Running]] = {}
    for id_, (_, roles) in configs.items() if offered else ():
        for one, settings in _instances(id_, roles):
            read = set()
            for host, port in _read(settings):
                stations = hosts.get(host, set()) | ({id_} if _is_loopback(host) else set())
                for station in stations:
                    read |= offered.get((station, port), set())
            if read:
                found[one] = read
    return found


def records(role: str, settings: Settings) -> bool:
    """Whether an instance records on its box: a recorder, or what captures and keeps a copy.

    `settings`: of any role, and not judged yet.
    """
    if role != "ingest":
        return role == RECORDING
    copy = settings.get("local_copy")
    return not isinstance(copy, Mapping) or copy.get("enabled", True) is True


def programs(configs: Configs) -> set[Running]:
    """The recordings of what a mixer shows."""
    return {
        one
        for one, sources in reads(configs).items()
        if one.role == RECORDING and any(source.role == "mix" for source in sources)
    }


def hosts(roles: Iterable[Roles]) -> set[str]:
    """Every host that some instance reads."""
    return {
        host
        for one in roles
        for instances in one.values()
        for settings in instances.values()
        for host, _ in _read(settings)
    }


def _instances(id_: str, roles: Roles) -> Iterator[tuple[Running, Settings]]:
    for role, instances in roles.items():
        for instance, settings in instances.items():
            yield Running(id_, role, instance), settings


def _offered(role: str, settings: Settings) -> Iterator[tuple[int, str]]:
    """Port and address of all that can be read there."""
    known = offers(role, settings)
    for offer in (known or {}).values():
        yield offer.port, offer.listen
    port = settings.get("port")
    if known is None and isinstance(port, int):
        yield port, str(settings.get("listen", ""))


def _read(settings: Settings) -> Iterator[tuple[str, int]]:
    """Host and port of all that is read."""
    for _, source in places(settings):
        host, port = source.get("host"), source.get("port", PORT)
        if "type" not in source and isinstance(host, str) and isinstance(port, int):
            yield host, port
        elif source.get("type") == "url":
            yield from _by_address(source.get("url"))


def _by_address(url: Any) -> Iterator[tuple[str, int]]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            yield parts.hostname, parts.port
    except (ValueError, TypeError, AttributeError):
        return


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
