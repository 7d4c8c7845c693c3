"""What a person types -> values: the arguments of a command by its JSON Schema, a time; pure.

What cannot be right is said before anything is sent: a key that is not known, one that is
missing, a value of another type. Ranges are the station's to judge.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer

from fleet.explained import kind
from fleet.model import JsonSchema
from fleet.schema.checking import unfit, validator
from fleet.strict import close_match
from fleet.wire import Undecodable, loads

_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_YEAR: Final = 366 * 86400
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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
    """Whether it is of the right kind; what else the schema says is the station's to judge."""
    try:
        return not any(map(_is_other_kind, unfit(validator(schema), value)))
    except Exception:  # a role may advertise anything at all
        return True


def _is_other_kind(error: Any) -> bool:
    if error.validator in ("anyOf", "oneOf"):
        arms: dict[Any, list[Any]] = {}
        for one in error.context:
            arms.setdefault(one.schema_path[0], []).append(one)
        return bool(arms) and all(any(map(_is_other_kind, arm)) for arm in arms.values())
    return not error.path and error.validator in ("type", "enum", "const")


def seconds(text: str) -> float:
    """`30m`, `2h`, `1d` or `90s` in seconds, a year at most.

    Raises:
        typer.BadParameter: it is nothing of the kind.
    """
    match = _LENGTH.fullmatch(text)
    if match is None or not float(match[1]):
        raise typer.BadParameter(f"expected a time such as 90s, 30m, 2h or 1d, got {text!r}")
    if not match[2]:
        raise typer.BadParameter(f"{text} wants a unit: {text}s, {text}m, {text}h or {text}d")
    if (found := float(match[1]) * _UNITS[match[2]]) > _YEAR:
        raise typer.BadParameter(f"{text} is more than a year, which is the most")
    return found
