"""What a role declares, looked at before it is offered, and where in its file it is wrong."""

import inspect
import re
import traceback
from pathlib import Path
from typing import Any, Final

import attrs

import fleet
from fleet import guard
from fleet.model import CommandSchema, Factory
from fleet.role import Role, RoleFactory
from fleet.schema import BadDeclaration, json_schema

_AWAITED: Final = ("start", "update", "stop")
_CALLED: Final = ("tick", "takes_live")
_CALLED_OF_FACTORY: Final = ("build", "offers", "tidy")
_FORMERLY: Final = {"startService": "start", "stopService": "stop"}
"""What methods of an earlier design are called today."""
_LONGEST: Final = 500
"""Characters a reason has at most."""
_LONGEST_ABOUT: Final = 200


def describe(factory: RoleFactory[Any]) -> Factory:
    """What the registration says of a factory.

    Raises:
        TypeError: it, its settings or its commands are not declared as `fleet.roles` asks; a
            BadDeclaration says which class and name.
    """
    if not isinstance(factory, RoleFactory):
        raise TypeError(f"{factory!r} is not a RoleFactory")
    of, most, role = type(factory), factory.instances, factory.role
    if not (isinstance(factory.settings, type) and attrs.has(factory.settings)):
        raise BadDeclaration(of, "settings", f"expected an attrs class, got {factory.settings!r}")
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise BadDeclaration(of, "instances", f"expected 0 (no limit) or more, got {most!r}")
    if not (isinstance(role, type) and issubclass(role, Role)):
        raise BadDeclaration(of, "role", f"expected a subclass of Role, got {role!r}")
    for name, today in _FORMERLY.items():
        if hasattr(role, name):
            raise BadDeclaration(role, name, f"nobody calls it: write async def {today}(self)")
    commands = role.declared_commands()
    for name in (*_AWAITED, *commands):
        _check_awaited(role, name)
    for cls, names in ((role, _CALLED), (of, _CALLED_OF_FACTORY)):
        for name in names:
            _check_called(cls, name)
    _check_seconds(role)
    return Factory(
        most,
        json_schema(factory.settings),
        {
            name: CommandSchema(
                {**_about(role, name), **json_schema(arguments)}, json_schema(result)
            )
            for name, (arguments, result) in commands.items()
        },
    )


def _about(role: type[Role[Any]], name: str) -> dict[str, Any]:
    """The first paragraph of a command's docstring, as a schema has it."""
    text = inspect.getdoc(getattr(role, name)) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return {"description": first[:_LONGEST_ABOUT]} if first else {}


def _check_awaited(cls: type, name: str) -> None:
    if not inspect.iscoroutinefunction(getattr(cls, name)):
        raise BadDeclaration(cls, name, f"it is awaited: write async def {name}")


def _check_called(cls: type, name: str) -> None:
    method = getattr(cls, name)
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise BadDeclaration(cls, name, f"it is called and not awaited: write def {name}")


def _check_seconds(role: type[Role[Any]]) -> None:
    seconds: Any = role.stall_seconds
    if seconds is None or isinstance(seconds, property):
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        wrong = f"expected a number of seconds above 0, or None, got {seconds!r}"
        raise BadDeclaration(role, "stall_seconds", wrong)


def reason(error: BaseException) -> str:
    """What is wrong, and in which line of which file."""
    kind = "ImportError" if isinstance(error, ImportError) else type(error).__name__
    said = guard.describe(error).removeprefix(f"{type(error).__name__}: ")
    text = " ".join(f"{kind}: {said}".split())
    at = _declared(error) if isinstance(error, BadDeclaration) else _raised(error)
    where = f" ({at[0]}, line {at[1]})" if at is not None else ""
    longest = _LONGEST - len(where)
    return (text if len(text) <= longest else text[: longest - 1] + "…") + where


def _raised(error: BaseException) -> tuple[str, int] | None:
    """The last line that led to an error, of the role's own file."""
    if isinstance(error, SyntaxError):  # it tells by itself
        return None
    house = str(Path(fleet.__file__).parent)
    lines = [
        (frame.filename, frame.lineno or 0)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((house, "<")) and "importlib" not in frame.filename
    ]
    return [line for line in lines if line[0] == lines[0][0]][-1] if lines else None


def _declared(error: BadDeclaration) -> tuple[str, int] | None:
    """The line where the name is declared that is wrong, else that of its class."""
    declares = re.compile(rf"\s+(async\s+)?(def\s+)?{re.escape(error.field)}\s*[:=(]")
    nearest: tuple[str, int] | None = None
    for cls in error.of.__mro__:
        try:
            lines, first = inspect.getsourcelines(cls)
            file = inspect.getsourcefile(cls)
        except (OSError, TypeError):
            continue
        for number, line in enumerate(lines, first):
            if declares.match(line):
                return str(file), number
        nearest = nearest or (str(file), first)
    return nearest
