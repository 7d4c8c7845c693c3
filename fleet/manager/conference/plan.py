"""What applying a conference file would change, instance by instance. Pure."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final

from attrs import fields

from fleet.manager.conference import known
from fleet.manager.conference.masking import HIDDEN, masked
from fleet.manager.conference.offers import default, offers, places
from fleet.manager.conference.problems import dotted
from fleet.manager.conference.readers import records
from fleet.manager.conference.rooms import Rooms
from fleet.manager.conference.schemas import problems
from fleet.manager.conference.wanted import (
    ConferenceFile,
    DesiredState,
    Facts,
    Header,
    InstanceName,
    Room,
    ScheduleSource,
    behind,
)
from fleet.model import Problem, Registration, Roles, Settings, State, natural
from fleet.operations.plans import RECORDING, Change, Doubt, StationChange, TableChange
from fleet.role import only_live
from fleet.strict import same
from fleet.wire import dumps

_LONGEST: Final = 30
"""Characters of a value that are shown."""
_MOST: Final = 4
"""Differences that are shown in one detail."""


def changes(
    then: DesiredState,
    now: Roles,
    running: Mapping[tuple[str, str], State],
    said: Registration | None = None,
) -> Iterator[Change]:
    """What changes on one station, no secret being shown.

    `running`: what is at work there, by (role, instance); `said`: how it describes itself.
    """
    if now is then.roles:  # nothing in the file of what is wanted here has changed
        return
    old, new = _flat(now), _flat(then.roles)
    for key in sorted(old.keys() | new.keys()):
        role, instance = key
        live = False
        if key not in old:
            action, detail = "+", ""
        elif key not in new:
            action, detail = "-", ""
        elif same(old[key], new[key]):
            continue
        else:
            action = "~"
            factory = said.factories.get(role) if said else None
            schema = factory.schema if factory else b"null"
            detail, live = _changed(role, dumps(old[key]), dumps(new[key]), schema)
        yield Change(
            then.id,
            then.name,
            then.facts.room,
            role,
            instance,
            action,  # type: ignore[arg-type]
            detail,
            key in running,
            live,
            running.get(key),
            records(role, old.get(key, {})),
        )


@lru_cache(maxsize=4096)
def _changed(role: str, old: bytes, new: bytes, schema: bytes) -> tuple[str, bool]:
    """What is different, and whether it is taken live; most stations change in the same way."""
    was, will, known_by_it = json.loads(old), json.loads(new), json.loads(schema)
    shown = masked(role, was, known_by_it), masked(role, will, known_by_it)
    return _difference(was, will, *shown), _takes_live(role, was, will)


def _takes_live(role: str, old: Settings, new: Settings) -> bool:
    factory = known.factories().get(role)
    return factory is not None and only_live(factory.role.taken_live, old, new, same)


def station_change(then: DesiredState, now: Facts, *, new: bool) -> StationChange | None:
    """What changes of a station besides its instances."""
    if new:
        detail = "new"
    elif now == then.facts:
        return None
    else:
        detail = ", ".join(
            f"{name} {getattr(now, name) or 'none'} -> {getattr(then.facts, name) or 'none'}"
            for name in ("name", "room", "seat", "where", "address")
            if getattr(now, name) != getattr(then.facts, name)
        )
    if not detail:
        return None
    return StationChange(then.id, then.name, then.facts.room, detail)


def tables(then: ConferenceFile, now: Rooms) -> Iterator[TableChange]:
    """What changes of `[conference]`, `[schedule]` and rooms, once a file was applied."""
    if (now.header, now.source, now.rooms) == (Header(), None, {}):
        return
    pairs: dict[str, tuple[Any, Any]] = {
        "conference": (now.header, then.header),
        "schedule": (now.source, then.schedule),
    }
    for room in sorted(now.rooms.keys() | then.rooms.keys(), key=natural):
        pairs[f"rooms.{room}"] = now.rooms.get(room), then.rooms.get(room)
    for name, (old, new) in pairs.items():
        was, will = _said(old), _said(new)
        shown = masked("", was, None), masked("", will, None)
        if detail := _difference(was, will, *shown):
            yield TableChange(name, detail)


def _said(table: Header | ScheduleSource | Room | None) -> Settings:
    """All in it that is not as it would be anyway."""
    found = {}
    for one in fields(type(table)) if table is not None else ():
        value = getattr(table, one.name)
        if value != one.default:
            found[one.name] = list(value) if isinstance(value, tuple) else value
    return found


def misnamed(file: ConferenceFile, names: Mapping[str, str | None]) -> Iterator[Problem]:
    """The stations that are called as another box's id, so that nobody could say which is meant.

    `names`: what each box is called now, by id. One that is called as its id can be replaced.
    """
    for one in file.stations.values():
        name = one.name
        if name != one.id and name in names and names[name] != name:
            yield Problem(
                "InvalidConfiguration",
                None,
                None,
                dotted("stations", name),
                f"{name!r} is the id of another box: call this station something else, or "
                f"forget that box if it is gone (fleet retire {name})",
            )


def doubts(then: DesiredState, said: Registration | None) -> Iterator[Doubt]:
    """What the station, as it describes itself, would refuse."""
    return (Doubt(then.id, then.name, one) for one in problems(then.roles, said))


def warning(doubt: Doubt) -> str:
    """A doubt in a sentence."""
    return f"{doubt.station} {doubt.problem.sentence}"


def advice(chosen: Sequence[DesiredState], file: ConferenceFile) -> Iterator[str]:
    """What the file leaves open for the `chosen` stations, so that trouble would go unnoticed."""
    is_all = len(chosen) == len(file.stations)
    yield from _unrecorded({*file.rooms} if is_all else {one.facts.room for one in chosen}, file)
    yield from _unwatched(chosen, file)
    yield from _by_mdns({one.name for one in chosen}, file)
    yield from _unnamed({one.name for one in chosen}, file)


def _unrecorded(rooms: AbstractSet[str | None], file: ConferenceFile) -> Iterator[str]:
    """The rooms of which no recording has a source, on whatever station."""
    room_of = {one.name: one.facts.room for one in file.stations.values()}
    sources = _sources(file)
    recorded = set()
    for one in file.stations.values():
        for instance in one.roles.get(RECORDING, {}):
            node = InstanceName(one.name, RECORDING, instance)
            stations = {source.station for source in behind(node, sources)} or {one.name}
            recorded |= {room_of[name] for name in stations}
    for room in file.rooms:
        if room in rooms - recorded:
            yield f"nobody records the room {room}: add a recording to one of its stations"


def _unwatched(chosen: Iterable[DesiredState], file: ConferenceFile) -> Iterator[str]:
    """The recordings whose source no monitor reads."""
    sources = _sources(file)

    def reads(one: DesiredState, role: str, instance: str, settings: Settings) -> set[Any]:
        fed = sources.get(InstanceName(one.name, role, instance))
        return set(fed) if fed else {dumps(settings.get("source"))}

    watched = set()
    for one in file.stations.values():
        for instance, settings in one.roles.get("monitor", {}).items():
            watched |= reads(one, "monitor", instance, settings)
    for one in chosen:
        for instance, settings in one.roles.get(RECORDING, {}).items():
            kind = _type(settings.get("source"))
            if kind != "test" and not reads(one, RECORDING, instance, settings) & watched:
                yield (
                    f"{one.name} {RECORDING}/{instance}: nobody watches what it records, so "
                    "silence or a black picture goes unnoticed: "
                    + (
                        "let an ingest open the device, which only one can, and a monitor read "
                        "that too"
                        if kind == "device"
                        else "add a monitor with the same source"
                    )
                )


def _by_mdns(chosen: AbstractSet[str], file: ConferenceFile) -> Iterator[str]:
    """The stations that others have to find by their name alone."""
    readers: dict[str, list[str]] = defaultdict(list)
    for reading in file.readings:
        if reading.by_mdns and {reading.reader.station, reading.source.station} & chosen:
            readers[reading.source.station].append(str(reading.reader))
    for name, several in readers.items():
        told = ", ".join(several[:_MOST])
        more = f" and {len(several) - _MOST} more" if len(several) > _MOST else ""
        yield (
            f"{name} has no address, so {told}{more} relies on mDNS to find {name}.local: give it "
            "an address, or see that avahi-daemon and libnss-mdns are on all of them"
        )


def _unnamed(chosen: AbstractSet[str], file: ConferenceFile) -> Iterator[str]:
    """Who reads an output that they do not name and would not expect."""
    by_name = {one.name: one for one in file.stations.values()}
    for reading in file.readings:
        reader, source = reading.reader, reading.source
        settings = by_name[reader.station].roles[reader.role][reader.instance]
        if reader.station not in chosen or "output" in dict(places(settings))[reading.place]:
            continue
        known = offers(source.role, by_name[source.station].roles[source.role][source.instance])
        if known and known[output := default(known)].by_name:
            yield (
                f"{reader.station} {reader.role}/{reader.instance} reads {output!r}, the only "
                f'output of {source}: say output = "{output}" if that is meant'
            )


def _sources(file: ConferenceFile) -> dict[InstanceName, set[InstanceName]]:
    found: dict[InstanceName, set[InstanceName]] = defaultdict(set)
    for reading in file.readings:
        found[reading.reader].add(reading.source)
    return found


def _flat(roles: Roles) -> dict[tuple[str, str], Settings]:
    return {
        (role, name): one for role, instances in roles.items() for name, one in instances.items()
    }


def _difference(old: Settings, new: Settings, was: Settings, will: Settings) -> str:
    """What is different between `old` and `new`, in the words of `was` and `will`."""
    found = list(_differences(old, new, was, will, ""))
    more = f", {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(found[:_MOST]) + more


def _differences(
    old: Settings, new: Settings, was: Settings, will: Settings, path: str
) -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        here = f"{path}{key}"
        if key not in old:
            yield f"{here} none -> {_short(will[key])}"
        elif key not in new:
            yield f"{here} {_short(was[key])} -> none"
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            yield from _differences(old[key], new[key], was[key], will[key], f"{here}.")
        elif not same(old[key], new[key]):
            yield f"{here} {_short(was[key])} -> {_short(will[key])}"


def _short(value: Any) -> str:
    match value:
        case dict():
            text = "{" + ", ".join(f"{key} = {_short(one)}" for key, one in value.items()) + "}"
        case list():
            text = "[" + ", ".join(map(_short, value)) + "]"
        case str() if value == HIDDEN:
            text = "(hidden)"
        case bool():
            text = str(value).lower()
        case _:
            text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _type(source: Any) -> Any:
    return source.get("type") if isinstance(source, dict) else "test"
