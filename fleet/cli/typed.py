"""What was typed, and what to type next: with every option that was given."""

import shlex
import sys


def again(*options: str) -> str:
    """What to type for the same with more options."""
    typed = sys.argv[1:]
    end = typed.index("--") if "--" in typed else len(typed)
    return shlex.join(("fleet", *typed[:end], *options, *typed[end:]))


def instead(*words: str) -> str:
    """What to type for another command at the broker, and as the user, of this one."""
    typed, end = sys.argv[1:], 0
    while end < len(typed) and typed[end].startswith("-"):
        end += 1 if "=" in typed[end] else 2
    return shlex.join(("fleet", *typed[:end], *words))
