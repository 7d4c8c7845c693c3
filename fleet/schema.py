"""attrs classes -> JSON Schema, so that an operator sees what a role takes before asking.

It says in JSON Schema (draft 2020-12) what `strict.structure` would take; the one thing it
cannot say is what a function among the annotations checks. msgspec's own schema knows no
unions of classes, which is why this is here.
"""

import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
from cattrs import Converter
from msgspec import Meta

from fleet.model import JsonSchema
from fleet.strict import tagged

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_PLAIN: Final[Mapping[Any, dict[str, Any]]] = {
    Any: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    type(None): {"type": "null"},
}
_KEYWORDS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "title": "title",
    "description": "description",
    "examples": "examples",
}

_defaults = Converter(unstruct_collection_overrides={tuple: list})


def json_schema(cls: type) -> JsonSchema:
    """The schema of an attrs class, complete in itself (no `$ref`).

    Raises:
        TypeError: a field has a type that no setting can have.
    """
    hints = get_type_hints(cls, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for field in attrs.fields(cls):
        if not field.init:
            continue
        schema = _of(hints[field.name])
        if field.default is attrs.NOTHING:
            required.append(field.name)
        else:
            schema["default"] = _default(field.default)
        properties[field.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def validator(schema: JsonSchema) -> "Draft202012Validator":
    """What checks values against a schema as strictly as `strict` does; nothing is fetched."""
    checks: Draft202012Validator = _strict()(schema, registry=_nothing())
    return checks


@cache
def _strict() -> Any:
    from jsonschema import Draft202012Validator  # many import this module and check nothing
    from jsonschema.validators import extend

    # JSON Schema takes 180.0 for an integer, a station does not.
    whole = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return extend(Draft202012Validator, type_checker=whole)  # type: ignore[no-untyped-call]


@cache
def _nothing() -> Any:
    from referencing import Registry

    return Registry()


def kind(setting: Mapping[str, Any]) -> str:
    """A setting's type and range in a few words: `integer 1 to 86400`."""
    for several in ("oneOf", "anyOf"):
        if several in setting:
            return " or ".join(dict.fromkeys(kind(arm) for arm in setting[several]))
    if "enum" in setting:
        return "one of " + ", ".join(map(str, setting["enum"]))
    if "const" in setting:
        return str(setting["const"])
    text = {"object": "table", "array": "list"}.get(setting.get("type", ""), setting.get("type"))
    low = setting.get("minimum", setting.get("exclusiveMinimum"))
    high = setting.get("maximum", setting.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f"{text} {low} to {high}"
    if low is not None:
        return f"{text} from {low}"
    return f"{text} to {high}" if high is not None else text or "anything"


def _default(default: Any) -> Any:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    if isinstance(default, tuple):
        default = list(default)
    return _defaults.unstructure(default)


def _of(type_: Any) -> dict[str, Any]:
    if type_ in _PLAIN:
        return dict(_PLAIN[type_])
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _annotated(args[0], args[1:])
    if origin is Literal:
        return {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return _union(type_, args)
    if origin in (list, Sequence) or (origin is tuple and args[1:] == (...,)):
        return {"type": "array", "items": _of(args[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _of(args[1])}
    if isinstance(type_, type) and issubclass(type_, Enum):
        return {"enum": [member.value for member in type_]}
    if attrs.has(type_):
        return dict(json_schema(type_))
    raise TypeError(f"{type_} is not a type a setting can have")


def _annotated(base: Any, notes: Sequence[Any]) -> dict[str, Any]:
    schema = _of(base)
    length = "Items" if "items" in schema else "Length"
    for meta in (note for note in notes if isinstance(note, Meta)):
        for name, keyword in _KEYWORDS.items():
            if (value := getattr(meta, name)) is not None:
                schema[keyword] = value
        if meta.min_length is not None:
            schema[f"min{length}"] = meta.min_length
        if meta.max_length is not None:
            schema[f"max{length}"] = meta.max_length
        schema.update(meta.extra_json_schema or {})
    return schema


def _union(type_: Any, args: Sequence[Any]) -> dict[str, Any]:
    if sum(1 for arm in args if attrs.has(arm)) < 2:
        return {"anyOf": [_of(arm) for arm in args]}
    arms, untagged = tagged(type_)
    one_of = [_arm(arm) for arm in arms.values()]
    if untagged is not None:
        one_of.append(dict(json_schema(untagged)))
    if type(None) in args:
        one_of.append({"type": "null"})
    return {"oneOf": one_of}


def _arm(cls: type) -> dict[str, Any]:
    """A tagged class must be named by its `type`, also where that has a default."""
    schema = dict(json_schema(cls))
    schema["required"] = ["type", *(name for name in schema["required"] if name != "type")]
    return schema
