"""What applying a conference file would change, instance by instance. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from fleet.manager.conference.masking import HIDDEN, masked, schema_of
from fleet.manager.conference.schemas import problems
from fleet.manager.conference.wanted import DesiredState, Facts
from fleet.model import Registration, Roles, Settings
from fleet.operations import Change, Doubt, StationChange
from fleet.wire import dumps

_LONGEST: Final = 30
"""Characters of a value that are shown."""
_MOST: Final = 4
"""Differences that are shown in one detail."""


def changes(
    then: DesiredState,
    now: Roles,
    running: frozenset[tuple[str, str]],
    said: Registration | None = None,
) -> Iterator[Change]:
    """What changes on one station, no secret being shown.

    `running`: the (role, instance) pairs that run there; `said`: how it describes itself.
    """
    old, new = _flat(now), _flat(then.roles)
    for key in sorted(old.keys() | new.keys()):
        role, instance = key
        if key not in old:
            action, detail = "+", ""
        elif key not in new:
            action, detail = "-", ""
        elif same(old[key], new[key]):
            continue
        else:
            action = "~"
            schema = schema_of(role, said)
            shown = masked(role, old[key], schema), masked(role, new[key], schema)
            detail = _difference(old[key], new[key], *shown)
        yield Change(
            then.id,
            then.name,
            then.facts.room,
            role,
            instance,
            action,  # type: ignore[arg-type]
            detail,
            key in running,
        )


def station_change(then: DesiredState, now: Facts, *, new: bool) -> StationChange | None:
    """What changes of a station besides its instances."""
    if new:
        detail = "new"
    else:
        detail = ", ".join(
            f"{name} {getattr(now, name) or 'none'} -> {getattr(then.facts, name) or 'none'}"
            for name in ("name", "room", "seat", "where", "address")
            if getattr(now, name) != getattr(then.facts, name)
        )
    if not detail:
        return None
    return StationChange(then.id, then.name, then.facts.room, detail)


def doubts(then: DesiredState, said: Registration | None) -> Iterator[Doubt]:
    """What the station, as it describes itself, would refuse."""
    return (Doubt(then.id, then.name, one) for one in problems(then.roles, said))


def warning(doubt: Doubt) -> str:
    """A doubt in a sentence."""
    problem = doubt.problem
    if problem.instance is None:
        return f"{doubt.station} {problem.message}"
    where = " ".join(filter(None, (f"{problem.role}/{problem.instance}", problem.path)))
    return f"{doubt.station} {where}: {problem.message}"


def unwatched(chosen: Iterable[DesiredState], file: Iterable[DesiredState]) -> Iterator[str]:
    """The recordings of the `chosen` stations whose source no monitor in the `file` reads."""
    watched = {
        dumps(settings.get("source"))
        for one in file
        for settings in one.roles.get("monitor", {}).values()
    }
    for one in chosen:
        for instance, settings in one.roles.get("record", {}).items():
            source = settings.get("source")
            if _type(source) != "test" and dumps(source) not in watched:
                yield (
                    f"{one.name} record/{instance}: nobody watches what it "
                    "records, so silence or a black picture goes unnoticed: "
                    + (
                        "let an ingest open the device, which only one can, and a monitor read "
                        "that too"
                        if _type(source) == "device"
                        else "add a monitor with the same source"
                    )
                )


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, `1`, `1.0` and `true` being different."""
    if one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(same, one, other))
    return type(one) is type(other)


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
