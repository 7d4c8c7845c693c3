"""What is wanted -> a conference file; applying it changes nothing. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import tomlkit
from tomlkit.items import InlineTable, Table

from fleet.manager.conference.wanted import DesiredState, Header, Room, ScheduleSource
from fleet.model import Roles, is_name

_SCHEDULE: Final = tuple(one.name for one in attrs.fields(ScheduleSource))


def conference(
    header: Header,
    schedule: ScheduleSource | None,
    rooms: Mapping[str, Room],
    stations: Sequence[DesiredState],
) -> tuple[str, list[str]]:
    """The text of the file, and the stations that a file cannot name, with why."""
    left_out: list[str] = []
    named: dict[str, DesiredState] = {}
    for one in sorted(stations, key=lambda one: (one.facts.room or "", one.name)):
        name = one.name
        why = _unfit(one, name, named)
        if why is None:
            named[name] = one
        else:
            left_out.append(f"{one.id}: {why}")
    file = tomlkit.document()
    _put(file, "conference", _table(header, "id", "title", "timezone"))
    if schedule is not None:
        _put(file, "schedule", _table(schedule, *_SCHEDULE))
    every = {**dict.fromkeys((one.facts.room or "" for one in named.values()), Room()), **rooms}
    if every:
        file["rooms"] = tomlkit.table(is_super_table=True)
        for room in sorted(every):
            file["rooms"].append(room, _room(every[room]))
    if named:
        file["stations"] = tomlkit.table(is_super_table=True)
        for name, one in named.items():
            file["stations"].append(name, _station(one))
    return tomlkit.dumps(file), left_out


def roles_text(roles: Roles) -> str:
    """The roles of one station as a file has them, from `[roles.record.main]` on."""
    file = tomlkit.document()
    if any(roles.values()):
        file["roles"] = _roles(roles, escaped=False)
    return tomlkit.dumps(file)


def _unfit(one: DesiredState, name: str, named: Mapping[str, DesiredState]) -> str | None:
    if one.facts.room is None:
        return "it has no room, because no file ever named it"
    if not is_name(name):
        return "its id cannot be a name"
    if name in named:
        return f"{named[name].id} has its name {name!r} too"
    if _has_null(one.roles):
        return "its settings hold a null, which a file cannot express"
    return None


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_null(inner) for inner in value.values())
    if isinstance(value, list):
        return any(map(_has_null, value))
    return value is None


def _put(file: tomlkit.TOMLDocument, key: str, table: Table) -> None:
    if table:
        file[key] = table


def _table(value: Any, *keys: str) -> Table:
    table = tomlkit.table()
    for key in keys:
        one = getattr(value, key)
        if one is not None:
            table[key] = one
    return table


def _room(room: Room) -> Table:
    table = _table(room, "title")
    if room.hours:
        table["hours"] = list(room.hours)
    if room.schedule:
        table["schedule"] = list(room.schedule)
    return table


def _station(one: DesiredState) -> Table:
    table = tomlkit.table()
    table["id"] = one.id
    for key, value in _table(one.facts, "room", "seat", "where", "address").items():
        table[key] = value
    if any(one.roles.values()):
        table["roles"] = _roles(one.roles, escaped=True)
    return table


def _roles(roles: Roles, *, escaped: bool) -> Table:
    all_roles = tomlkit.table(is_super_table=True)
    for role, instances in roles.items():
        if not instances:
            continue
        of_role = tomlkit.table(is_super_table=True)
        for name, settings in instances.items():
            table = tomlkit.table()
            for key, value in settings.items():
                table[key] = _value(value, escaped=escaped)
            of_role[name] = table
        all_roles[role] = of_role
    return all_roles


def _value(value: Any, *, escaped: bool) -> Any:
    if isinstance(value, str):
        # A brace in a file begins a placeholder; what is wanted has them filled in.
        return value.replace("{", "{{").replace("}", "}}") if escaped else value
    if isinstance(value, Mapping):
        table: InlineTable = tomlkit.inline_table()
        for key, one in value.items():
            table[key] = _value(one, escaped=escaped)
        return table
    if isinstance(value, list):
        return [_value(one, escaped=escaped) for one in value]
    return "" if value is None else value
