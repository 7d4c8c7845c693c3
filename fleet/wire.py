"""Bytes <-> model: the one place where a payload is read or written.

JSON is read strictly: no duplicate keys, no NaN or infinity, no numbers past 40 digits, no lone
surrogates, no nesting past 64 levels, and no coercion of types. Fields a newer peer adds are
ignored.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any, TypeVar

from cattrs.gen import make_dict_unstructure_fn, override

from fleet.model import MAX_PAYLOAD, Config, InForce, InstanceStatus, Reply, Sample
from fleet.strict import EARLIEST, LATEST, Mistakes, make_converter, structure

T = TypeVar("T")

_MAX_DEPTH = 64
_DIGITS = 40
"""Of a whole number: what 128 bits hold, with its sign."""
_SHOWN = 40
"""Characters of a value in a message."""

_converter = make_converter(forbid_extra_keys=False)


class Undecodable(ValueError):
    """A payload that is not what its topic promises; the text says where and why."""


def as_it_travels(at: datetime) -> datetime:
    """The same moment in whole milliseconds, as those who hear of it have it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-02-01T09:30:00.000Z`.

    A moment that nobody may say, as a clock that is far off makes one, is the nearest that one may.

    >>> format_time(datetime(1926, 2, 1, tzinfo=UTC))
    '1970-01-01T00:00:00.000Z'
    """
    at = min(max(at.astimezone(UTC), EARLIEST), LATEST)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _float_to_json(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return value


def _as_it_is(value: Any) -> Any:
    return (
        value  # settings and results are plain JSON already; walking them costs more than the rest
    )


_SPECIAL = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


def _structure_sample(value: Any, _: Any) -> Sample:
    match value:
        case [str(name), dict(labels), number] if all(isinstance(v, str) for v in labels.values()):
            if isinstance(number, str) and number in _SPECIAL:
                return Sample(name, labels, _SPECIAL[number])
            return Sample(name, labels, _converter.structure(number, float))
    raise ValueError("expected [name, labels, value]")


_converter.register_unstructure_hook(datetime, format_time)
_converter.register_unstructure_hook(
    Sample, lambda s: [s.name, dict(s.labels), _float_to_json(s.value)]
)
_converter.register_structure_hook(Sample, _structure_sample)
_converter.register_unstructure_hook(
    Config,
    make_dict_unstructure_fn(
        Config,
        _converter,
        roles=override(unstruct_hook=_as_it_is),
        name=override(omit_if_default=True),
        room=override(omit_if_default=True),
        signature=override(omit_if_default=True),
    ),
)
_converter.register_unstructure_hook(
    InForce,
    make_dict_unstructure_fn(
        InForce,
        _converter,
        roles=override(unstruct_hook=_as_it_is),
        signature=override(omit_if_default=True),
    ),
)
_converter.register_unstructure_hook_func(
    lambda cls: cls is InstanceStatus,  # what is derived from it is shown whole
    make_dict_unstructure_fn(
        InstanceStatus, _converter, restarts_last_hour=override(omit_if_default=True)
    ),
)
_converter.register_unstructure_hook(
    Reply, make_dict_unstructure_fn(Reply, _converter, result=override(unstruct_hook=_as_it_is))
)


def to_json(value: Any) -> Any:
    """A model value as plain JSON values."""
    return _converter.unstructure(value)


def from_json(value: Any, cls: type[T]) -> T:
    """Plain JSON values as a model value.

    Raises:
        Mistakes: with everything that is wrong.
    """
    return structure(value, cls, _converter)


def dumps(value: Any) -> bytes:
    """Plain JSON values as UTF-8."""
    return _encoder.encode(value).encode("utf-8", "replace")


def encode(value: Any) -> bytes:
    """A model value as a payload."""
    return dumps(to_json(value))


def decode(payload: bytes, cls: type[T], limit: int = MAX_PAYLOAD) -> T:
    """A payload as a model value.

    Raises:
        Undecodable: it is too long, no strict JSON, or not shaped as `cls`.
    """
    value = loads(payload, limit)
    try:
        return from_json(value, cls)
    except Mistakes as mistakes:
        raise Undecodable(str(mistakes)) from None


def loads(payload: bytes, limit: int = MAX_PAYLOAD) -> Any:
    """A payload as plain JSON values.

    Raises:
        Undecodable: it is longer than `limit` bytes or no strict JSON.
    """
    if len(payload) > limit:
        raise Undecodable(f"{len(payload)} bytes, at most {limit} are allowed")
    try:
        value = _decoder.decode(payload.decode())
    except UnicodeDecodeError as error:
        raise Undecodable(f"not UTF-8: {error}") from None
    except RecursionError:
        raise Undecodable("nested too deep") from None
    except ValueError as error:
        raise Undecodable(f"not JSON: {error}") from None
    if payload.count(b"[") + payload.count(b"{") > _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
        raise Undecodable(f"nested deeper than {_MAX_DEPTH} levels")
    if b"\\ud" in payload.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Undecodable("has half a surrogate pair in a string") from None
    return value


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level and deepest <= _MAX_DEPTH:
        deepest += 1
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        level = inner
    return deepest


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:_SHOWN]!r} is given twice")
            seen.add(key)
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"{text[:_SHOWN]}… has too many digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is out of range")
    return value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_decoder = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_int=_whole,
    parse_float=_finite,
    parse_constant=_no_constant,
)
