"""Passwords that a person says: hidden on a terminal, else the first line of standard input.

Never an argument: those are in the list of processes and in a shell's history.
"""

import getpass
import secrets
import sys
from typing import Final

from fleet.cli.terminal import say, stop

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""None that is taken for another."""


def made() -> str:
    """One that nobody can guess and anybody can type: 79 bits in four groups of letters."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    return "-".join(groups)


def said(whose: str) -> str:
    """The password that somebody has."""
    if not sys.stdin.isatty():
        return _line()
    return hidden(f"password of {whose}: ")


def chosen(whose: str) -> tuple[str, bool]:
    """A new password, and whether it was made here: the person typed none."""
    if not sys.stdin.isatty():
        return _line(), False
    first = hidden(f"new password for {whose} (Enter alone has one made): ")
    if not first:
        return made(), True
    if hidden("once more: ") != first:
        stop("the two are not the same; nothing was changed")
    return first, False


def hidden(prompt: str) -> str:
    """What is typed without being shown."""
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        say("")
        stop("no password was said; nothing was changed")


def _line() -> str:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        stop("no password came on standard input: expected it as the first line")
    return line
