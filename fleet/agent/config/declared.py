"""What a role declares, looked at before it is offered, and where in its file it is wrong."""

import inspect
import os
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attr
import attrs
import cattrs

import fleet.role
from fleet import guard
from fleet.model import CommandSchema, Factory, clip
from fleet.role import Role, RoleFactory
from fleet.schema import BadDeclaration, json_schema
from fleet.strict import structure

_AWAITED: Final = {"start": (), "update": ("settings",), "stop": ()}
_CALLED: Final = {"tick": (), "takes_live": ("settings",)}
_CALLED_OF_FACTORY: Final = {
    "build": ("host", "settings"),
    "offers": ("settings",),
    "own_ports": ("settings",),
    "tidy": ("facts",),
}
"""Method -> what it is given."""
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
    if isinstance(factory, type) and issubclass(factory, RoleFactory):
        text = f"it was registered as a class: write {factory.__name__}()"
        raise BadDeclaration(factory, None, text)
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
    for name, given in (_AWAITED | dict.fromkeys(commands, ("arguments",))).items():
        _check_awaited(role, name, given)
    for cls, names in ((role, _CALLED), (of, _CALLED_OF_FACTORY)):
        for name, given in names.items():
            _check_called(cls, name, given)
    if of.build is RoleFactory.build:
        _check_built(role)
    _check_seconds(role)
    _check_tools(factory)
    settings = json_schema(factory.settings)
    if not settings["required"]:
        _check_defaults(factory.settings)
    return Factory(
        most, settings, {name: _command(role, name, *commands[name]) for name in commands}
    )


def _command(role: type[Role[Any]], name: str, arguments: type, result: type) -> CommandSchema:
    try:
        about = {**_about(role, name), **json_schema(arguments)}
        return CommandSchema(about, json_schema(result))
    except BadDeclaration:
        raise
    except TypeError as error:
        raise BadDeclaration(role, name, str(error)) from None


def _about(role: type[Role[Any]], name: str) -> dict[str, Any]:
    """The first paragraph of a command's docstring, as a schema has it."""
    text = inspect.getdoc(getattr(role, name)) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return {"description": first[:_LONGEST_ABOUT]} if first else {}


def _check_awaited(cls: type, name: str, given: Sequence[str]) -> None:
    method = getattr(cls, name)
    if inspect.isasyncgenfunction(method):
        raise BadDeclaration(cls, name, "it is awaited: return what it gives, and yield nothing")
    if not inspect.iscoroutinefunction(method):
        raise BadDeclaration(cls, name, f"it is awaited: write async def {name}")
    _check_takes(cls, name, given, "async def")


def _check_called(cls: type, name: str, given: Sequence[str]) -> None:
    method = getattr(cls, name)
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise BadDeclaration(cls, name, f"it is called and not awaited: write def {name}")
    _check_takes(cls, name, given, "def")


def _check_takes(cls: type, name: str, given: Sequence[str], how: str) -> None:
    if not inspect.isfunction(inspect.getattr_static(cls, name)):
        return  # made in some way of its own: only a call can tell
    written = ("self", *given)
    try:
        inspect.signature(getattr(cls, name)).bind(*written)
    except TypeError:
        text = (
            f"it cannot be called with what it is given: write {how} {name}({', '.join(written)})"
        )
        raise BadDeclaration(cls, name, text) from None


def _check_built(role: type[Role[Any]]) -> None:
    """That it can be built as a factory does it by itself."""
    if inspect.isabstract(role):
        raise BadDeclaration(role, None, "it has abstract methods: none can be built")
    _check_takes(role, "__init__", ("host", "settings"), "def")


def _check_tools(factory: RoleFactory[Any]) -> None:
    tools: Any = factory.tools
    if isinstance(tools, Mapping) and all(
        isinstance(one, str) for it in tools.items() for one in it
    ):
        return
    wrong = f'expected programs and their Debian packages, {{"ffmpeg": "ffmpeg"}}, got {tools!r}'
    raise BadDeclaration(type(factory), "tools", wrong)


def _check_defaults(settings: type) -> None:
    """That settings nobody gave can be made; a ValueError says that some must be given."""
    error: BaseException
    try:
        structure({}, settings)
    except ValueError:
        return
    except Exception as caught:
        error = caught
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        text = f"it cannot be made of its defaults: {guard.describe(error)}"
        raise BadDeclaration(settings, None, text) from None


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
    said = guard.describe(error).removeprefix(type(error).__name__)
    text = " ".join(f"{kind}{said}".split())
    at = _declared(error) if isinstance(error, BadDeclaration) else _raised(error)
    where = f" ({at[0]}, line {at[1]})" if at is not None else ""
    longest = _LONGEST - len(where)
    return clip(text, longest) + where


def _raised(error: BaseException) -> tuple[str, int] | None:
    """The last line that led to an error, of the role's own file."""
    if isinstance(error, SyntaxError) and not (error.filename or "").startswith("<"):
        return None  # it tells by itself
    lines = [
        (frame.filename, frame.lineno or 0)
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_theirs(frame.filename)
    ]
    return [line for line in lines if line[0] == lines[0][0]][-1] if lines else None


def _is_theirs(file: str) -> bool:
    """Whether it is of neither fleet nor Python, nor of what fleet builds settings with."""
    standard = file.startswith(str(Path(os.__file__).parent)) and "-packages" not in file
    ours = tuple(str(Path(one.__file__ or "").parent) for one in (fleet, attr, cattrs))
    return not standard and not file.startswith((*ours, "<"))


def _declared(error: BadDeclaration) -> tuple[str, int] | None:
    """The line where the name is declared that is wrong, else that of its class."""
    declares = re.compile(rf"\s+(async\s+)?(def\s+)?{re.escape(error.field or '')}\s*[:=(]")
    nearest: tuple[str, int] | None = None
    for cls in error.of.__mro__:
        if cls.__module__ == fleet.role.__name__:
            break
        try:
            lines, first = inspect.getsourcelines(cls)
            file = inspect.getsourcefile(cls)
        except (OSError, TypeError):
            continue
        for number, line in enumerate(lines, first):
            if error.field and declares.match(line):
                return str(file), number
        nearest = nearest or (str(file), first)
    return nearest
