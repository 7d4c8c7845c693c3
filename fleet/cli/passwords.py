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
        typed = getpass.getpass(prompt, stream=sys.stderr)
    except (EOFError, KeyboardInterrupt):
        say("")
        stop("no password was said; nothing was changed")
    return _text(typed.encode(errors="surrogateescape"))


def secret(name: str, most: int) -> str:
    """What stations are to keep as `name`: hidden on a terminal, else all of standard input.

    `most`: bytes that it may have.
    """
    if sys.stdin.isatty():
        said = hidden(f"value of {name} (hidden): ").encode()
    else:
        said = sys.stdin.buffer.read(most + 3).rstrip(b"\r\n")
    if not said:
        stop("nothing was said; nothing was changed")
    if len(said) > most:
        stop(f"a secret has at most {most} bytes, this one has more; nothing was changed")
    return _text(said)


def _line() -> str:
    line = _text(sys.stdin.buffer.readline()).rstrip("\r\n")
    if not line:
        stop("no password came on standard input: expected it as the first line")
    return line


def _text(said: bytes) -> str:
    """What was said, which nobody repeats where it is of no use."""
    try:
        text = said.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        stop("that is not text in UTF-8; nothing was changed")
    return text
