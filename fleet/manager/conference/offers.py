"""What the instances of a station let others read, and where settings name what is read. Pure."""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs

from fleet.manager.conference import known
from fleet.model import Settings
from fleet.role import Offer, RoleFactory
from fleet.strict import Mistakes, structure
from fleet.wire import dumps

Place = tuple[str, ...]
"""Where settings name a source: `("source",)` or `("sources", "cam")`."""


def places(settings: Settings) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Each table that says what is read."""
    source, sources = settings.get("source"), settings.get("sources")
    if isinstance(source, Mapping):
        yield ("source",), source
    for key, one in sources.items() if isinstance(sources, Mapping) else ():
        if isinstance(one, Mapping):
            yield ("sources", key), one


def put(settings: Settings, place: Place, value: Mapping[str, Any]) -> Settings:
    """`settings` with another table at `place`."""
    if len(place) == 1:
        return {**settings, place[0]: value}
    return {**settings, place[0]: {**settings[place[0]], place[1]: value}}


def is_reference(source: Mapping[str, Any]) -> bool:
    """Whether a conference file means another instance by it."""
    return "role" in source and "type" not in source


def offers(role: str, settings: Settings) -> Mapping[str, Offer] | None:
    """Output -> what others can read of an instance; none where it offers nothing.

    None where that is not known: of a role that does not come with fleet, or of settings that
    it would not take.
    """
    factory = known.factories().get(role)
    if factory is None:
        return None
    if not factory.serves:
        return {}
    taken = _structured(role, settings)
    return None if taken is None else factory.offers(taken)


def default(known: Mapping[str, Offer]) -> str:
    """The output that is meant where none is named."""
    return min(known, key=lambda name: known[name].by_name)


def _structured(role: str, settings: Settings) -> Any:
    """Settings as the role's own class, references standing for any; None for wrong ones."""
    for place, source in list(places(settings)):
        if is_reference(source):
            settings = put(settings, place, {"host": "resolved-later"})
    try:
        return _of_bytes(role, dumps(settings))
    except (TypeError, ValueError, RecursionError):
        return None  # what cannot travel at all is told elsewhere


def ports(role: str, settings: Settings) -> list[int]:
    """The ports of all that a role that comes with fleet offers, also of wrong settings."""
    found, factory = offers(role, settings), known.factories().get(role)
    if found is None and factory is not None:
        fields = attrs.fields_dict(factory.settings)
        port = settings.get("port", fields["port"].default if "port" in fields else None)
        return [port] if isinstance(port, int) else []
    return [one.port for one in (found or {}).values()]


def own_ports(role: str, settings: Settings) -> Collection[int]:
    """The ports that a role that comes with fleet takes for itself; none of wrong settings."""
    factory = known.factories().get(role)
    if factory is None or type(factory).own_ports is RoleFactory.own_ports:
        return ()
    taken = _structured(role, settings)
    return () if taken is None else factory.own_ports(taken)


@lru_cache(maxsize=4096)
def _of_bytes(role: str, settings: bytes) -> Any:
    try:
        return structure(json.loads(settings), known.factories()[role].settings)
    except Mistakes:
        return None
