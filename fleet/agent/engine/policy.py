"""When an instance that ended unasked is started again, and how it is shown meanwhile (pure).

A recording that crashed must be back at once; a thing that cannot work must not keep the box
busy, and must be seen. So the first end after a stable running is followed by a start almost
at once, the next ones by an exponential delay with full jitter, and the fifth in a row makes
the instance `failed`: still tried again, slowly.
"""

from typing import Final

from attrs import frozen

from fleet.model import State

STABLE: Final = 60.0
"""Seconds of running after which what was before is forgotten."""
MENDED: Final = 5.0
"""Seconds of running after which what was named before counts as mended."""
FIRST: Final = 0.05
"""Seconds the first new start waits at most."""
BASE: Final = 1.0
"""Seconds the second new start waits at most; doubled for each one after it."""
CAP: Final = 60.0
"""Seconds a new start waits at most after a mere death."""
EXPLAINED_CAP: Final = 10.0
"""Seconds it waits at most where it is known what to fix: somebody may just have fixed it."""
LOOP: Final = 5
"""Ends in a row that make a crash loop."""

CHILD_EXITED: Final = "ChildExited"
ROLE_CRASHED: Final = "RoleCrashed"
STALLED: Final = "Stalled"
HELD_LOOP: Final = "HeldLoop"
CRASH_LOOP: Final = "CrashLoop"
STATE_PUT_BACK: Final = "StatePutBack"
_UNEXPLAINED: Final = frozenset({CHILD_EXITED, ROLE_CRASHED, STALLED})
"""Reasons that say what happened, not what is to be fixed: they count towards a crash loop."""


@frozen
class Ending:
    """How one running ended. `ran`: seconds it was `running`, 0 if it never came to that."""

    reason: str
    message: str
    ran: float = 0.0


@frozen
class NextTry:
    """What follows an ending: the state to show, and the seconds until the next start."""

    state: State
    delay: float
    reason: str
    message: str


History = tuple[Ending, ...]
"""The endings in a row, the latest last; at most `LOOP` are kept."""


def remember(history: History, ending: Ending) -> History:
    """The history with one more ending; a stable running forgets those before it.

    One that came to run forgets what was named before: somebody has mended it. Where something is
    named soon again, nobody has.
    """
    if ending.ran >= STABLE:
        return (ending,)
    if ending.ran >= MENDED or (ending.ran > 0 and _is_death(ending)):
        history = tuple(filter(_is_death, history))
    return (*history, ending)[-LOOP:]


def _is_death(ending: Ending) -> bool:
    return ending.reason in _UNEXPLAINED


def decide(history: History, jitter: float) -> NextTry:
    """What follows the last ending of `history`; `jitter` is random, from 0 to 1.

    An ending that names what to fix (`DeviceMissing`) is shown as `failed` at once, under its
    own reason; one that is a mere death is `backoff` until it is a crash loop.
    """
    last, ends = history[-1], len(history)
    loop = ends >= LOOP and all(map(_is_death, history))
    cap = CAP if loop else EXPLAINED_CAP
    if ends < LOOP:
        delay = jitter * (FIRST if ends == 1 else min(cap, BASE * 2.0 ** (ends - 2)))
    else:
        delay = cap * (1 + jitter) / 2
    if last.reason == HELD_LOOP:  # all others pay for each try
        return NextTry(State.FAILED, CAP * (1 + jitter) / 2, last.reason, last.message)
    if not _is_death(last):
        return NextTry(State.FAILED, delay, last.reason, last.message)
    if not loop:
        return NextTry(State.BACKOFF, delay, last.reason, last.message)
    message = f"ended {LOOP} times or more in a row, last: {last.message}"
    return NextTry(State.FAILED, delay, CRASH_LOOP, message)
