"""Single values, none converted, and the bounds that a class states for them."""

import base64
import binascii
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin

from cattrs import Converter
from msgspec import Meta

from fleet.strict.mistakes import WrongValue, close_match, wrong

Hook = Callable[[Any, Any], Any]

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A clock that was never set says so; what is further off breaks time zones."""
LATEST: Final = datetime(2200, 12, 31, 23, 59, 59, 999_000, UTC)


def take_bool(value: Any, _: Any) -> bool:
    """true or false."""
    if value is True or value is False:
        return bool(value)
    raise wrong("true or false", value)


def take_int(value: Any, _: Any) -> int:
    """A whole number; neither 5.0 nor true is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong("a whole number", value)


def take_float(value: Any, _: Any) -> float:
    """A finite number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise wrong("a number", value)


def take_str(value: Any, _: Any) -> str:
    """Text."""
    if isinstance(value, str):
        return value
    raise wrong("a string", value)


def take_time(value: Any, _: Any) -> datetime:
    """A moment, written as in RFC 3339 and in UTC."""
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is not None and EARLIEST.year <= at.year <= LATEST.year:
            return at
    raise wrong('a time in UTC such as "2026-02-01T09:30:00Z"', value)


def take_date(value: Any, _: Any) -> date:
    """A day."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise wrong('a date such as "2026-02-01"', value)


def take_bytes(value: Any, _: Any) -> bytes:
    """Bytes, written in base64."""
    if isinstance(value, str):
        try:
            return base64.b64decode(value.encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
    raise wrong("bytes as text in base64", value)


def literal(type_: Any) -> Hook:
    """One of the values that a `Literal` names."""
    allowed = get_args(type_)

    def hook(value: Any, _: Any) -> Any:
        for one in allowed:
            if type(value) is type(one) and value == one:
                return one
        raise wrong(f"one of {', '.join(map(repr, allowed))}{close_match(value, allowed)}", value)

    return hook


@functools.cache
def enumeration(type_: type[Enum], others: bool) -> Hook:
    """A member by its value; `others`: what is not known is `unknown`, where there is that."""
    values = {member.value: member for member in type_}
    fallback = values.get("unknown") if others else None

    def hook(value: Any, _: Any) -> Enum:
        if isinstance(value, str) or type(value) is int:
            member = values.get(value)
            if member is not None:
                return member
            if fallback is not None and isinstance(value, str):
                return fallback
        close = close_match(value, list(values))
        raise wrong(f"one of {', '.join(map(repr, values))}{close}", value)

    return hook


def only(kind: type, expected: str, inner: Hook) -> Hook:
    """What `inner` makes of a value, if it is of that kind."""

    def hook(value: Any, type_: Any) -> Any:
        if not isinstance(value, kind):
            raise wrong(expected, value)
        return inner(value, type_)

    return hook


def unshown(kind: type, expected: str, inner: Hook) -> Hook:
    """As `only`, of what may be a secret: the message does not say what was got."""

    def hook(value: Any, type_: Any) -> Any:
        if not isinstance(value, kind):
            raise WrongValue(f"expected {expected}")
        return inner(value, type_)

    return hook


def is_annotated(type_: Any) -> bool:
    """Whether more than its type is stated for it."""
    return get_origin(type_) is Annotated


def annotated(type_: Any, converter: Converter) -> Hook:
    """A value within the bounds of its `Meta`, which the functions beside that do not refuse."""
    base, *notes = get_args(type_)
    inner = converter.get_structure_hook(base)
    metas = [note for note in notes if isinstance(note, Meta)]
    checks = [note for note in notes if callable(note)]

    def hook(value: Any, _: Any) -> Any:
        several = isinstance(value, list | dict)  # judged before each of too many is looked at
        for meta in metas if several else ():
            _check(meta, value)
        got = inner(value, base)
        for meta in () if several else metas:
            _check(meta, got)
        for check in checks:
            check(got)
        return got

    return hook


def _check(meta: Meta, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, int | float):
        if not _within(meta, value):
            raise wrong(_range(meta), value)
        if meta.multiple_of is not None and not _is_multiple(value, meta.multiple_of):
            raise wrong(f"a multiple of {meta.multiple_of}", value)
    if isinstance(value, str | Sequence | Mapping):
        low, high = meta.min_length or 0, meta.max_length
        if len(value) < low or (high is not None and len(value) > high):
            span = f"{low} to {high}" if high is not None else f"at least {low}"
            what = "items" if isinstance(value, Sequence) else "keys"
            raise wrong(f"{span} {'characters' if isinstance(value, str) else what}", value)
    if isinstance(value, str) and meta.pattern and not re.fullmatch(meta.pattern, value):
        raise wrong(meta.title or f"text like {meta.pattern}", value)


def _is_multiple(value: Any, of: Any) -> bool:
    """As JSON Schema's checkers reckon it."""
    if isinstance(value, int) and isinstance(of, int):
        return not value % of
    return bool((value / of).is_integer())


def _within(meta: Meta, value: float) -> bool:
    return not (
        (meta.ge is not None and value < meta.ge)
        or (meta.gt is not None and value <= meta.gt)
        or (meta.le is not None and value > meta.le)
        or (meta.lt is not None and value >= meta.lt)
    )


def _range(meta: Meta) -> str:
    """The range a number may have, in words: `1 to 86400`, `at least 0`, `above 0`."""
    low = f"at least {meta.ge}" if meta.ge is not None else ""
    low = f"above {meta.gt}" if meta.gt is not None else low
    high = f"at most {meta.le}" if meta.le is not None else ""
    high = f"below {meta.lt}" if meta.lt is not None else high
    if meta.ge is not None and meta.le is not None:
        return f"{meta.ge} to {meta.le}"
    return " and ".join(filter(None, (low, high)))


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, `1`, `1.0` and `true` being different."""
    if one is other:
        return True
    if one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(same, one, other))
    return type(one) is type(other)
