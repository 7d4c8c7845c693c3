"""What is wrong in an operator's file, each with the dotted path to it. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from fleet.model import NAME_RULE, Problem, is_name
from fleet.strict import Mistakes, close_match, show, structure
from fleet.wire import dumps

T = TypeVar("T")
Table = Mapping[str, Any]

_KEY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^."]+')
_INSTANCE: Final = {"stations": 5, "roles": 3}
"""How many keys lead to an instance."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_DEEPEST: Final = 50
"""Levels of settings that travel safely; payloads may have a few more."""


class FileProblems:
    """Collects what is wrong in one file, each thing once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, message: str, *path: str) -> None:
        """Note it once; `path`: the keys that lead there."""
        problem = Problem("InvalidConfiguration", None, None, dotted(*path) or None, message)
        if problem not in self.problems:
            self.problems.append(problem)

    def structure(self, value: Any, cls: type[T], *path: str) -> T | None:
        """`value` as a `cls`; None, and its mistakes noted, where it is none."""
        try:
            return structure(value, cls)
        except Mistakes as mistakes:
            for one in mistakes.mistakes:
                keys = [key.replace("~1", "/").replace("~0", "~") for key in _keys(one.pointer)]
                self.wrong(one.message, *path, *keys)
            return None

    def name(self, value: Any, what: str, *path: str) -> None:
        """Note it where it cannot name what it shall: `what`, such as "a seat"."""
        if isinstance(value, str) and not is_name(value):
            self.wrong(f"{show(value)} cannot be {what}: expected {NAME_RULE}", *path)

    def known(self, value: Any, known: Sequence[str], what: str, *path: str) -> None:
        """Note it where the file has no `what` that is called so."""
        if isinstance(value, str) and value not in known:
            hint = close_match(value, known) or f" (known: {', '.join(sorted(known)) or 'none'})"
            self.wrong(f"there is no {what} {value!r} in this file{hint}", *path)


def dotted(*keys: str) -> str:
    """A path in a TOML file: `stations.hall1-cam.roles`."""
    return ".".join(key if _BARE.fullmatch(key) else dumps(key).decode() for key in keys)


def not_told(more: Iterable[Problem], told: Iterable[Problem]) -> Iterator[Problem]:
    """Those of `more` that do not come of a mistake that was `told`.

    They do where the paths meet: a reference that leads nowhere is not a source either. What
    stands in a profile is wrong in each station that has it, and a station that is not clear as a
    whole (its profiles, say) may lack any setting. Of a file that was not read as far as its
    stations nothing more is said.
    """
    places: set[tuple[str, ...]] = set()
    for path in (_split(one.path or "") for one in told):
        match path:
            case ["stations", _, "roles", _, *_]:
                places.add(path)
            case ["profiles", _, "roles", _, *_]:
                places.add(path[2:])
            case ["stations", _, ("id" | "room" | "seat" | "where" | "address"), *_]:
                pass  # no settings hang on it
            case ["stations", name, *_]:
                places.add(("stations", name))
            case [("conference" | "rooms" | "schedule"), *_]:
                pass
            case _:
                return
    above = {
        path[:length] for path in places for length in range(_INSTANCE[path[0]] + 1, len(path))
    }
    for one in more:
        path = _split(one.path or "")
        ways = {keys[:length] for keys in (path, path[2:]) for length in range(1, len(keys) + 1)}
        if not ways & places and path not in above and path[2:] not in above:
            yield one


def _split(path: str) -> tuple[str, ...]:
    """The keys of a dotted path, each as it stands there."""
    return tuple(_KEY.findall(path))


def table_in(value: Any, key: str, kind: type[Any] = dict) -> Any:
    """`value[key]` if it is there and of the right kind, else an empty one."""
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, kind) else kind()


def unfit(settings: Table) -> Iterator[tuple[str, ...]]:
    """What TOML can say and JSON cannot: (message, *path)."""
    level: list[tuple[tuple[str, ...], Any]] = [((), settings)]
    for _ in range(_DEEPEST):
        inner: list[tuple[tuple[str, ...], Any]] = []
        for path, value in level:
            if isinstance(value, dict):
                inner.extend(((*path, key), one) for key, one in value.items())
            elif isinstance(value, list):
                inner.extend(((*path, str(index)), one) for index, one in enumerate(value))
            elif isinstance(value, int) and abs(value) >= 2**127:
                yield f"expected a smaller number, got {show(value)}", *path
            elif isinstance(value, float) and value - value != 0:
                yield f"expected a finite number, got {value}", *path
            elif not isinstance(value, str | int | float):
                yield f'expected a string ("{value}"), got a date or time', *path
        level = inner
        if not level:
            return
    yield f"is nested deeper than {_DEEPEST} levels", *level[0][0][:3]


def _keys(pointer: str) -> list[str]:
    return pointer.split("/")[1:]
