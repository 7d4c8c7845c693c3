"""What a station would refuse, by what it says of itself: roles, limits, settings. Pure."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry

from fleet.model import Factory, JsonSchema, Problem, Registration, Roles, Settings
from fleet.strict import close_match, escape, show
from fleet.wire import dumps

_NO_REFERENCES: Final[Registry[Any]] = Registry()  # nothing is fetched for a schema
_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
_KEYS: Final = re.compile(r"(?i)password|passphrase|secret|token|stream_?key|streamid|key")
HIDDEN: Final = '(hidden: a secret stands on the station, as {secret = "name"} here)'


def problems(roles: Roles, said: Registration) -> Iterator[Problem]:
    """What the station would find wrong with `roles`, as far as its registration tells."""
    for role, instances in roles.items():
        factory = said.factories.get(role)
        if role in said.blocked_roles:
            yield Problem("BlockedRole", role, None, None, f"blocks the role {role!r}")
        elif role in said.broken_roles:
            message = f"cannot run the role {role!r}: {said.broken_roles[role]}"
            yield Problem("MissingRoleFactory", role, None, None, message)
        elif factory is None:
            known = ", ".join(sorted(said.factories)) or "none"
            message = f"has no role {role!r} (it has: {known})"
            yield Problem("MissingRoleFactory", role, None, None, message)
        else:
            yield from _of_role(role, instances, factory)


def _of_role(role: str, instances: Mapping[str, Settings], factory: Factory) -> Iterator[Problem]:
    if factory.instances and len(instances) > factory.instances:
        message = (
            f"runs at most {factory.instances} of the role {role!r}, {len(instances)} are wanted"
        )
        yield Problem("InvalidConfiguration", role, None, None, message)
    schema = dumps(factory.settings)
    for name, settings in instances.items():
        for path, message in _mistakes(schema, dumps(settings)):
            yield Problem("InvalidConfiguration", role, name, path, message)


@lru_cache(maxsize=4096)
def _mistakes(schema: bytes, settings: bytes) -> tuple[tuple[str | None, str], ...]:
    """(path, message) of all that does not fit; most stations have the same schemas."""
    try:
        value = json.loads(settings)
        found: dict[tuple[str | None, str], None] = {}
        for error in _validator(schema).iter_errors(value):
            best = best_match([error]) or error
            path = "".join(f"/{escape(str(key))}" for key in best.absolute_path) or None
            found[path, _message(best)] = None
        return tuple(found)
    except Exception as error:  # a station may advertise anything at all
        return ((None, f"cannot be compared with what the station advertises ({error!r})"),)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema), registry=_NO_REFERENCES)


def _message(error: Any) -> str:
    """What was expected and what was got, as a station would say it."""
    rule, got = error.validator_value, show(error.instance)
    match error.validator:
        case "additionalProperties" if isinstance(error.instance, dict):
            known = list(error.schema.get("properties", {}))
            unknown = [key for key in error.instance if key not in known]
            return ", ".join(
                f"there is no setting {key!r}{close_match(key, known)}" for key in unknown
            )
        case "type":
            return f"expected a value of type {rule}, got {got}"
        case "enum":
            return f"expected one of {', '.join(map(show, rule))}, got {got}"
        case "minimum":
            return f"expected at least {rule}, got {got}"
        case "maximum":
            return f"expected at most {rule}, got {got}"
        case "required":
            missing = [key for key in rule if key not in error.instance]
            return f"{', '.join(missing)} is missing"
        case _:
            return str(error.message)


def without_secrets(roles: Roles, said: Registration | None) -> Roles:
    """`roles` as they may be shown: a secret that stands in them as text is hidden."""
    return {
        role: {name: _hidden(settings, _schema(role, said)) for name, settings in instances.items()}
        for role, instances in roles.items()
    }


def _schema(role: str, said: Registration | None) -> JsonSchema | None:
    factory = said.factories.get(role) if said else None
    return factory.settings if factory and factory.settings else None


def _hidden(value: Any, schema: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            name: _hidden(one, _inner(schema, name), "" if _is_name_of_secret(value) else name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_hidden(one, None, key) for one in value]
    if isinstance(value, str):
        unsure = schema is None and _KEYS.fullmatch(key) is not None
        if unsure or any(_is_secret(arm) for arm in _arms(schema)):
            return HIDDEN
        return _USER.sub("***@", value)
    return value


def _is_name_of_secret(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"secret"}


def _arms(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        for several in ("anyOf", "oneOf"):
            for arm in schema.get(several, ()):
                yield from _arms(arm)


def _is_secret(schema: Mapping[str, Any]) -> bool:
    return list(schema.get("properties", {})) == ["secret"]


def _inner(schema: Any, name: str) -> Any:
    """What is known of the setting `name`, None where nothing is."""
    found = [arm["properties"][name] for arm in _arms(schema) if name in arm.get("properties", {})]
    if len(found) > 1:
        return {"anyOf": found}
    return found[0] if found else None
