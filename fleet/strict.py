"""Plain JSON values -> attrs classes, without coercion, and every mistake with its path.

cattrs does the walking; the hooks here refuse what it would quietly convert (`"5"` for an
int, `1` for a bool, a string for a list) and check the bounds a class states in its
annotations, as `Annotated[int, Meta(ge=1)]`. The same annotations make the JSON Schema. A
function among them, `Annotated[str, relative]`, is called with the value and refuses it by a
ValueError. A class with an attribute `private` is never shown in a message: the attribute says
what was expected. A date is text as in "2026-02-01", bytes are text in base64.
"""

import base64
import binascii
import difflib
import functools
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum, IntEnum, StrEnum
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
from attrs import frozen
from cattrs import Converter
from cattrs.cols import homogenous_tuple_structure_factory, list_structure_factory
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.gen import make_dict_structure_fn, mapping_structure_factory
from msgspec import Meta

__all__ = ["Meta", "Mistake", "Mistakes", "make_converter", "structure"]

Hook = Callable[[Any, Any], Any]
T = TypeVar("T")

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_YEARS = (1970, 2200)
"""A clock that was never set says 1970; what is further off breaks time zones."""
MOST_MISTAKES = 100
"""Of one value that are told."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


@frozen
class Mistake:
    """Something wrong at `pointer`, a JSON Pointer ('' is the whole value)."""

    pointer: str
    message: str


class Mistakes(ValueError):
    """A value is not what its class says; `mistakes` holds all of them, in order."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(f"{m.pointer or '/'}: {m.message}" for m in mistakes))
        self.mistakes = tuple(mistakes)


class _Wrong(ValueError):
    """One value is wrong; the message says what was expected and what was got."""


def show(value: Any) -> str:
    """A JSON value as a person would name it, short: `"5" (a string)`."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return f"{str(value).lower()} (a boolean)"
        case str():
            short = value if len(value) <= 40 else value[:37] + "..."
            return f'"{short}" (a string)'
        case int() | float():
            text = repr(value)
            return text if len(text) <= 40 else text[:37] + "..."
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return f"a table with {len(value)} keys" if value else "an empty table"
    return repr(value)


def _wrong(expected: str, value: Any) -> _Wrong:
    return _Wrong(f"expected {expected}, got {show(value)}")


def _bool(value: Any, _: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise _wrong("true or false", value)


def _int(value: Any, _: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong("a whole number", value)


def _float(value: Any, _: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _wrong("a number", value)


def _str(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise _wrong("a string", value)


def _time(value: Any, _: Any) -> datetime:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is not None and _YEARS[0] <= at.year <= _YEARS[1]:
            return at
    raise _wrong('a time in UTC such as "2026-02-01T09:30:00Z"', value)


def _date(value: Any, _: Any) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _wrong('a date such as "2026-02-01"', value)


def _bytes(value: Any, _: Any) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value.encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
    raise _wrong("bytes as text in base64", value)


def _literal(type_: Any) -> Hook:
    allowed = get_args(type_)

    def hook(value: Any, _: Any) -> Any:
        for one in allowed:
            if type(value) is type(one) and value == one:
                return one
        raise _wrong(f"one of {', '.join(map(repr, allowed))}{close_match(value, allowed)}", value)

    return hook


@functools.cache
def _enum(type_: type[Enum], others: bool) -> Hook:
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
        raise _wrong(f"one of {', '.join(map(repr, values))}{close}", value)

    return hook


def close_match(value: Any, known: Sequence[Any]) -> str:
    """` (did you mean 'main'?)` where something known is close to `value`, else nothing."""
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _is_annotated(type_: Any) -> bool:
    return get_origin(type_) is Annotated


def _annotated(type_: Any, converter: Converter) -> Hook:
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
            raise _wrong(f"{bounds(meta)}", value)
        if meta.multiple_of is not None and not _is_multiple(value, meta.multiple_of):
            raise _wrong(f"a multiple of {meta.multiple_of}", value)
    if isinstance(value, str | Sequence | Mapping):
        low, high = meta.min_length or 0, meta.max_length
        if len(value) < low or (high is not None and len(value) > high):
            span = f"{low} to {high}" if high is not None else f"at least {low}"
            what = "items" if isinstance(value, Sequence) else "keys"
            raise _wrong(f"{span} {'characters' if isinstance(value, str) else what}", value)
    if isinstance(value, str) and meta.pattern and not re.fullmatch(meta.pattern, value):
        raise _wrong(meta.title or f"text like {meta.pattern}", value)


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


def bounds(meta: Meta) -> str:
    """The range a number may have, in words: `1 to 86400`, `at least 0`, `above 0`."""
    low = f"at least {meta.ge}" if meta.ge is not None else ""
    low = f"above {meta.gt}" if meta.gt is not None else low
    high = f"at most {meta.le}" if meta.le is not None else ""
    high = f"below {meta.lt}" if meta.lt is not None else high
    if meta.ge is not None and meta.le is not None:
        return f"{meta.ge} to {meta.le}"
    return " and ".join(filter(None, (low, high)))


def _is_union_of_classes(type_: Any) -> bool:
    return (
        get_origin(type_) in (Union, types.UnionType)
        and sum(1 for arm in get_args(type_) if attrs.has(arm)) > 1
    )


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
        if get_origin(tag) is Literal:
            arms.update(dict.fromkeys(get_args(tag), arm))
        elif untagged is None:
            untagged = arm
        else:
            raise TypeError(f"{type_} has two arms without a `type`: {untagged}, {arm}")
    return arms, untagged


def _union(type_: Any, converter: Converter) -> Hook:
    arms, untagged = tagged(type_)
    optional = type(None) in get_args(type_)

    def hook(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        if not isinstance(value, dict):
            raise _wrong(f"a table with a type ({', '.join(arms)})", value)
        if "type" not in value and untagged is not None:
            return converter.structure(value, untagged)
        tag = value.get("type")
        arm = arms.get(tag) if isinstance(tag, str) else None
        if arm is None:
            got = show(tag) if "type" in value else "none"
            close = close_match(tag, list(arms))
            raise _Wrong(f"expected a type out of {', '.join(arms)}{close}, got {got}")
        return converter.structure(value, arm)

    return hook


def _optional_hook(type_: Any, converter: Converter) -> Hook:
    (inner,) = (arm for arm in get_args(type_) if arm is not type(None))
    base = converter.get_structure_hook(inner)
    return lambda value, _: None if value is None else base(value, inner)


def _is_optional(type_: Any) -> bool:
    arms = get_args(type_)
    return get_origin(type_) in (Union, types.UnionType) and len(arms) == 2 and type(None) in arms


def _is_union(type_: Any) -> bool:
    return get_origin(type_) in (Union, types.UnionType)


def _bare(type_: Any) -> Any:
    return get_args(type_)[0] if _is_annotated(type_) else type_


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
        raise _wrong(expected, value)

    return hook


_TITLES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number"}
_TITLES |= {str: "a string", date: "a date", datetime: "a time", bytes: "bytes"}


def _title(arm: Any) -> str:
    notes = get_args(arm)[1:] if _is_annotated(arm) else ()
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


def _only(kind: type, expected: str, inner: Hook) -> Hook:
    def hook(value: Any, type_: Any) -> Any:
        if not isinstance(value, kind):
            raise _wrong(expected, value)
        return inner(value, type_)

    return hook


def _unshown(kind: type, expected: str, inner: Hook) -> Hook:
    """As `_only`, of what may be a secret: the message does not say what was got."""

    def hook(value: Any, type_: Any) -> Any:
        if not isinstance(value, kind):
            raise _Wrong(f"expected {expected}")
        return inner(value, type_)

    return hook


def _origin(type_: Any) -> Any:
    return get_origin(type_)


def make_converter(*, forbid_extra_keys: bool) -> Converter:
    """A cattrs converter that coerces nothing.

    Settings and arguments forbid keys they do not know; the wire ignores those of a newer peer.
    """
    converter = Converter(
        detailed_validation=True,
        forbid_extra_keys=forbid_extra_keys,
        use_alias=forbid_extra_keys,
        unstruct_collection_overrides={tuple: list, Sequence: list},
    )
    for kind, simple in ((bool, _bool), (int, _int), (float, _float), (str, _str)):
        converter.register_structure_hook(kind, simple)
    converter.register_structure_hook(date, _date)
    converter.register_structure_hook(datetime, _time)
    converter.register_structure_hook(bytes, _bytes)
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_unstructure_hook(
        datetime, lambda at: f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    )
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    converter.register_structure_hook_factory(
        attrs.has,
        lambda t: (_unshown if hasattr(t, "private") else _only)(
            dict,
            getattr(t, "private", "a table"),
            make_dict_structure_fn(
                t,
                converter,
                _cattrs_forbid_extra_keys=forbid_extra_keys,
                _cattrs_use_alias=forbid_extra_keys,
            ),
        ),
    )
    others = not forbid_extra_keys  # of a newer peer: then it is `unknown`, where there is that
    converter.register_structure_hook_factory(
        lambda t: isinstance(t, type) and issubclass(t, Enum), lambda t: _enum(t, others)
    )
    # cattrs asks for a class and its bases first, where a StrEnum would be taken for a string.
    for named in (StrEnum, IntEnum):
        converter.register_structure_hook(named, lambda value, t: _enum(t, others)(value, t))
    converter.register_structure_hook_factory(lambda t: _origin(t) is Literal, _literal)
    converter.register_structure_hook_factory(
        lambda t: _origin(t) is tuple and get_args(t)[1:] == (...,),
        lambda t: _only(list, "a list", homogenous_tuple_structure_factory(t, converter)),
    )
    converter.register_structure_hook_factory(
        lambda t: _origin(t) in (list, Sequence),
        lambda t: _only(list, "a list", list_structure_factory(t, converter)),
    )
    converter.register_structure_hook_factory(
        lambda t: _origin(t) in (dict, Mapping),
        lambda t: _only(dict, "a table", mapping_structure_factory(t, converter, dict)),
    )
    converter.register_structure_hook_factory(_is_union_of_classes, lambda t: _union(t, converter))
    converter.register_structure_hook_factory(
        lambda t: _is_optional(t) and not _is_union_of_classes(t),
        lambda t: _optional_hook(t, converter),
    )
    converter.register_structure_hook_factory(
        lambda t: _is_union(t) and not _is_optional(t) and not _is_union_of_classes(t),
        lambda t: _any_of(t, converter),
    )
    converter.register_structure_hook_factory(_is_annotated, lambda t: _annotated(t, converter))
    return converter


_settings = make_converter(forbid_extra_keys=True)


def structure(value: Any, cls: type[T], converter: Converter = _settings) -> T:
    """`value` as a `cls`.

    Raises:
        Mistakes: with everything that is wrong, each with its path.
    """
    try:
        return converter.structure(value, cls)
    except Exception as error:
        mistakes = list(islice(_walk(error, ""), MOST_MISTAKES + 1))
        if not mistakes:
            raise
        if len(mistakes) > MOST_MISTAKES:
            mistakes[-1] = Mistake("", "and there are more mistakes than are told")
        raise Mistakes(mistakes) from None


def unstructure(value: T, cls: type[T]) -> Any:
    """`value`, a `cls`, as plain JSON values that `structure` takes.

    Raises:
        Mistakes: it is not what its class says.
    """
    if not isinstance(value, cls):
        raise Mistakes([Mistake("", f"expected one of {cls.__name__}, got {show(value)}")])
    return plain(value, cls)


def plain(value: Any, type_: Any) -> Any:
    """The same of any annotated type."""
    try:
        given = _settings.unstructure(value, unstructure_as=type_)
    except Exception as error:
        text = f"{show(value)} is no {type_}: {type(error).__name__}: {error}"
        raise Mistakes([Mistake("", text)]) from None
    structure(given, type_)
    return given


def _walk(error: BaseException, pointer: str) -> Iterator[Mistake]:
    if isinstance(error, ClassValidationError):
        noted, other = error.group_exceptions()
        for inner, note in noted:
            yield from _walk(inner, f"{pointer}/{escape(_key(error.cl, note.name))}")
        for inner in other:
            yield from _walk(inner, pointer)
    elif isinstance(error, IterableValidationError):
        items, other = error.group_exceptions()
        for inner, index in items:
            yield from _walk(inner, f"{pointer}/{escape(str(index.index))}")
        for inner in other:
            yield from _walk(inner, pointer)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [_key(error.cl, field.name) for field in attrs.fields(error.cl)]
        for key in sorted(error.extra_fields):
            hint = close_match(key, known) or f" (known: {', '.join(known) or 'none'})"
            yield Mistake(f"{pointer}/{escape(key)}", f"is not known here{hint}")
    elif isinstance(error, KeyError):
        yield Mistake(pointer, "is missing and has no default")
    elif isinstance(error, Mistakes):  # of a class that says which of its values is wrong
        for one in error.mistakes:
            yield Mistake(pointer + one.pointer, one.message)
    elif isinstance(error, ValueError):
        yield Mistake(pointer, str(error))


def _key(cls: Any, name: str) -> str:
    """What a field is called in settings."""
    return str(getattr(attrs.fields(cls), name).alias)


def escape(key: str) -> str:
    """One step of a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
