"""Answers the Tab key where all it wants is the name of a command, a room or a station.

Whoever presses it waits, so that nothing is imported for it that takes long: neither Typer nor what
the manager's answers are made of. What is more than that, `completion` answers by Typer.
"""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NoReturn

from fleet.cli.commands import COMMANDS

ROOMS: Final = frozenset(
    {"ack", "audio", "blank", "check", "cut", "live", "mark", "recordings", "schedule", "talk"}
)
"""Commands whose first argument is a room."""
STATIONS: Final = frozenset(
    {
        *("adopt", "call", "devices", "diff", "history", "logs", "restart", "retire", "rollback"),
        *("revoke", "rotate", "show", "start", "stop"),
    }
)
"""Those whose first argument is a station."""
BOTH: Final = frozenset({"maintenance", "status", "watch"})
COMPLETE: Final = "_FLEET_COMPLETE"
"""What a shell sets to ask."""
_QUOTES: Final = frozenset("'\"\\")


def is_answered(environment: Mapping[str, str]) -> bool:
    """Whether a shell asked for what is known here, and was told."""
    if environment.get(COMPLETE) != "complete_bash":
        return False
    line, number = environment.get("COMP_WORDS", ""), environment.get("COMP_CWORD", "")
    words = line.split()
    if not _QUOTES.isdisjoint(line) or any(word.startswith("-") for word in words):
        return False  # Typer reads that better
    if number == "1" and len(words) <= 2:
        beginning = "".join(words[1:])
        names = [name for name in COMMANDS if name.startswith(beginning)]
    elif number == "2" and 2 <= len(words) <= 3 and words[1] in ROOMS | STATIONS | BOTH:
        known = _known(environment, words[1], "".join(words[2:]))
        if known is None:
            return False
        names = known
    else:
        return False
    print("\n".join(names))
    return True


def _known(environment: Mapping[str, str], command: str, beginning: str) -> list[str] | None:
    """What its first argument may be; None where stations themselves may know."""
    from fleet.cli.names import LIMIT, PATIENCE, NamedStation, fitting, stations, within

    nobody: tuple[NamedStation, ...] | None = ()
    found = within(LIMIT, lambda: stations(environment, PATIENCE), nobody)
    if found is None:
        return None if command in STATIONS else []
    rooms = {one.room for one in found if command not in STATIONS}
    return fitting(rooms | {one.name for one in found if command not in ROOMS}, beginning)


def leave() -> NoReturn:
    """End now, whatever still looks for a broker."""
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(0)
