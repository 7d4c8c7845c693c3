"""`source = {role = "ingest", seat = "cam"}` -> host and port, from the file alone. Pure.

What stations report never changes another's config, so the host is the address the file gives
(`<station name>.local` unless it does), and the port is the one the file sets. On one station it
is 127.0.0.1: what a box records of itself needs no network.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from attrs import evolve, frozen

from fleet.manager.conference.offers import (
    Place,
    default,
    is_reference,
    offers,
    own_ports,
    places,
    ports,
    put,
)
from fleet.manager.conference.wanted import DesiredState, InstanceName, Reading, behind
from fleet.media.pipelines import LOOPBACK
from fleet.media.sources import PORT
from fleet.role import Offer
from fleet.strict import Mistakes, close_match, structure

Wrong = Callable[..., None]
"""Takes a message and the path of what is wrong."""


@frozen
class _Reference:
    """As it stands in the file; without seat or station, the station itself is meant."""

    role: str
    instance: str = "main"
    seat: str | None = None
    station: str | None = None
    output: str | None = None


def resolve(
    stations: Sequence[DesiredState], wrong: Wrong
) -> tuple[list[DesiredState], tuple[Reading, ...]]:
    """`stations` with every reference resolved, and who reads whom by them.

    What cannot be resolved is given to `wrong`, and so are ports that two instances share.
    """
    by_name = {one.name: one for one in stations}
    for one in stations:
        _ports(one, wrong)
    resolved: list[DesiredState] = []
    readings: list[Reading] = []
    for name, one in by_name.items():
        roles: dict[str, dict[str, Any]] = {}
        for role, instances in one.roles.items():
            for instance, settings in instances.items():
                node = InstanceName(name, role, instance)
                for place, value in places(settings):
                    if is_reference(value):
                        found = _resolved(value, node, place, by_name, wrong)
                        if found:
                            reading, source = found
                            readings.append(reading)
                            new = roles.setdefault(role, {})
                            new[instance] = put(new.get(instance, settings), place, source or value)
        resolved.append(_with(one, roles) if roles else one)
    _circles(readings, wrong)
    return resolved, tuple(readings)


def _with(one: DesiredState, changed: Mapping[str, Mapping[str, Any]]) -> DesiredState:
    roles = {role: {**had, **changed.get(role, {})} for role, had in one.roles.items()}
    return evolve(one, roles=roles)


def _path(node: InstanceName, *keys: str) -> tuple[str, ...]:
    return ("stations", node.station, "roles", node.role, node.instance, *keys)


def _ports(one: DesiredState, wrong: Wrong) -> None:
    """Two instances of a station cannot be read at one port."""
    taken = {
        port: f"{role}/{instance}"
        for role, instances in one.roles.items()
        for instance, settings in instances.items()
        for port in own_ports(role, settings)
    }
    for role, instances in one.roles.items():
        for instance, settings in instances.items():
            for port in ports(role, settings):
                other = taken.setdefault(port, f"{role}/{instance}")
                if other != f"{role}/{instance}":
                    wrong(
                        f"{port} is already the port of {other} on this station: give each its own",
                        *_path(InstanceName(one.name, role, instance), "port"),
                    )


def _resolved(
    value: Mapping[str, Any],
    node: InstanceName,
    place: Place,
    by_name: Mapping[str, DesiredState],
    wrong: Wrong,
) -> tuple[Reading, dict[str, Any] | None] | None:
    """Who reads whom, and where from; None, and why told, where that cannot be said."""

    def no(message: str, *keys: str) -> None:
        wrong(message, *_path(node, *place, *keys))

    reference = _reference(value, no)
    target = _target(reference, node, by_name, no) if reference else None
    if not reference or not target:
        return None
    station = by_name[target.station]
    settings = station.roles[target.role][target.instance]
    offer = _offer(reference, target, settings, no)
    if offer is None:
        return Reading(node, place, target, by_mdns=False), None
    if not offer.sound and place == (
        "sources",
        by_name[node.station].roles[node.role][node.instance].get("audio"),
    ):
        wrong(f"is to be heard, and {target} captures no sound", *_path(node, "audio"))
    host, by_mdns = LOOPBACK, False
    if target.station != node.station:
        why = _unreachable(offer, station)
        if why:
            no(f"cannot read {target}, which {why}")
        fixed = _ip(offer.listen)
        own = offer.listen if fixed and not fixed.is_unspecified else None
        host = station.facts.address or own or f"{target.station}.local"
        by_mdns = host == f"{target.station}.local"
    source: dict[str, Any] = {"host": host}
    if "port" in settings or offer.port != PORT:
        source["port"] = offer.port
    if reference.output is not None:
        source["output"] = reference.output
    if offer.tracks:
        source["tracks"] = list(offer.tracks)
    return Reading(node, place, target, by_mdns), source


def _reference(value: Mapping[str, Any], no: Wrong) -> _Reference | None:
    try:
        reference = structure(value, _Reference)
    except Mistakes as mistakes:
        for one in mistakes.mistakes:
            no(one.message, *one.pointer.split("/")[1:])
        return None
    if reference.seat is not None and reference.station is not None:
        no("names a seat and a station: one of them is enough")
        return None
    return reference


def _target(
    reference: _Reference, node: InstanceName, by_name: Mapping[str, DesiredState], no: Wrong
) -> InstanceName | None:
    own = by_name[node.station]
    if reference.station is not None:
        names = [reference.station] if reference.station in by_name else []
        hint = close_match(reference.station, list(by_name))
        meant = f"no station {reference.station!r} in this file{hint}"
    elif reference.seat is not None:
        room = own.facts.room
        seats = {name: one.facts.seat for name, one in by_name.items() if one.facts.room == room}
        names = [name for name, seat in seats.items() if seat == reference.seat]
        hint = close_match(reference.seat, [seat for seat in seats.values() if seat])
        meant = f"no station with the seat {reference.seat!r} in the room {room!r}{hint}"
    else:
        names = [node.station]
        meant = ""
    if not names:
        no(f"refers to nothing: there is {meant}")
        return None
    if len(names) > 1:
        both = " and ".join(map(repr, names))
        no(f"may mean {both}: they have the same seat in this room; name the station instead")
        return None
    there = by_name[names[0]].roles
    if reference.instance not in there.get(reference.role, {}):
        meant = f"{reference.role}/{reference.instance}"
        hint = (
            close_match(reference.instance, list(there[reference.role]))
            if reference.role in there
            else close_match(reference.role, list(there))
        ) or ", or it is switched off"
        no(f"refers to nothing: {names[0]!r} has no {meant}{hint}")
        return None
    return InstanceName(names[0], reference.role, reference.instance)


def _offer(
    reference: _Reference, target: InstanceName, settings: Mapping[str, Any], no: Wrong
) -> Offer | None:
    """What is read; None, and why told, where there is no such thing."""
    known = offers(target.role, settings)
    if known is None:  # whoever wrote the role knows, and the file says where
        port, listen = settings.get("port"), settings.get("listen")
        port = port if isinstance(port, int) else PORT
        return Offer(port, listen) if isinstance(listen, str) else Offer(port)
    if not known:
        no(f"refers to {target}, which offers nothing to be read")
        return None
    output = default(known) if reference.output is None else reference.output
    if output not in known:
        hint = close_match(output, list(known)) or f" (it has: {', '.join(known)})"
        no(f"{target} has no output {output!r}{hint}", "output")
        return None
    return known[output]


def _ip(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text or "")
    except ValueError:
        return None


def _unreachable(offer: Offer, station: DesiredState) -> str | None:
    """Why no other station reaches it where the file says that the station is."""
    listen, address = _ip(offer.listen), _ip(station.facts.address)
    there = station.facts.address
    if listen is None:
        return None
    if listen.is_loopback:
        is_here = there == "localhost" or (address is not None and address.is_loopback)
        return None if is_here else f"listens on {listen} alone, where no other station reaches it"
    if address is None or listen == address:
        return None
    if not listen.is_unspecified:
        return f"listens on {listen} alone, and the address of {station.name!r} is {address}"
    if listen.version == 4 and address.version == 6:
        return f"listens on {listen}, which is IPv4 alone, and the address is {address}"
    return None


def _circles(readings: Iterable[Reading], wrong: Wrong) -> None:
    sources: dict[InstanceName, set[InstanceName]] = defaultdict(set)
    for reading in readings:
        sources[reading.reader].add(reading.source)
    for reading in readings:
        if reading.reader == reading.source or reading.reader in behind(reading.source, sources):
            wrong(
                "refers in a circle, back to this instance", *_path(reading.reader, *reading.place)
            )
