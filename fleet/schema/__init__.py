"""attrs classes -> JSON Schema, so that an operator sees what a role takes before asking.

It says in JSON Schema (draft 2020-12) what `strict` would take; the one thing it cannot say is
what a function among the annotations checks. What it cannot say is refused, with another way to
say it. msgspec's own schema knows no unions of classes, which is why this is here. `checking` holds
values against a schema.
"""

import inspect
import json
import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from pathlib import PurePath
from typing import (
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
from msgspec import Meta

from fleet.model import JsonSchema
from fleet.strict import plain, tagged

_PLAIN: Final[Mapping[Any, dict[str, Any]]] = {
    Any: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    date: {"type": "string", "format": "date", "pattern": r"^\d{4}-\d\d-\d\d$"},
    datetime: {
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$",
    },
    bytes: {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    },
    type(None): {"type": "null"},
}
_KEYWORDS: Final = {
    "ge": ("minimum", "number"),
    "gt": ("exclusiveMinimum", "number"),
    "le": ("maximum", "number"),
    "lt": ("exclusiveMaximum", "number"),
    "multiple_of": ("multipleOf", "number"),
    "pattern": ("pattern", "string"),
    "title": ("title", None),
    "description": ("description", None),
    "examples": ("examples", None),
}
"""What of a Meta becomes which keyword, and of which type of value it can be said."""
_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}
_CHECKED: Final = frozenset(
    [
        *("type", "enum", "const", "not", "anyOf", "oneOf", "allOf", "default", "items"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern"),
        *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("uniqueItems", "properties", "required", "additionalProperties"),
    ]
)
"""Keywords that are made from the annotations alone."""
_INSTEAD: Final[Sequence[tuple[Any, str]]] = (
    (timedelta, "a number of seconds, Annotated[float, Meta(ge=0)]"),
    (time, 'a str with a pattern, such as Meta(pattern=r"\\d\\d:\\d\\d")'),
    (Decimal, "a float or a str"),
    (PurePath, "a str"),
    (complex, "two floats"),
    (Flag, "tuple[E, ...] of an Enum E"),
    (set, "tuple[str, ...]"),
    (frozenset, "tuple[str, ...]"),
    (list, "list[str], which says what is in it"),
    (tuple, "tuple[int, ...], or an attrs class where each has its own meaning"),
    (dict, "dict[str, int], which says what is in it, or an attrs class"),
)


class BadDeclaration(TypeError):
    """A class declares what no setting, argument or result can be.

    `of` is the class, `field` the name in it that is wrong, None where it is the class itself.
    """

    def __init__(self, of: type, field: str | None, message: str) -> None:
        super().__init__(f"{'.'.join(filter(None, (of.__name__, field)))}: {message}")
        self.of = of
        self.field = field


def json_schema(cls: type) -> JsonSchema:
    """The schema of an attrs class, complete in itself (no `$ref`).

    Raises:
        TypeError: it is no attrs class.
        BadDeclaration: a field has a type or default that no setting can have.
    """
    if not (isinstance(cls, type) and attrs.has(cls)):
        raise TypeError(f"{_named(cls)} is not an attrs class: write @frozen above it")
    hints = _hints(cls)
    properties: dict[str, Any] = {}
    required = []
    for field in attrs.fields(cls):
        if not field.init:
            continue
        name = field.alias or field.name
        try:
            if field.name not in hints:
                raise TypeError(f"has no type: write {field.name}: int = …")
            schema = _of_field(hints[field.name])
            if field.default is attrs.NOTHING:
                required.append(name)
            elif not getattr(field.default, "takes_self", False):
                schema["default"] = _default(field.default, hints[field.name])
            json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
        except BadDeclaration:
            raise
        except Exception as error:
            raise BadDeclaration(cls, field.name, str(error)) from None
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _hints(cls: type) -> dict[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except RecursionError:
        raise
    except Exception as error:
        for base in cls.__mro__:
            for name, hint in vars(base).get("__annotations__", {}).items():
                alone = {"__annotations__": {name: hint}, "__module__": base.__module__}
                try:
                    get_type_hints(type(base.__name__, (), alone))
                except Exception as wrong:
                    raise BadDeclaration(base, name, f"its type cannot be read: {wrong}") from None
        raise BadDeclaration(cls, None, str(error)) from None


def _of_field(type_: Any) -> dict[str, Any]:
    if type_ is type(None):
        raise TypeError("None alone says nothing: take int | None, or another type beside it")
    try:
        return _of(type_)
    except RecursionError:
        text = f"{_named(type_)} leads back to its own class: a setting has an end"
        raise TypeError(text) from None


def _default(default: Any, type_: Any) -> Any:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    try:
        return plain(default, type_)
    except ValueError as error:
        text = str(error).removeprefix("/: ")
        raise TypeError(f"its default {default!r} is none of its values: {text}") from None


def _of(type_: Any) -> dict[str, Any]:
    if type_ in _PLAIN:
        return dict(_PLAIN[type_])
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _annotated(args[0], args[1:])
    if origin is Literal:
        return _literal(args)
    if origin in (Union, types.UnionType):
        return _union(type_, args)
    if origin in (list, Sequence) or (origin is tuple and args[1:] == (...,)):
        return {"type": "array", "items": _of(args[0])}
    if origin in (dict, Mapping):
        if args[0] is not str:
            raise TypeError(f"{_named(type_)}: keys are text, take dict[str, …]")
        return {"type": "object", "additionalProperties": _of(args[1])}
    if isinstance(type_, type) and issubclass(type_, Enum) and not issubclass(type_, Flag):
        return _enum(type_)
    if isinstance(type_, type) and attrs.has(type_):
        return dict(json_schema(type_))
    kind = origin if isinstance(origin, type) else type_
    for one, instead in _INSTEAD:
        if isinstance(kind, type) and issubclass(kind, one):
            raise TypeError(f"{_named(type_)} is not a type a setting can have: take {instead}")
    raise TypeError(
        f"{_named(type_)} is not a type a setting can have: take bool, int, float, str, date, "
        "datetime, bytes, Literal, an Enum, list[…], tuple[…, ...], dict[str, …], an attrs class, "
        "Secret, or a union of them"
    )


def _enum(type_: type[Enum]) -> dict[str, Any]:
    values = [member.value for member in type_]
    if not values:
        raise TypeError(f"{type_.__name__} is an Enum without a value")
    if all(isinstance(value, str) for value in values):
        return {"enum": values}
    if all(type(value) is int for value in values):
        return {"type": "integer", "enum": values}
    raise TypeError(
        f"{type_.__name__} is an Enum with values that JSON has not, or of two kinds: take text, "
        "or whole numbers"
    )


def _literal(args: Sequence[Any]) -> dict[str, Any]:
    if not all(isinstance(one, str | int) and not isinstance(one, Enum) for one in args):
        raise TypeError("a Literal has text, whole numbers, True or False: take an Enum for others")
    schema: dict[str, Any] = {"const": args[0]} if len(args) == 1 else {"enum": list(args)}
    return {"type": "integer", **schema} if all(type(one) is int for one in args) else schema


def _annotated(base: Any, notes: Sequence[Any]) -> dict[str, Any]:
    schema = _of(base)
    if any(map(inspect.iscoroutinefunction, notes)):
        raise TypeError("a function in the annotation is called and not awaited: write def")
    types_ = set() if base in (date, datetime, bytes) else _types(schema)
    for meta in (note for note in notes if isinstance(note, Meta)):
        for name, (keyword, type_) in _KEYWORDS.items():
            value = getattr(meta, name)
            if value is None:
                continue
            if type_ is not None and type_ not in types_:
                raise TypeError(f"Meta({name}=…) says nothing of {_named(base)}: {_OWN_CHECK}")
            schema[keyword] = _whole(value) if name == "pattern" else value
        for name, bound in (("min", meta.min_length), ("max", meta.max_length)):
            lengths = [_LENGTHS[one] for one in sorted(types_ & _LENGTHS.keys())]
            if bound is not None and not lengths:
                raise TypeError(
                    f"Meta({name}_length=…) says nothing of {_named(base)}: {_OWN_CHECK}"
                )
            if bound is not None:
                schema.update({f"{name}{length}": bound for length in lengths})
        more = meta.extra_json_schema or {}
        if both := sorted(_CHECKED & more.keys()):
            raise TypeError(f"extra_json_schema has {', '.join(both)}, which nothing would check")
        schema.update(more)
    return schema


_OWN_CHECK: Final = "take a function in the annotation that raises ValueError"


def _types(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that bounds of a setting can be about; `number` for `integer`, too."""
    arms = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    found = set().union(*map(_types, arms)) if arms else set()
    if "enum" not in schema and "const" not in schema and "type" in schema:
        found.add("number" if schema["type"] == "integer" else schema["type"])
    return found


def _whole(pattern: str) -> str:
    """The pattern so that JSON Schema too, which searches, has it match the whole text."""
    anchored = pattern.startswith("^") and pattern.endswith("$") and "|" not in pattern
    return pattern if anchored else f"^(?:{pattern})$"


def _named(type_: Any) -> str:
    return type_.__name__ if isinstance(type_, type) and not get_args(type_) else repr(type_)


def _union(type_: Any, args: Sequence[Any]) -> dict[str, Any]:
    if sum(1 for arm in args if attrs.has(arm)) < 2:
        return {"anyOf": [_of(arm) for arm in args]}
    if not all(attrs.has(arm) or arm is type(None) for arm in args):
        raise TypeError(f"{_named(type_)}: several tables go with nothing else but None in a union")
    arms, untagged = tagged(type_)
    one_of = [_arm(arm) for arm in dict.fromkeys(arms.values())]
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
