"""Runs any program of the station's, supervised; only where the station's settings allow it.

`allow_exec = true` stands in a file on the station, so that whoever may write a conference file
may not by that run what he likes on every box.
"""

import signal
from typing import Annotated, Literal

from attrs import frozen

from fleet.model import EXEC
from fleet.roles import ChildRole, Host, Meta, RoleFactory, register_factory


def _program(argv: tuple[str, ...]) -> None:
    if not argv[0]:
        raise ValueError("expected a program first, got an empty text")
    if any("\0" in one for one in argv):
        raise ValueError("an argument has a NUL character, which no program can be given")


@frozen
class ExecSettings:
    """What is run, and when it counts as stuck."""

    argv: Annotated[
        tuple[Annotated[str, Meta(max_length=4096)], ...],
        Meta(
            min_length=1,
            max_length=256,
            description="the program and its arguments, which everybody on the station can read",
        ),
        _program,
    ]
    stop_signal: Annotated[
        Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"],
        Meta(description="asks it to end; 5 s later SIGTERM does, then SIGKILL"),
    ] = "SIGTERM"
    stall_seconds: Annotated[
        int | None,
        Meta(
            ge=1,
            le=86400,
            description="restart it when it printed nothing for so long; null: it may be quiet",
            extra_json_schema={"unit": "s"},
        ),
    ] = None


class Exec(ChildRole[ExecSettings]):
    """One program."""

    taken_live = frozenset(("stall_seconds",))
    stall_advice = (
        "it printed nothing, and what it printed before is in fleet logs; if it may be quiet for "
        "longer, raise its stall_seconds or leave them out"
    )

    def __init__(self, host: Host, settings: ExecSettings) -> None:
        super().__init__(host, settings)
        self.stall_seconds = settings.stall_seconds
        self.stop_signal = signal.Signals[settings.stop_signal]
        self._printed: int | None = None

    def argv(self) -> list[str]:
        """As it stands in the file; no shell reads it."""
        return list(self.settings.argv)

    async def start(self) -> None:
        """Returns once it runs."""
        await super().start()
        # What an adopted one printed before is no sign of life.
        self._printed = self.child.printed if self.child.adopted else 0

    def tick(self) -> None:
        """Whatever it prints is progress."""
        if self._printed is not None and self.child.printed != self._printed:
            self._printed = self.child.printed
            self.host.progress()

    async def update(self, settings: ExecSettings) -> bool:
        """How patient we are can change while it runs."""
        if not self.takes_live(settings):
            return False
        self.settings, self.stall_seconds = settings, settings.stall_seconds
        return True


class ExecFactory(RoleFactory[ExecSettings]):
    """As many as are wanted."""

    role = Exec
    settings = ExecSettings


register_factory(EXEC, ExecFactory())
