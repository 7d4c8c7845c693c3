"""What a command takes, read from its file without importing it, or Typer: who waits is at the Tab
key.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from fleet.cli import commands

_OF_ALL: Final = (("--version",), ("--help", "-h"))


class TakenParameter(NamedTuple):
    """An option, or an argument, which has no names."""

    names: tuple[str, ...]
    flag: bool
    several: bool
    completer: str | None
    """The function of `completion` that knows its values."""


class TypedNext(NamedTuple):
    """What may be typed next: options not given yet, or a value that `completer` knows."""

    options: tuple[str, ...] = ()
    completer: str | None = None


def what_next(command: str, given: Sequence[str], beginning: str) -> TypedNext | None:
    """What may follow `given` and begins so; None where it takes Typer to say."""
    known = _taken(command)
    if known is None:
        return None
    options = {name: one for one in known for name in one.names}
    rest = [one for one in known if not one.names]
    used: set[TakenParameter] = set()
    words = iter(given)
    for word in words:
        if not word.startswith("-"):
            rest = rest if rest and rest[0].several else rest[1:]
            continue
        option = options.get(word)
        if option is None:
            return None
        used.add(option)
        if not option.flag and next(words, None) is None:
            return TypedNext(completer=option.completer)
    if beginning.startswith("-"):
        left = [one.names for one in known if one not in used or one.several]
        names = (name for of in (*left, *_OF_ALL) for name in of)
        return TypedNext(tuple(name for name in names if name.startswith(beginning)))
    return TypedNext(completer=rest[0].completer) if rest else None


def _taken(command: str) -> list[TakenParameter] | None:
    """In the order of its function `run`; None where the file cannot be read so."""
    try:
        # Not pathlib, which takes longer to import than all this takes.
        with open(f"{commands.__path__[0]}/{command}.py", "rb") as file:  # noqa: PTH123
            body = ast.parse(file.read()).body
        (run,) = (one for one in body if isinstance(one, ast.FunctionDef) and one.name == "run")
        return list(_parameters(run))
    except (OSError, SyntaxError, ValueError):
        return None


def _parameters(run: ast.FunctionDef) -> Iterator[TakenParameter]:
    for parameter in run.args.args:
        match parameter.annotation:
            case ast.Subscript(
                value=ast.Name("Annotated"),
                slice=ast.Tuple([kind, ast.Call(func=ast.Attribute(attr=sort), args=said) as call]),
            ):
                told = {one.arg: one.value for one in call.keywords}
                completer = told.get("autocompletion")
                names = tuple(str(one.value) for one in said if isinstance(one, ast.Constant))
                if sort == "Option" and not names:
                    names = ("--" + parameter.arg.replace("_", "-"),)
                shape = ast.unparse(kind)
                yield TakenParameter(
                    names,
                    shape == "bool",
                    "list[" in shape,
                    completer.id if isinstance(completer, ast.Name) else None,
                )
            case ast.Attribute(attr="Context"):
                pass
            case _:
                raise ValueError(f"cannot say what {parameter.arg} is")
