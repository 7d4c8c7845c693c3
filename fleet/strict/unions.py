"""Unions: which arm a value is meant for."""

import types
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

import attrs
from cattrs import Converter

from fleet.strict.mistakes import WrongValue, close_match, show, wrong
from fleet.strict.values import Hook, is_annotated


def is_union(type_: Any) -> bool:
    """Whether it is one, written either way."""
    return get_origin(type_) in (Union, types.UnionType)


def union(type_: Any, converter: Converter) -> Hook:
    """How a union takes a value: classes by their `type`, others by what the value is."""
    arms = get_args(type_)
    if sum(1 for arm in arms if attrs.has(arm)) > 1:
        return _of_classes(type_, converter)
    if len(arms) == 2 and type(None) in arms:
        return _or_none(type_, converter)
    return _any_of(type_, converter)


def tagged(type_: Any) -> tuple[dict[str, type], type | None]:
    """The arms of a union of attrs classes, by the value of their `type` field.

    The second is the one arm that may lack a `type` field: it is meant where none is given.
    """
    arms: dict[str, type] = {}
    untagged: type | None = None
    for arm in get_args(type_):
        if not attrs.has(arm):
            continue
        tag = getattr(attrs.fields_dict(attrs.resolve_types(arm)).get("type"), "type", None)
        for one in get_args(tag) if get_origin(tag) is Literal else ():
            if not isinstance(one, str):
                raise TypeError(f"the type of {arm.__name__} is text, not {one!r}")
            if one in arms:
                both = f"{arms[one].__name__} and {arm.__name__}"
                raise TypeError(f"the type {one!r} is that of {both}: only one can have it")
            arms[one] = arm
        if get_origin(tag) is Literal:
            continue
        if untagged is not None:
            both = f"{untagged.__name__} and {arm.__name__}"
            raise TypeError(f'{both} have no `type: Literal["…"]` to be told apart by')
        untagged = arm
    return arms, untagged


def _of_classes(type_: Any, converter: Converter) -> Hook:
    arms, untagged = tagged(type_)
    optional = type(None) in get_args(type_)

    def hook(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        if not isinstance(value, dict):
            raise wrong(f"a table with a type ({', '.join(arms)})", value)
        slip = _mistyped(value, untagged) if "type" not in value else None
        if "type" not in value and untagged is not None and slip is None:
            return converter.structure(value, untagged)
        tag = value.get("type")
        arm = arms.get(tag) if isinstance(tag, str) else None
        if arm is None:
            got = show(tag) if "type" in value else slip or "none"
            close = close_match(tag, list(arms))
            raise WrongValue(f"expected a type out of {', '.join(arms)}{close}, got {got}")
        return converter.structure(value, arm)

    return hook


def _mistyped(value: Mapping[str, Any], untagged: Any) -> str | None:
    """The key that is meant to be `type`, with what is meant."""
    known = {one.name for one in attrs.fields(untagged)} if untagged is not None else set()
    for key in value:
        if key not in known and (close := close_match(key, ["type"])):
            return f"{key!r}{close}"
    return None


def _or_none(type_: Any, converter: Converter) -> Hook:
    (inner,) = (arm for arm in get_args(type_) if arm is not type(None))
    base = converter.get_structure_hook(inner)
    return lambda value, _: None if value is None else base(value, inner)


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if is_annotated(type_) else type_


def _any_of(type_: Any, converter: Converter) -> Hook:
    """A union such as `int | Annotated[str, …] | None`: the first arm that takes the value."""
    arms = sorted(get_args(type_), key=lambda arm: _bare(arm) is float)  # 5 is an int first
    hooks = [(arm, converter.get_structure_hook(arm)) for arm in arms if arm is not type(None)]
    optional = type(None) in arms
    expected = " or ".join(_title(arm) for arm, _ in hooks)

    def hook(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        meant = [(arm, take) for arm, take in hooks if _may_take(arm, value)]
        if len(meant) == 1:
            ((arm, take),) = meant
            return take(value, arm)
        for arm, take in meant:
            try:
                return take(value, arm)
            except Exception:  # noqa: S112 (the next one may)
                continue
        raise wrong(expected, value)

    return hook


_TITLES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number"}
_TITLES |= {str: "a string", date: "a date", datetime: "a time", bytes: "bytes"}


def _title(arm: Any) -> str:
    notes = get_args(arm)[1:] if is_annotated(arm) else ()
    title = next((note.title for note in notes if getattr(note, "title", None)), None)
    bare = _bare(arm)
    if title is not None:
        return str(title)
    if get_origin(bare) is Literal:
        return " or ".join(map(repr, get_args(bare)))
    if isinstance(bare, type) and issubclass(bare, Enum):
        return " or ".join(repr(member.value) for member in bare)
    if get_origin(bare) in (list, tuple, Sequence):
        return "a list"
    return _TITLES.get(bare, "a table")


def _may_take(arm: Any, value: Any) -> bool:
    """Whether a value of this kind can be meant by an arm of a union."""
    bare = _bare(arm)
    if bare is Any:
        return True
    if bare is bool:
        return isinstance(value, bool)
    if bare in (int, float):
        numbers = int if bare is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool)
    if bare in (str, date, datetime, bytes):
        return isinstance(value, str)
    if get_origin(bare) is Literal:
        return type(value) in map(type, get_args(bare))
    if isinstance(bare, type) and issubclass(bare, Enum):
        return type(value) in {type(member.value) for member in bare}
    if get_origin(bare) in (list, tuple, Sequence):
        return isinstance(value, list)
    return isinstance(value, dict)
