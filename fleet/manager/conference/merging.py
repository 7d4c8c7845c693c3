"""How the settings of profiles and stations become one, and placeholders text. Pure."""

import re
from collections.abc import Mapping
from operator import is_not
from typing import Any, Final

from attrs import frozen

from fleet.strict import close_match

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@frozen
class PlaceholderMistake:
    """A string whose placeholders cannot be filled in.

    `missing`: the placeholder is known but has no value here.
    """

    path: tuple[str, ...]
    message: str
    missing: str | None = None


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `under`: tables merge, everything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def fill(
    value: Any,
    places: Mapping[str, str | None],
    mistakes: list[PlaceholderMistake],
    path: tuple[str, ...] = (),
) -> Any:
    """`value` with `{room}` and the like replaced in its strings; keys are left alone.

    Where there is nothing to be replaced, `value` itself.
    """
    if isinstance(value, str):
        return _fill_text(value, places, mistakes, path) if "{" in value or "}" in value else value
    if isinstance(value, dict):
        filled = {key: fill(one, places, mistakes, (*path, key)) for key, one in value.items()}
        return filled if any(filled[key] is not one for key, one in value.items()) else value
    if isinstance(value, list):
        items = [fill(one, places, mistakes, (*path, str(i))) for i, one in enumerate(value)]
        return items if any(map(is_not, items, value)) else value
    return value


def _fill_text(
    text: str,
    places: Mapping[str, str | None],
    mistakes: list[PlaceholderMistake],
    path: tuple[str, ...],
) -> str:
    def one(match: re.Match[str]) -> str:
        token, name = match.group(), match.group(1)
        if token in ("{{", "}}"):
            return token[0]
        if name is None:
            message = f"has a single {token!r}: write {token * 2!r} for the character itself"
            mistakes.append(PlaceholderMistake(path, message))
        elif name not in places:
            hint = close_match(name, list(places)) or f" (known: {', '.join(places)})"
            literal = f"{{{{{name}}}}}"
            message = f"has no placeholder {token}{hint}; write {literal} for the text itself"
            mistakes.append(PlaceholderMistake(path, message))
        elif (filled := places[name]) is None:
            mistakes.append(PlaceholderMistake(path, f"uses {token}", name))
        else:
            return filled
        return token

    return _TOKEN.sub(one, text)
