"""What stations said that they can run and have, as lines for people. Pure.

All of it comes from other boxes, and may be anything at all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from fleet.cli.view import clean
from fleet.explained import command_explained, explained, limit, table
from fleet.model import CommandSchema, Device, DeviceFormat, Factory, Registration, natural
from fleet.wire import encode, to_json

_MOST = 8
"""Stations that are told by name."""


@frozen
class Registered:
    """A station: what people call it, and what it said."""

    name: str
    said: Registration


def registered(
    said: Mapping[str, Registration], names: Mapping[str, str]
) -> tuple[Registered, ...]:
    """All stations, by name."""
    found = (Registered(names.get(id_, id_), one) for id_, one in said.items())
    return tuple(sorted(found, key=lambda one: natural(one.name)))


def role_lines(stations: Sequence[Registered]) -> Iterator[str]:
    """A line a role: how many instances, and which stations have, block or cannot load it."""
    rows = [("ROLE", "INSTANCES", "STATIONS")]
    for role in role_names(stations):
        able = [one.name for one in stations if _factory(one, role) is not None]
        factories = [one.said.factories[role] for one in stations if role in one.said.factories]
        limits = sorted({limit(one) for one in factories}) or ["-"]
        rows.append((role, " or ".join(limits), "; ".join(_where(stations, role, able))))
    yield from map(clean, table(rows)) if rows[1:] else ()


def role_names(stations: Sequence[Registered]) -> list[str]:
    """Every role that a station said anything of."""
    found = {
        role
        for one in stations
        for role in (*one.said.factories, *one.said.blocked_roles, *one.said.broken_roles)
    }
    return sorted(found)


def role_explained(stations: Sequence[Registered], role: str) -> Iterator[str]:
    """Settings and commands of a role, once for each way in which stations describe it."""
    ways: dict[bytes, list[Registered]] = {}
    for one in stations:
        if (factory := _factory(one, role)) is not None:
            ways.setdefault(encode(factory), []).append(one)
    for several in ways.values():
        names = _several([one.name for one in several])
        yield from _explained(role, several[0].said.factories[role], f"; on {names}")
    yield from map(clean, _where(stations, role, []))


def _explained(role: str, factory: Factory, more: str) -> Iterator[str]:
    try:
        yield from map(clean_line, list(explained(role, factory, more)))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        yield clean(f"{role}{more}: what they say of its settings cannot be understood: {error!r}")


def command_lines(commands: Mapping[str, CommandSchema]) -> Iterator[str]:
    """Each command of a role with its arguments."""
    for name, schema in commands.items():
        try:
            yield from map(clean_line, list(command_explained(name, schema)))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            yield clean(f"{name}: what is said of its arguments cannot be understood: {error!r}")


def clean_line(text: str) -> str:
    """As `clean`, with the spaces that it begins with."""
    return " " * (len(text) - len(text.lstrip(" "))) + clean(text)


def _factory(station: Registered, role: str) -> Factory | None:
    blocked = role in station.said.blocked_roles
    return None if blocked else station.said.factories.get(role)


def _where(stations: Sequence[Registered], role: str, able: Sequence[str]) -> Iterator[str]:
    if able:
        yield _several(able)
    if blocked := [one.name for one in stations if role in one.said.blocked_roles]:
        yield f"blocked on {_several(blocked)}"
    for one in stations:
        if role in one.said.broken_roles:
            yield f"broken on {one.name}: {one.said.broken_roles[role]}"


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def device_lines(stations: Iterable[Registered]) -> Iterator[str]:
    """A line a device, with what it can do and the words for it in the conference file."""
    rows = [("STATION", "KIND", "NAME", "FORMATS", "IN THE FILE")]
    rows += [
        (one.name, device.kind, device.name, formats(device), device.words or "-")
        for one in stations
        for device in one.said.devices
    ]
    yield from map(clean, table(rows)) if rows[1:] else ()


def formats(device: Device) -> str:
    """The largest and fastest of each kind of pixels: `MJPG 1920x1080@60`; `-` for none."""
    best: dict[str, DeviceFormat] = {}
    for one in device.formats:
        best[one.pixels] = max(best.get(one.pixels, one), one, key=_size_and_rate)
    return (
        ", ".join(
            f"{pixels} {one.size}{f'@{max(one.rates):g}' if one.rates else ''}"
            for pixels, one in best.items()
        )
        or "-"
    )


def _size_and_rate(one: DeviceFormat) -> tuple[int, float]:
    width, _, height = one.size.partition("x")
    pixels = int(width) * int(height) if width.isdecimal() and height.isdecimal() else 0
    return pixels, max(one.rates, default=0.0)


def device_values(stations: Iterable[Registered]) -> list[dict[str, Any]]:
    """As `device_lines`, for programs."""
    return [
        {
            "station": one.name,
            "kind": device.kind,
            "id": device.id,
            "name": device.name,
            "formats": to_json(device.formats),
            "file": device.words,
        }
        for one in stations
        for device in one.said.devices
    ]
