"""What all code of a process shares, and one role could change for all: seen, and put back."""

import asyncio
import locale
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, Self, TypeVar

from attrs import field, frozen

log = logging.getLogger(__name__)

Changed = Callable[[str], None]
"""Called with what was changed, in words."""
T = TypeVar("T")

_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGURG,
    signal.SIGPIPE,
    signal.SIGCHLD,
)
"""Those that the process hears, or that would end it where it did not ignore them."""
_GAP: Final = 1.0
"""Seconds between two looks of `Shared.keep`."""
_SHOWN: Final = 5
"""Variables that are named at most."""
_NAME: Final = 40
"""Characters of the name of one that are shown."""


@frozen
class Shared:
    """What it was at one moment."""

    directory: str | None
    """None where it is gone."""
    umask: int
    handlers: tuple[Any, ...] = field(eq=lambda handlers: [id(one) for one in handlers])
    blocked: frozenset[int]
    locale: str
    environment: Mapping[str, str]

    @classmethod
    def now(cls) -> Self:
        """As it is; some 50 microseconds."""
        try:
            directory = os.getcwd()  # noqa: PTH109 (no more than its name is wanted, often)
        except OSError:
            directory = None
        return cls(
            directory,
            _umask(),
            tuple(signal.getsignal(one) for one in _SIGNALS),
            frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            locale.setlocale(locale.LC_ALL),
            dict(os.environ),
        )

    def restore(self) -> str:
        """Have it be so again; what was different, in words, empty where nothing was."""
        now = type(self).now()
        if now == self:
            return ""
        changed: list[str] = []
        if now.directory != self.directory and self.directory is not None:
            changed.append("the working directory")
            with suppress(OSError):  # gone since
                os.chdir(self.directory)
        if now.umask != self.umask:
            changed.append("the umask")
            os.umask(self.umask)
        for number, before, after in zip(_SIGNALS, self.handlers, now.handlers, strict=True):
            if before is not after and before is not None:
                changed.append(f"what {number.name} does")
                with suppress(ValueError):  # from a thread that is not the main one
                    signal.signal(number, before)
                    signal.siginterrupt(number, False)
        if now.blocked != self.blocked:
            changed.append("which signals are held back")
            signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)
        if now.locale != self.locale:
            changed.append("the locale")
            locale.setlocale(locale.LC_ALL, self.locale)
        if now.environment != self.environment:
            changed.append(self._restore_environment(now.environment))
        return ", ".join(changed)

    async def keep(self) -> None:
        """See to it for ever: what a role's steps change is seen there, not what it left behind."""
        while True:
            await asyncio.sleep(_GAP)
            if what := self.restore():
                log.error(
                    "a task or a thread of a role changed, for all of them: %s; put back", what
                )

    def _restore_environment(self, now: Mapping[str, str]) -> str:
        names = sorted(
            name
            for name in self.environment.keys() | now.keys()
            if self.environment.get(name) != now.get(name)
        )
        for name in names:
            if name in self.environment:
                os.environ[name] = self.environment[name]
            else:
                os.environ.pop(name, None)
        shown = [ascii(name[:_NAME])[1:-1] for name in names[:_SHOWN]]
        more = ["..."] if len(names) > _SHOWN else []
        return f"the environment ({' '.join(shown + more)})"


def _umask() -> int:
    """Read where it stands: to ask for it is to change it, for all threads."""
    with open("/proc/self/status", "rb", buffering=0) as status:  # noqa: PTH123 (often)
        for line in status.read(4096).splitlines():
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return os.umask(os.umask(0o077))


def logged(who: str, level: int = logging.ERROR) -> Changed:
    """Has the log say what `who`, a part of a role in words, changed."""
    text = "%s changed, for the agent and all its roles: %s; put back"
    return lambda what: log.log(level, text, who, what)


@contextmanager
def unchanged(changed: Changed | None) -> Iterator[None]:
    """Have all of that be afterwards as before; None: without a look."""
    if changed is None:
        yield
        return
    before = Shared.now()
    try:
        yield
    finally:
        if what := before.restore():
            changed(what)


class WatchedSteps(Generic[T]):
    """The same for what is awaited, at each step of it: others work in between."""

    def __init__(self, work: Awaitable[T], changed: Changed) -> None:
        self._work = work
        self._changed = changed

    def __await__(self) -> Generator[Any, Any, T]:
        """Its result."""
        steps = _awaited(self._work)
        step: Callable[[Any], Any] = steps.send
        given: Any = None
        while True:
            try:
                with unchanged(self._changed):
                    waits_for = step(given)
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                step, given = steps.send, (yield waits_for)
            except BaseException as error:
                step, given = steps.throw, error


async def _awaited(work: Awaitable[T]) -> T:
    return await work
