"""How long something holds, as people type it, and how the answer is told."""

import re
from typing import Final

import typer

from fleet.cli.view import zoned
from fleet.operations import SaidResult

_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """`30m`, `2h`, `1d`, `90s` or `90` in seconds.

    Raises:
        typer.BadParameter: it is nothing of the kind.
    """
    match = _LENGTH.fullmatch(text)
    if match is None or not float(match[1]):
        raise typer.BadParameter(f"expected a time such as 90s, 30m, 2h or 1d, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def ending(said: SaidResult) -> str:
    """` until 2026-02-01 10:30 CET`, empty without an end."""
    return f" until {zoned(said.until, said.timezone):%Y-%m-%d %H:%M %Z}" if said.until else ""
