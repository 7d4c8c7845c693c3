"""What a station would refuse: of roles that come with fleet by their own code, of others by
the schema that the station advertises. Pure.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from jsonschema.exceptions import best_match

from fleet.bound import misled
from fleet.manager.conference import known
from fleet.manager.conference.masking import mask, masked
from fleet.model import (
    ALLOW_EXEC,
    EXEC,
    MAX_INSTANCES,
    Factory,
    Problem,
    Registration,
    Roles,
    Settings,
)
from fleet.schema.checking import unfit, validator
from fleet.strict import Mistakes, close_match, escape, show, structure
from fleet.wire import dumps

Found = tuple[tuple[str | None, str], ...]
"""(path, message) of all that is wrong with some settings."""
Bindings = tuple[tuple[str, tuple[str, ...]], ...]
"""Secrets that may not go everywhere, and the hosts to which they may."""


def problems(roles: Roles, said: Registration | None) -> Iterator[Problem]:
    """What the station would find wrong with `roles`.

    `said`: how it describes itself, None where it was never heard: then only the settings of
    roles that are known here are looked at.
    """
    count = sum(map(len, roles.values()))
    if count > MAX_INSTANCES:
        message = f"runs at most {MAX_INSTANCES} instances, {count} are wanted"
        yield Problem("InvalidConfiguration", None, None, None, message)
    for role, instances in roles.items():
        factory = said.factories.get(role) if said else None
        bound = tuple((one.name, one.allow) for one in said.secrets if one.allow) if said else ()
        if said is None:
            yield from _of_role(role, instances, None)
        elif role in said.blocked_roles:
            advice = f", which runs any program: {ALLOW_EXEC}" if role == EXEC else ""
            yield Problem("BlockedRole", role, None, None, f"blocks the role {role!r}{advice}")
        elif factory is not None:
            yield from _of_role(role, instances, factory, bound)
        elif role in said.broken_roles:
            message = f"cannot run the role {role!r}: {said.broken_roles[role]}"
            yield Problem("MissingRoleFactory", role, None, None, message)
        else:
            there = ", ".join(sorted(said.factories)) or "none"
            hint = close_match(role, list(said.factories)) or f" (it has: {there})"
            message = f"has no role {role!r}{hint}"
            yield Problem("MissingRoleFactory", role, None, None, message)


def _of_role(
    role: str,
    instances: Mapping[str, Settings],
    factory: Factory | None,
    bound: Bindings = (),
) -> Iterator[Problem]:
    own = known.factories().get(role)
    limit = factory.instances if factory else own.instances if own else 0
    if limit and len(instances) > limit:
        message = f"runs at most {limit} of the role {role!r}, {len(instances)} are wanted"
        yield Problem("InvalidConfiguration", role, None, None, message)
    schema = factory.schema if factory else b"{}"
    is_known = own is not None and schema in (b"{}", _own_schema(role))
    for name, settings in instances.items():
        text = dumps(settings)
        found = _refused(role, text, bound) if is_known else _unfit(schema, text)
        shown = masked(role, settings, factory.settings if factory else None) if found else settings
        for path, message in found:
            told = mask(message, settings, shown)
            yield Problem("InvalidConfiguration", role, name, path, told)


@cache
def _own_schema(role: str) -> bytes:
    return dumps(known.schema(role))


@lru_cache(maxsize=4096)
def _refused(role: str, settings: bytes, bound: Bindings) -> Found:
    """What the code of a role that is known here does not take, and secrets it would mislead."""
    try:
        made = structure(json.loads(settings), known.factories()[role].settings)
    except Mistakes as mistakes:
        return tuple((one.pointer or None, one.message) for one in mistakes.mistakes)
    return tuple(misled(made, dict(bound)))


@lru_cache(maxsize=4096)
def _unfit(schema: bytes, settings: bytes) -> Found:
    """What does not fit a schema; most stations have the same schemas."""
    try:
        value = json.loads(settings)
        errors = (one for error in unfit(_validator(schema), value) for one in _told_apart(error))
        found: dict[tuple[str | None, str], None] = {}
        for error in errors:
            path = "".join(f"/{escape(str(key))}" for key in error.absolute_path) or None
            found[path, _message(error)] = None
        return tuple(found)
    except Exception as error:  # a station may advertise anything at all
        return ((None, f"cannot be compared with what the station advertises ({error!r})"),)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return validator(json.loads(schema))


def _told_apart(error: Any) -> Iterator[Any]:
    """The mistakes behind one error: those in the alternative whose `type` is named.

    Where none is named, those in the one that has no `type`.
    """
    arms = error.validator_value if error.validator in ("oneOf", "anyOf") else ()
    tags = [_tag(arm) for arm in arms]
    if not any(tags) or not isinstance(error.instance, dict):
        yield best_match([error]) or error
        return
    tag = error.instance.get("type")
    if tag is not None and tag not in tags:
        yield error
        return
    index = tags.index(tag) if tag in tags else None
    inner = [one for one in error.context if one.schema_path[0] == index]
    for one in inner:
        yield from _told_apart(one)
    if not inner:
        yield error


def _tag(schema: Any) -> Any:
    """The `type` that settings must have to fit an alternative."""
    try:
        return schema["properties"]["type"]["const"]
    except (KeyError, TypeError):
        return None


def _message(error: Any) -> str:
    """What was expected and what was got, as a station would say it."""
    rule, got = error.validator_value, show(error.instance)
    match error.validator:
        case "additionalProperties" if isinstance(error.instance, dict):
            there = list(error.schema.get("properties", {}))
            unknown = [key for key in error.instance if key not in there]
            return ", ".join(
                f"there is no setting {key!r}{close_match(key, there)}" for key in unknown
            )
        case "oneOf" | "anyOf" if isinstance(error.instance, dict):
            tags = [str(tag) for arm in rule if (tag := _tag(arm)) is not None]
            tag = error.instance.get("type")
            got = show(tag) if "type" in error.instance else "none"
            close = close_match(tag, tags)
            return f"expected a type out of {', '.join(tags)}{close}, got {got}"
        case "type":
            return f"expected a value of type {rule}, got {got}"
        case "enum":
            values = [str(one) for one in rule]
            hint = close_match(error.instance, values)
            return f"expected one of {', '.join(map(show, rule))}{hint}, got {got}"
        case "minimum":
            return f"expected at least {rule}, got {got}"
        case "maximum":
            return f"expected at most {rule}, got {got}"
        case "required":
            missing = [key for key in rule if key not in error.instance]
            return f"{', '.join(missing)} is missing"
        case _:
            return str(error.message)
