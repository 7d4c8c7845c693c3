"""Answers the Tab key where all it wants is the name of a command, an option, a room or a station.

Whoever presses it waits, so that nothing is imported for it that takes long: neither Typer nor what
the manager's answers are made of. What is more than that, `completion` answers by Typer.
"""

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NoReturn

from fleet.cli.commands import COMMANDS

COMPLETE: Final = "_FLEET_COMPLETE"
"""What a shell sets to ask."""
_QUOTES: Final = frozenset("'\"\\")
_PLAIN: Final = re.compile(r"[\w.-]+")
"""Names that no shell reads as anything else."""


def answer(environment: Mapping[str, str]) -> int | None:
    """Tell a shell that asks for what is known here; what to end with, None where Typer answers."""
    shell = environment.get(COMPLETE, "").removeprefix("complete_")
    asked = _asked(shell, environment)
    if asked is None:
        return None
    given, beginning = asked
    if shell != "bash" and (not given or beginning.startswith("-")):
        return None  # the others show what each is for
    names = _names(environment, given, beginning)
    if names is None or not all(map(_PLAIN.fullmatch, names)):
        return None
    if shell == "zsh":
        quoted = "\n".join(f'"{name}"' for name in names)
        print(f"_arguments '*: :(({quoted}))'" if names else "_files")
    elif environment.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return 0 if names else 1  # where there are none, fish offers files
    else:
        print("\n".join(names))
    return 0


def _asked(shell: str, environment: Mapping[str, str]) -> tuple[list[str], str] | None:
    """The words after `fleet`, and how the one begins that is typed now."""
    if shell == "bash":
        line, number = environment.get("COMP_WORDS", ""), environment.get("COMP_CWORD", "")
        words = line.split()
        at = int(number) if number.isdecimal() else 0
    elif shell in ("zsh", "fish"):
        line = environment.get("_TYPER_COMPLETE_ARGS", "")
        words = line.split()
        at = len(words) - (not line.endswith(" "))
    else:
        return None
    odd = not _QUOTES.isdisjoint(line) or "=" in line or "--" in words[:at]
    if not at or odd or (at > 1 and words[1].startswith("-")):
        return None  # Typer reads that better
    return words[1:at], "".join(words[at : at + 1])


def _names(environment: Mapping[str, str], given: list[str], beginning: str) -> list[str] | None:
    """What fits; None where it takes Typer to say."""
    if not given:
        return [name for name in COMMANDS if name.startswith(beginning)]
    from fleet.cli.taken import what_next

    found = what_next(given[0], given[1:], beginning)
    if found is None or (found.completer is None and not beginning.startswith("-")):
        return None
    return _known(environment, found.completer, beginning) if found.completer else [*found.options]


def _known(environment: Mapping[str, str], completer: str, beginning: str) -> list[str] | None:
    """Rooms and stations that fit; None where stations themselves may know more."""
    if completer not in ("rooms", "stations", "rooms_and_stations"):
        return None
    from fleet.cli.names import LIMIT, PATIENCE, NamedStation, fitting, stations, within

    nobody: tuple[NamedStation, ...] | None = ()
    found = within(LIMIT, lambda: stations(environment, PATIENCE), nobody)
    if found is None:
        return None if completer == "stations" else []
    rooms = {one.room for one in found if "rooms" in completer}
    return fitting(rooms | {one.name for one in found if "stations" in completer}, beginning)


def leave(code: int) -> NoReturn:
    """End now, whatever still looks for a broker."""
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)
