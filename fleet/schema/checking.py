"""Values against a schema that a stranger wrote: as strict as `strict`, at a bounded cost."""

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from fleet.model import JsonSchema

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

_STEPS: Final = 50_000
"""Keywords looked at for one value: a large one of ours takes some hundred."""
_MEMORY: Final = 4 * 1024 * 1024
"""Bytes for one pattern."""
_left: Final[ContextVar[list[int]]] = ContextVar("left")


class TooCostly(ValueError):
    """A schema asks for more work than anybody means: whoever wrote it wants to hold us."""


def validator(schema: JsonSchema) -> "Draft202012Validator":
    """What checks values against a schema as strictly as `strict` does; nothing is fetched.

    Raises:
        TooCostly: the schema has patterns for the names of properties.
    """
    if '"patternProperties"' in json.dumps(schema):  # the library looks for them on its own
        raise TooCostly("it has patterns for the names of properties")
    checks: Draft202012Validator = _strict()(schema, registry=_nothing())
    return checks


def unfit(checks: "Draft202012Validator", value: Any) -> "list[ValidationError]":
    """All that is wrong with a value.

    Raises:
        TooCostly: it takes more than some 50,000 steps.
    """
    _left.set([_STEPS])
    return list(checks.iter_errors(value))


@cache
def _strict() -> Any:
    from jsonschema import Draft202012Validator  # many import this module and check nothing
    from jsonschema.validators import extend

    # JSON Schema takes 180.0 for an integer, and Python's `$` a newline; a station does not.
    whole = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    rules = {**Draft202012Validator.VALIDATORS, "pattern": _pattern}
    counted = {keyword: _counted(rule) for keyword, rule in rules.items()}
    return extend(Draft202012Validator, counted, type_checker=whole)  # type: ignore[no-untyped-call]


def _counted(rule: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """A keyword's rule that is counted: thirty references can ask for a thousand million steps."""

    def check(*of: Any) -> Iterator[Any]:
        left = _left.get()
        left[0] -= 1
        if left[0] < 0:
            raise TooCostly("it would take too long")
        yield from rule(*of) or ()

    return check


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str):
        whole = pattern.startswith("^") and pattern.endswith("$")
        expression = _expression(pattern)
        if expression is None:
            return  # the station is to say
        if not (expression.fullmatch if whole else expression.search)(value):
            yield ValidationError(f"{value!r} does not match {pattern!r}")


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> Any:
    """The pattern as RE2 has it: its time grows with the text alone, its memory is bounded.

    None where RE2 does not take it, as one that looks ahead.
    """
    import re2

    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY, False
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


@cache
def _nothing() -> Any:
    from referencing import Registry

    return Registry()
