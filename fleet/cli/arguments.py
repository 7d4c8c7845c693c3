"""`key=value` as a person types it -> the arguments of a command, by its JSON Schema; pure.

What cannot be right is said before anything is sent: a key that is not known, one that is
missing, a value of another type. Ranges are the station's to judge.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fleet.model import JsonSchema
from fleet.schema import kind
from fleet.strict import close_match
from fleet.wire import Undecodable, loads

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class BadArguments(ValueError):
    """`mistakes` has a sentence for each."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


def typed(given: Iterable[str], schema: JsonSchema | None) -> dict[str, Any]:
    """The arguments; without a `schema` a value is JSON if it can be read as such, else text.

    >>> schema = {"properties": {"lines": {"type": "integer"}, "role": {"type": "string"}}}
    >>> typed(["lines=5", "role=5"], schema)
    {'lines': 5, 'role': '5'}

    Raises:
        BadArguments: with all that is wrong.
    """
    known: Mapping[str, JsonSchema] | None = schema and schema.get("properties", {})
    found: dict[str, Any] = {}
    mistakes: list[str] = []
    for one in given:
        key, equals, text = one.partition("=")
        if not equals:
            mistakes.append(f"{one!r} is not an argument: expected key=value")
        elif key in found:
            mistakes.append(f"{key} is given twice")
        elif known is not None and key not in known:
            hint = close_match(key, list(known)) or ""
            mistakes.append(f"{key} is not known{hint}; the arguments are: {_list(known)}")
        else:
            wanted: JsonSchema = known[key] if known is not None else {}
            try:
                found[key] = _value(text, wanted)
            except ValueError:
                mistakes.append(f"{key}: expected {kind(wanted)}, got {text!r}")
                found[key] = None
    mistakes += [
        f"{key} is missing: expected {kind((known or {}).get(key, {}))}"
        for key in (schema or {}).get("required", ())
        if key not in found
    ]
    if mistakes:
        raise BadArguments(mistakes)
    return found


def _list(known: Mapping[str, JsonSchema]) -> str:
    return ", ".join(f"{key} ({kind(schema)})" for key, schema in known.items()) or "none"


def _value(text: str, schema: JsonSchema) -> Any:
    """`text` as JSON where that fits, else as it stands; a string needs no quotes."""
    try:
        value = loads(text.encode(errors="replace"))
    except Undecodable:
        value = text
    if not isinstance(value, str) and _fits(value, schema):
        return value
    if _fits(text, schema):
        return text
    raise ValueError(text)


def _fits(value: Any, schema: JsonSchema) -> bool:
    """Whether the type is right; what is inside lists and tables is the station's to judge."""
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return any(_fits(value, arm) for arm in schema[several])
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if allowed is not None:
        return any(type(value) is type(one) and value == one for one in allowed)
    if "type" not in schema:
        return True
    if isinstance(value, bool):
        return bool(schema["type"] == "boolean")
    return isinstance(value, _TYPES.get(schema["type"], object))
