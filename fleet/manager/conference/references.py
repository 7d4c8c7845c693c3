"""`source = {role = "ingest", seat = "cam"}` -> host and port, from the file alone. Pure.

What stations report never changes another's config, so the host is the address the file gives
(`<station name>.local` unless it does), and the port is the one the file sets.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from fleet.manager.conference.wanted import DesiredState
from fleet.strict import Mistakes, structure

Wrong = Callable[..., None]
"""Takes a message and the path of what is wrong."""
Node = tuple[str, str, str]
"""(station's name, role, instance)."""

_KEY: Final = "source"


@frozen
class _Reference:
    """As it stands in the file; without seat or station, the station itself is meant."""

    role: str
    instance: str = "main"
    seat: str | None = None
    station: str | None = None
    output: str | None = None


def resolve(stations: Sequence[DesiredState], wrong: Wrong) -> list[DesiredState]:
    """`stations` with every reference resolved; those that cannot be are given to `wrong`."""
    by_name = {one.name: one for one in stations}
    targets: dict[Node, Node] = {}
    references: dict[Node, _Reference] = {}
    for name, one in by_name.items():
        for role, instances in one.roles.items():
            for instance, settings in instances.items():
                node = (name, role, instance)
                reference = _reference(settings.get(_KEY), node, wrong)
                target = _target(reference, node, by_name, wrong) if reference else None
                if reference and target:
                    references[node], targets[node] = reference, target
    for node in targets:
        if _circular(node, targets):
            wrong("refers in a circle, back to this instance", *_path(node))
    return [_resolved(name, one, by_name, references, targets) for name, one in by_name.items()]


def _path(node: Node) -> tuple[str, ...]:
    name, role, instance = node
    return ("stations", name, "roles", role, instance, _KEY)


def _reference(value: Any, node: Node, wrong: Wrong) -> _Reference | None:
    if not isinstance(value, Mapping) or "role" not in value or "type" in value:
        return None
    try:
        reference = structure(value, _Reference)
    except Mistakes as mistakes:
        for one in mistakes.mistakes:
            wrong(one.message, *_path(node), *one.pointer.split("/")[1:])
        return None
    if reference.seat is not None and reference.station is not None:
        wrong("names a seat and a station: one of them is enough", *_path(node))
        return None
    return reference


def _target(
    reference: _Reference, node: Node, by_name: Mapping[str, DesiredState], wrong: Wrong
) -> Node | None:
    own = by_name[node[0]]
    if reference.station is not None:
        names = [reference.station] if reference.station in by_name else []
        meant = f"no station {reference.station!r} in this file"
    elif reference.seat is not None:
        room = own.facts.room
        names = [
            name
            for name, one in by_name.items()
            if one.facts.room == room and one.facts.seat == reference.seat
        ]
        meant = f"no station with the seat {reference.seat!r} in the room {room!r}"
    else:
        names = [node[0]]
        meant = ""
    if not names:
        wrong(f"refers to nothing: there is {meant}", *_path(node))
        return None
    if len(names) > 1:
        both = " and ".join(map(repr, names))
        wrong(
            f"may mean {both}: they have the same seat in this room; name the station instead",
            *_path(node),
        )
        return None
    if reference.instance not in by_name[names[0]].roles.get(reference.role, {}):
        wrong(
            f"refers to nothing: {names[0]!r} has no {reference.role}/{reference.instance}, "
            "or it is switched off",
            *_path(node),
        )
        return None
    return (names[0], reference.role, reference.instance)


def _circular(start: Node, targets: Mapping[Node, Node]) -> bool:
    seen, node = {start}, targets.get(start)
    while node is not None and node not in seen:
        seen.add(node)
        node = targets.get(node)
    return node == start


def _resolved(
    name: str,
    one: DesiredState,
    by_name: Mapping[str, DesiredState],
    references: Mapping[Node, _Reference],
    targets: Mapping[Node, Node],
) -> DesiredState:
    roles = {}
    for role, instances in one.roles.items():
        roles[role] = dict(instances)
        for instance, settings in instances.items():
            target = targets.get((name, role, instance))
            if target is None:
                continue
            source = _source(by_name[target[0]], target, references[name, role, instance].output)
            roles[role][instance] = {**settings, _KEY: source}
    return evolve(one, roles=roles)


def _source(station: DesiredState, target: Node, output: str | None) -> dict[str, Any]:
    name, role, instance = target
    source: dict[str, Any] = {"host": station.facts.address or f"{name}.local"}
    port = station.roles[role][instance].get("port")
    if port is not None:
        source["port"] = port
    if output is not None:
        source["output"] = output
    return source
