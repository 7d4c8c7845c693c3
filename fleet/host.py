"""What a running role is given: a station to work on; role authors import it from `fleet.roles`."""

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from math import inf
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from attrs import field, frozen
from prometheus_client import CollectorRegistry

from fleet.model import NAME_RULE, is_name
from fleet.schema import json_schema

THUMBNAIL_BYTES: Final = 64 * 1024

T = TypeVar("T")


class Failed(Exception):
    """This running of the role cannot go on; it is tried again later.

    `reason` is a short CamelCase code (`DeviceMissing`, `DiskFull`), `message` a sentence that
    says what to fix.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


def _secret_name(name: str) -> None:
    if not is_name(name):  # not repeated: it may be the value itself
        raise ValueError(
            f"expected the name of a secret, {NAME_RULE}; its value is set with fleet secret set "
            "NAME, and stands in no file"
        )


@frozen
class Secret:
    """A setting that names a secret of the station, `{secret = "stream-key"}` in the file.

    `Host.secret` gives its value; the value itself never stands in a config.
    """

    secret: Annotated[str, _secret_name]
    private = 'a secret by its name, {secret = "…"}: its value stands on the station alone'


def named_secrets(settings: Any) -> set[str]:
    """The secrets that settings name, as JSON has them."""
    match settings:
        case {"secret": str(name)} if len(settings) == 1:
            return {name}
        case dict():
            return {name for one in settings.values() for name in named_secrets(one)}
        case list():
            return {name for one in settings for name in named_secrets(one)}
    return set()


def check_thumbnail(jpeg: object) -> None:
    """See that it can be shown.

    Raises:
        TypeError: it is no bytes.
        ValueError: it is too large.
    """
    if not isinstance(jpeg, bytes | bytearray):
        raise TypeError(f"a thumbnail is bytes, not {type(jpeg).__name__}")
    if len(jpeg) > THUMBNAIL_BYTES:
        raise ValueError(f"a thumbnail of {len(jpeg)} bytes: at most {THUMBNAIL_BYTES}")


@frozen
class Command:
    """Something that can be asked of a running role.

    `arguments` and `result` are attrs classes; `handler` takes the first and gives the second.
    """

    name: str
    arguments: type
    result: type
    handler: Callable[[Any], Awaitable[Any]] = field(repr=False)


def startable(
    argv: Sequence[str], env: Mapping[str, str], stop_signal: int, grace: float
) -> list[str]:
    """The arguments of a program, where one can be started and ended so.

    Raises:
        TypeError: they or `env` are no text.
        ValueError: there is no program in them, or a NUL, or that is no signal or no time.
    """
    if isinstance(argv, str | bytes) or not all(isinstance(one, str | PathLike) for one in argv):
        wrong = 'arguments are a list of text, the program first, ["ffmpeg", "-i", "in.ts"]'
        raise TypeError(f"{wrong}, not {argv!r}")
    if not all(isinstance(one, str) for pair in env.items() for one in pair):
        raise TypeError(f'env has names and values that are text, {{"LANG": "C"}}, not {env!r}')
    texts = [fspath(one) for one in argv]
    if not texts or not texts[0]:
        raise ValueError("there is no program in the arguments")
    if any("\0" in one for one in (*texts, *env, *env.values())) or any("=" in one for one in env):
        raise ValueError("no argument or variable has a NUL in it, and no variable's name a =")
    if stop_signal not in signal.valid_signals():
        raise ValueError(f"{stop_signal!r} is not a signal: take one of signal.Signals")
    if not (isinstance(grace, int | float) and 0 <= grace < inf):
        raise ValueError(f"grace is a number of seconds, not {grace!r}")
    return texts


class Child(ABC):
    """A child process of an instance, started by this agent or by one before it."""

    pid: int
    argv: Sequence[str]
    since: datetime
    """When it was started."""
    adopted: bool
    """Whether an earlier agent started it."""
    output: Path
    """The file its standard output is appended to; with `spawn(report=True)` its own, which is
    empty when it starts and is emptied when it has grown long."""

    @abstractmethod
    async def wait(self) -> int | None:
        """Its exit status (negative: the signal that ended it), None if it was adopted."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop signal, grace, SIGTERM, SIGKILL; returns when the whole group is gone."""

    @abstractmethod
    def last_words(self, lines: int = 5) -> str:
        """The last lines it wrote to its log, none of an earlier child's."""

    @property
    @abstractmethod
    def printed(self) -> int:
        """Bytes in the files that it prints to: another number means that it has printed."""


class Host(ABC):
    """What the station offers to one instance of a role."""

    role: str
    instance: str
    station: str
    """The station's id."""
    name: str
    """The station's name in the conference file, its id without one."""
    room: str | None
    recordings: Path
    """Where recordings go."""
    former_recordings: Path | None = None
    """Where they went under an earlier release."""
    media_dirs: Sequence[Path] = ()
    """Directories besides, whose files may be read as a source."""
    state: Path
    """A directory of this instance's own, kept over restarts of instance and agent."""
    registry: CollectorRegistry
    """Register prometheus_client metrics here; the agent ships them."""
    commands: dict[str, Command]
    """By name, those that are offered while the instance runs."""

    @abstractmethod
    async def spawn(
        self,
        argv: Sequence[str],
        *,
        name: str = "main",
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 5.0,
        report: bool = False,
        stdin: bytes | None = None,
    ) -> Child:
        """Start a child process, or take over the one an earlier agent left running.

        It gets a session of its own, a minimal environment plus `env`, and files for its
        output, so that it outlives the agent. `name` tells several children of one instance
        apart. `report`: standard output is a report for the role to read, not log lines.
        `grace`: seconds between the stop signal and SIGTERM. `stdin`: what a program that is
        started finds on its standard input, which nobody else can read; else nothing.

        Raises:
            Failed: the program is missing or cannot be run.
        """

    def recorded(self, path: str) -> Path:
        """The file at `path`: an absolute one, or below `recordings` or `former_recordings`."""
        here = self.recordings.absolute() / path
        if self.former_recordings is not None and not here.exists():
            there = self.former_recordings.absolute() / path
            return there if there.exists() else here
        return here

    def readable(self, path: str) -> Path:
        """The file that a source names, whatever links lead there: below one of the directories
        that a station gives away.

        Raises:
            Failed: `NotPermitted`, it is elsewhere.
        """
        there = self.recorded(path).resolve()
        own = (self.recordings, self.former_recordings, *self.media_dirs)
        if not any(there.is_relative_to(one.resolve()) for one in own if one is not None):
            raise Failed(
                "NotPermitted",
                f"{path} is not below this station's recordings: put it there, or add its "
                "directory to media_dirs in /etc/fleet/agent.toml and restart the agent",
            )
        return there

    @abstractmethod
    def records(self) -> None:
        """Say that this instance writes below `recordings`: before it begins, and once a second.

        Where they would go to another disk than they are meant for, the status says so.

        Raises:
            Failed: `DiskMissing`, and the station's settings want no other disk.
        """

    @abstractmethod
    def secret(self, secret: Secret, to: str | None = None) -> str:
        """The value of a secret. Log lines and messages of this instance show `…` for it.

        `to`: the host to which it goes. A secret that is bound to hosts is given for no other, and
        to no role that does not say.

        Raises:
            Failed: `SecretMissing`, it is not on this station or others can read it;
                `SecretRefused`, it may not go there.
        """

    @abstractmethod
    def progress(self) -> None:
        """Say that work goes on; without it for `Role.stall_seconds` the role is restarted."""

    @abstractmethod
    def note(self, reason: str | None, message: str | None = None) -> None:
        """Say what is not as it should be while the role runs on (`NoSound`); None: all well."""

    @abstractmethod
    def log(self, text: str) -> None:
        """Write lines to the instance's log, where `fleet logs` finds them with its children's.

        Each is cut at 1,000 characters; of more than 50 a second the rest is left out.
        """

    @abstractmethod
    def thumbnail(self, jpeg: bytes) -> None:
        """Show what the instance sees: a JPEG of at most `THUMBNAIL_BYTES`.

        Raises:
            ValueError: it is larger.
        """

    @abstractmethod
    def fail(self, reason: str, message: str) -> None:
        """End this running: it is stopped, and tried again later."""

    @abstractmethod
    def complete(self, message: str | None = None) -> None:
        """End this running: its work is done and it is not started again."""

    @abstractmethod
    def task(self, work: Coroutine[Any, Any, T], name: str = "task") -> "asyncio.Task[T]":
        """Have `work` done beside the role; where it raises, this running has failed.

        It is cancelled when the running ends, at the latest. `name` is for the log.
        """

    def register(self, command: Command) -> None:
        """Offer a command by hand; those marked with `@command` are offered by themselves.

        Raises:
            ValueError: its name cannot be one.
            TypeError: its arguments or result are not declared as those of a setting are.
        """
        if not is_name(command.name):
            raise ValueError(f"{command.name!r} cannot be the name of a command")
        for cls in (command.arguments, command.result):
            json_schema(cls)
        self.commands[command.name] = command

    def deregister(self, name: str) -> None:
        """Take a command back; nothing happens where it was not offered."""
        self.commands.pop(name, None)
