"""Whether this station can run what a config asks for: every problem, or every instance ready.

Pure. A config that comes in is refused if there is one problem; one that was saved by an
earlier release runs without the instances that are not valid any more.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from fleet.agent.config.catalogue import Catalogue
from fleet.agent.engine.reconcile import Key, Unrunnable, Wanted
from fleet.guard import containing, describe
from fleet.loop import is_ours
from fleet.model import (
    ALLOW_EXEC,
    EXEC,
    MAX_INSTANCES,
    NAME_RULE,
    BlockedRole,
    InvalidConfiguration,
    MissingRoleFactory,
    Problem,
    clip,
    is_name,
)
from fleet.role import RoleFactory
from fleet.shared import logged, unchanged
from fleet.strict import Mistakes, close_match, show, structure

_LONGEST_NAME: Final = 100
_LONGEST_MESSAGE: Final = 600


@frozen
class Examined:
    """`instances` holds all that are named, also those with a problem, as `Unrunnable`."""

    problems: tuple[Problem, ...]
    instances: Mapping[Key, Wanted | Unrunnable]


def examine(roles: Mapping[str, Any], catalogue: Catalogue) -> Examined:
    """Everything that is wrong with `roles`, and what could be run of it.

    `roles`: role -> instance -> settings as they came, of which nothing is believed.
    """
    problems: list[Problem] = []
    instances: dict[Key, Wanted | Unrunnable] = {}
    for role, named in roles.items():
        wrong = _role_problem(role, named, catalogue)
        if wrong is not None:
            problems.append(wrong)
            if isinstance(named, dict):
                for one, settings in named.items():
                    instances[Key(role, one)] = _unrunnable(wrong, settings)
            continue
        for instance, found in _instances(role, named, catalogue.factories[role]):
            if isinstance(found, Wanted):
                instances[Key(role, instance)] = found
                continue
            problems.extend(found)
            text = "; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in found)
            instances[Key(role, instance)] = Unrunnable(found[0].type, brief(text))
        problems.extend(_limit(role, named, catalogue.factories[role], instances))
    if len(instances) > MAX_INSTANCES:
        message = f"{len(instances)} instances are wanted, a station runs at most {MAX_INSTANCES}"
        problems.append(invalid(message))
    return Examined(tuple(problems), instances)


def invalid(
    message: str, role: str | None = None, instance: str | None = None, path: str | None = None
) -> Problem:
    """An `InvalidConfiguration` problem, short enough to travel."""
    return Problem(
        InvalidConfiguration.__name__,
        None if role is None else clip(role, _LONGEST_NAME),
        None if instance is None else clip(instance, _LONGEST_NAME),
        None if path is None else brief(path),
        brief(message),
    )


def brief(text: str) -> str:
    """`text`, cut where it is longer than a person would read."""
    return clip(text, _LONGEST_MESSAGE)


def digest(settings: Mapping[str, Any]) -> str:
    """Names the settings: two that are equal as JSON have the same digest."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _role_problem(role: str, named: Any, catalogue: Catalogue) -> Problem | None:
    """What hides every other problem of this role."""
    name = clip(role, _LONGEST_NAME)
    if role in catalogue.blocked:
        message = (
            f"the role 'exec' runs any program, so it is blocked here: {ALLOW_EXEC}"
            if role == EXEC
            else f"the role {name!r} is blocked on this station by its settings (blocked_roles)"
        )
        return Problem(BlockedRole.__name__, name, None, None, message)
    if role not in catalogue.factories:
        message = brief(f"there is no factory for the role {name!r} here{_hint(role, catalogue)}")
        return Problem(MissingRoleFactory.__name__, name, None, None, message)
    if not isinstance(named, dict):
        return invalid(f"expected a table of instances, got {show(named)}", role)
    return None


def _unrunnable(wrong: Problem, settings: Any) -> Unrunnable:
    """A role whose owner does not forbid it may come back, with its file or its programs."""
    missing = wrong.type == MissingRoleFactory.__name__ and isinstance(settings, dict)
    return Unrunnable(wrong.type, wrong.message, digest(settings) if missing else None)


def _hint(role: str, catalogue: Catalogue) -> str:
    if role in catalogue.broken:
        return f": {catalogue.broken[role]}"
    known = list(catalogue.factories)
    for one in known:
        if one.casefold() == role.casefold():
            return f" (did you mean {one!r}? role names are case-sensitive)"
    # A file that failed to import has told nobody which role it has: its name may be near.
    unusable = "".join(f"; {name} cannot be used: {why}" for name, why in catalogue.broken.items())
    close = close_match(clip(role, _LONGEST_NAME), known)
    there = f" (there are: {', '.join(known) or 'none'}; role names are case-sensitive)"
    return (close or there) + unusable


def _instances(
    role: str, named: Mapping[str, Any], factory: RoleFactory[Any]
) -> Iterator[tuple[str, Wanted | list[Problem]]]:
    for instance, settings in named.items():
        if not is_name(instance):
            message = f"{clip(instance, _LONGEST_NAME)!r} cannot name an instance: {NAME_RULE}"
            yield instance, [invalid(message, role, instance)]
        elif not isinstance(settings, dict):
            message = f"expected a table of settings, got {show(settings)}"
            yield instance, [invalid(message, role, instance)]
        else:
            yield instance, _wanted(role, instance, settings, factory)


def _wanted(
    role: str, instance: str, settings: Mapping[str, Any], factory: RoleFactory[Any]
) -> Wanted | list[Problem]:
    try:
        changed = None if is_ours(factory) else logged(f"the settings of {role}/{instance}")
        with unchanged(changed), containing():
            return Wanted(factory, structure(settings, factory.settings), digest(settings))
    except Mistakes as mistakes:
        return [invalid(m.message, role, instance, m.pointer or None) for m in mistakes.mistakes]
    except Exception as error:  # the role author's own checks
        message = brief(f"the role cannot take these settings: {describe(error)}")
        return [invalid(message, role, instance)]


def _limit(
    role: str,
    named: Mapping[str, Any],
    factory: RoleFactory[Any],
    instances: dict[Key, Wanted | Unrunnable],
) -> Iterable[Problem]:
    """One problem where there are too many; those past the limit are not run."""
    limit = factory.instances
    if not limit or len(named) <= limit:
        return []
    message = f"{len(named)} instances are wanted, this station runs at most {limit} of {role!r}"
    runnable = [one for one in named if isinstance(instances[Key(role, one)], Wanted)]
    for one in runnable[limit:]:
        instances[Key(role, one)] = Unrunnable(InvalidConfiguration.__name__, message)
    return [invalid(message, role)]
