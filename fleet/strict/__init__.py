"""Plain JSON values -> attrs classes, without coercion, and every mistake with its path.

cattrs does the walking; the hooks here refuse what it would quietly convert (`"5"` for an
int, 1 for a bool, a string for a list) and check the bounds a class states in its
annotations, as `Annotated[int, Meta(ge=1)]`. The same annotations make the JSON Schema. A date
is text as in "2026-02-01", bytes are text in base64. `mistakes` says what is wrong, `values` takes
what stands alone, `unions` finds the arm that is meant.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import Enum, IntEnum, StrEnum
from itertools import islice
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.cols import homogenous_tuple_structure_factory, list_structure_factory
from cattrs.gen import make_dict_structure_fn, mapping_structure_factory
from msgspec import Meta

from fleet.strict.mistakes import Mistake, Mistakes, close_match, escape, mistakes_of, show
from fleet.strict.unions import is_union, tagged, union
from fleet.strict.values import (
    EARLIEST,
    LATEST,
    annotated,
    enumeration,
    is_annotated,
    literal,
    only,
    same,
    take_bool,
    take_bytes,
    take_date,
    take_float,
    take_int,
    take_str,
    take_time,
    unshown,
)

__all__ = [
    "EARLIEST",
    "LATEST",
    "Meta",
    "Mistake",
    "Mistakes",
    "close_match",
    "escape",
    "make_converter",
    "plain",
    "same",
    "show",
    "structure",
    "tagged",
    "unstructure",
]

T = TypeVar("T")

_MOST_MISTAKES: Final = 100
"""Of one value that are told."""


def _origin(type_: Any) -> Any:
    return get_origin(type_)


def make_converter(*, forbid_extra_keys: bool) -> Converter:
    """A cattrs converter that coerces nothing.

    Settings and arguments forbid keys they do not know; the wire ignores those of a newer peer. A
    function in an annotation, `Annotated[str, relative]`, is called with the value and refuses it
    by a ValueError. A class with an attribute `private` is never shown in a message: the attribute
    says what was expected.
    """
    converter = Converter(
        detailed_validation=True,
        forbid_extra_keys=forbid_extra_keys,
        use_alias=forbid_extra_keys,
        unstruct_collection_overrides={tuple: list, Sequence: list},
    )
    for kind, simple in ((bool, take_bool), (int, take_int), (float, take_float), (str, take_str)):
        converter.register_structure_hook(kind, simple)
    converter.register_structure_hook(date, take_date)
    converter.register_structure_hook(datetime, take_time)
    converter.register_structure_hook(bytes, take_bytes)
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_unstructure_hook(
        datetime, lambda at: f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    )
    converter.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    converter.register_structure_hook_factory(
        attrs.has,
        lambda t: (unshown if hasattr(t, "private") else only)(
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
        lambda t: isinstance(t, type) and issubclass(t, Enum), lambda t: enumeration(t, others)
    )
    # cattrs asks for a class and its bases first, where a StrEnum would be taken for a string.
    for named in (StrEnum, IntEnum):
        converter.register_structure_hook(named, lambda value, t: enumeration(t, others)(value, t))
    converter.register_structure_hook_factory(lambda t: _origin(t) is Literal, literal)
    converter.register_structure_hook_factory(
        lambda t: _origin(t) is tuple and get_args(t)[1:] == (...,),
        lambda t: only(list, "a list", homogenous_tuple_structure_factory(t, converter)),
    )
    converter.register_structure_hook_factory(
        lambda t: _origin(t) in (list, Sequence),
        lambda t: only(list, "a list", list_structure_factory(t, converter)),
    )
    converter.register_structure_hook_factory(
        lambda t: _origin(t) in (dict, Mapping),
        lambda t: only(dict, "a table", mapping_structure_factory(t, converter, dict)),
    )
    converter.register_structure_hook_factory(is_union, lambda t: union(t, converter))
    converter.register_structure_hook_factory(is_annotated, lambda t: annotated(t, converter))
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
        mistakes = list(islice(mistakes_of(error), _MOST_MISTAKES + 1))
        if not mistakes:
            raise
        if len(mistakes) > _MOST_MISTAKES:
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
