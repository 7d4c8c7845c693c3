"""What is wrong with a value, and where in it: each mistake as people read it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)


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


class WrongValue(ValueError):
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


def wrong(expected: str, value: Any) -> WrongValue:
    """The mistake to raise: `expected a number, got "5" (a string)`."""
    return WrongValue(f"expected {expected}, got {show(value)}")


def close_match(value: Any, known: Sequence[Any]) -> str:
    """` (did you mean 'main'?)` where something known is close to `value`, else nothing."""
    near = difflib.get_close_matches(str(value), [str(k) for k in known], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def mistakes_of(error: BaseException, pointer: str = "") -> Iterator[Mistake]:
    """Each mistake in what cattrs raised, where `pointer` is the place of the whole value."""
    if isinstance(error, ClassValidationError):
        noted, other = error.group_exceptions()
        for inner, note in noted:
            yield from mistakes_of(inner, f"{pointer}/{escape(_key(error.cl, note.name))}")
        for inner in other:
            yield from mistakes_of(inner, pointer)
    elif isinstance(error, IterableValidationError):
        items, other = error.group_exceptions()
        for inner, index in items:
            yield from mistakes_of(inner, f"{pointer}/{escape(str(index.index))}")
        for inner in other:
            yield from mistakes_of(inner, pointer)
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [_key(error.cl, field.name) for field in attrs.fields(error.cl)]
        for key in sorted(error.extra_fields):
            hint = close_match(key, known) or f" (known: {', '.join(known) or 'none'})"
            yield Mistake(f"{pointer}/{escape(key)}", f"is not known here{hint}")
    elif isinstance(error, KeyError) and pointer.endswith(f"/{escape(str(error.args[0]))}"):
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
