"""Settings as they may be shown: a secret that stands in them as text is hidden. Pure.

What is a secret is told by what the role says of the setting, and by the setting's name.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from fleet.manager.conference import known
from fleet.media.login import SECRETS
from fleet.model import JsonSchema, Registration, Roles, Settings

HIDDEN: Final = '(hidden: a secret stands on the station, as {secret = "name"} here)'
_NAMES: Final = (
    r"(?:[\w-]*[_-])?(?:password|passwd|pwd|passphrase|secret|token|credentials?|streamid"
    r"|(?:stream|api|access|private|secret)[_-]?key)|key"
)
_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
_SPELT: Final = ("password", "passphrase", "secret", "token", "credential", "stream_key")
_NEAR: Final = 0.85
"""From which on a word is one of these, mistyped: 1 is the same."""
_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY: Final = re.compile(rf"([?&](?:{_NAMES}|{SECRETS})=)[^&#\s]+", re.IGNORECASE)
_SHOWN: Final = 37
"""Characters that a message shows of a long text."""
_TELLING: Final = 6
"""Characters from which on a secret is told from other words."""


@lru_cache(maxsize=1000)
def is_secret(key: str) -> bool:
    """Whether a setting of this name is one, or would be without a slip of the keyboard."""
    if _NAME.fullmatch(key) is not None:
        return True
    return bool(difflib.get_close_matches(key[:_SHOWN].lower(), _SPELT, 1, _NEAR))


def without_secrets(roles: Roles, said: Registration | None) -> Roles:
    """`roles` of a station that describes itself so, as they may be shown."""
    return {
        role: {
            name: masked(role, settings, schema_of(role, said))
            for name, settings in instances.items()
        }
        for role, instances in roles.items()
    }


def schema_of(role: str, said: Registration | None) -> JsonSchema | None:
    """What is known of the settings of `role` on a station that describes itself so."""
    factory = said.factories.get(role) if said else None
    return factory.settings if factory else None


def masked(role: str, settings: Settings, schema: JsonSchema | None) -> Settings:
    """The settings of one instance as they may be shown; every key and list stays."""
    shown: Settings = _masked(settings, schema or known.schema(role))
    return shown


def mask(text: str, settings: Settings, shown: Settings) -> str:
    """A message about `settings` without what is not in `shown`, their masked form."""
    for secret, mark in sorted(_differences(settings, shown), key=lambda one: -len(one[0])):
        for quoted in (f'"{secret}"', repr(secret), f'"{secret[:_SHOWN]}..."'):
            text = text.replace(quoted, mark)
        if len(secret) >= _TELLING:
            text = text.replace(secret, mark)
    return text


def _masked(value: Any, schema: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        by_name = value.keys() == {"secret"}
        return {
            name: _masked(one, _inner(schema, name), "" if by_name else name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(one, None, key) for one in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if is_secret(key) or any(_is_secret(arm) for arm in _arms(schema)):
        return HIDDEN
    return _QUERY.sub(r"\1***", _USER.sub("***@", value)) if isinstance(value, str) else value


def _arms(schema: Any) -> Iterator[JsonSchema]:
    """The alternatives of a schema, which a station may have written as it likes."""
    if isinstance(schema, Mapping):
        yield schema
        for several in ("anyOf", "oneOf"):
            arms = schema.get(several)
            for arm in arms if isinstance(arms, list) else ():
                yield from _arms(arm)


def _properties(schema: JsonSchema) -> JsonSchema:
    known = schema.get("properties")
    return known if isinstance(known, Mapping) else {}


def _is_secret(schema: JsonSchema) -> bool:
    return list(_properties(schema)) == ["secret"]


def _inner(schema: Any, name: str) -> Any:
    """What is known of the setting `name`, None where nothing is."""
    found = [of[name] for arm in _arms(schema) if name in (of := _properties(arm))]
    if len(found) > 1:
        return {"anyOf": found}
    return found[0] if found else None


def _differences(value: Any, shown: Any) -> Iterator[tuple[str, str]]:
    """Each text that is not shown as it is, and what stands in its place."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _differences(one, shown[key])
    elif isinstance(value, list):
        for one, other in zip(value, shown, strict=True):
            yield from _differences(one, other)
    elif value != shown:
        yield str(value), "(hidden)" if shown == HIDDEN else shown
