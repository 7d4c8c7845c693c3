"""What a role is, and what it is given; role authors import it from `fleet.roles`.

Roles know nothing of MQTT: they see their settings and a `Host`.
"""

import asyncio
import operator
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

import attrs
from attrs import field, frozen
from prometheus_client import CollectorRegistry

from fleet.model import NAME_RULE, is_name
from fleet.schema import BadDeclaration

THUMBNAIL_BYTES = 64 * 1024

S = TypeVar("S")
A = TypeVar("A")
R = TypeVar("R")
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


@frozen
class Secret:
    """A setting that names a secret of the station, `{secret = "stream-key"}` in the file.

    `Host.secret` gives its value; the value itself never stands in a config.
    """

    secret: str
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


@frozen
class Offer:
    """What an instance lets others read: MPEG-TS over TCP, at `port` of the address `listen`.

    Readers on the station itself come by 127.0.0.1, whatever `listen` says.
    """

    port: int
    listen: str = "0.0.0.0"  # noqa: S104 (as a role says it)
    sound: bool = True
    """Whether there is sound in it."""
    tracks: tuple[str, ...] = ()
    """The names of its tracks of sound, in order, where they have any."""


@frozen
class Command:
    """Something that can be asked of a running role.

    `arguments` and `result` are attrs classes; `handler` takes the first and gives the second.
    """

    name: str
    arguments: type
    result: type
    handler: Callable[[Any], Awaitable[Any]] = field(repr=False)


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

    @abstractmethod
    def register(self, command: Command) -> None:
        """Offer a command by hand; those marked with `@command` are offered by themselves.

        Raises:
            ValueError: its name cannot be one.
            TypeError: its arguments or result are not declared as those of a setting are.
        """

    @abstractmethod
    def deregister(self, name: str) -> None:
        """Take a command back."""


def command(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Marks a method of a role as a command, named as the method is.

    Its one parameter and its result are annotated with attrs classes. It can be called exactly
    while the role runs.
    """
    method.fleet_command = True  # type: ignore[attr-defined]
    return method


class Role(Generic[S]):
    """One instance of a role. Subclasses say what starting, updating and stopping mean."""

    taken_live: ClassVar[frozenset[str]] = frozenset()
    """The settings that `update` takes while it runs, of a role that comes with fleet: a plan
    says that a change of any other interrupts it. `sources/*`: what stands in that table, as long
    as its keys stay.
    """
    stall_seconds: float | None = None
    """Seconds without `Host.progress` after which a running role counts as `Stalled`.

    A role that has them is shown as `running` from the first progress it reports: what it does
    has come out. Without, it runs as soon as `start` has returned.
    """

    def __init__(self, host: Host, settings: S) -> None:
        self.host = host
        self.settings = settings

    async def start(self) -> None:
        """Begin; returns when the work is really being done.

        Raises:
            Failed: it cannot begin now.
        """

    async def update(self, settings: S) -> bool:  # noqa: ARG002 (for subclasses)
        """Take new settings while running: True if done, False to be restarted instead."""
        return False

    def takes_live(self, settings: S) -> bool:
        """Whether nothing but `taken_live` settings is different."""
        fields: tuple[Any, ...] = attrs.fields(type(settings))  # type: ignore[arg-type]
        old, new = (
            {one.name: getattr(it, one.name) for one in fields} for it in (self.settings, settings)
        )
        return only_live(self.taken_live, old, new)

    async def stop(self) -> None:
        """End, so that what was written is whole.

        Called after every start that began, also one that raised or was cut short. Children that
        are left afterwards are stopped by the agent.
        """

    def tick(self) -> None:
        """Called about once a second from start to stop, also while starting.

        Raises:
            Failed: this running cannot go on.
        """

    @classmethod
    def declared_commands(cls) -> dict[str, tuple[type, type]]:
        """Name -> classes of arguments and result of each method marked with `@command`.

        Raises:
            BadDeclaration: a marked method is not annotated as `command` asks, or badly named.
        """
        found: dict[str, tuple[type, type]] = {}
        for name in dir(cls):
            method = getattr(cls, name)
            if not getattr(method, "fleet_command", False):
                continue
            if not is_name(name):
                raise BadDeclaration(cls, name, f"cannot name a command: {NAME_RULE}")
            hints = get_type_hints(method)
            result = hints.pop("return", None)
            if len(hints) != 1 or not attrs.has(result):
                raise BadDeclaration(
                    cls, name, "a command has one annotated parameter and result: attrs classes"
                )
            (arguments,) = hints.values()
            found[name] = (arguments, result)
        return found

    def commands(self) -> tuple[Command, ...]:
        """The commands declared on the class, tied to this instance."""
        return tuple(
            Command(name, arguments, result, getattr(self, name))
            for name, (arguments, result) in self.declared_commands().items()
        )


def only_live(
    taken_live: Set[str],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    same: Callable[[Any, Any], bool] = operator.eq,
) -> bool:
    """Whether nothing but `Role.taken_live` is different between two tables of settings."""

    def is_live(key: str) -> bool:
        if key in taken_live:
            return True
        before, after = old.get(key), new.get(key)
        return (
            f"{key}/*" in taken_live
            and isinstance(before, Mapping)
            and isinstance(after, Mapping)
            and before.keys() == after.keys()
        )

    return all(is_live(key) for key in {*old, *new} if not same(old.get(key), new.get(key)))


@frozen
class OwnStation:
    """A station, for what concerns all instances of a role there."""

    station: str
    """Its id."""
    name: str
    room: str | None
    recordings: Path
    instances: frozenset[str]
    """Those of the role that are there now."""


class RoleFactory(Generic[S]):
    """What a station has for a role it can run."""

    instances: int = 0
    """How many may run at once; 0 = no limit."""
    settings: type[S]
    """An attrs class; `Annotated[int, Meta(ge=1, description="…")]` states ranges and units."""
    role: ClassVar[type[Role[Any]]] = Role
    """The class to build; its commands are those the registration tells of."""
    tools: Mapping[str, str] = {}
    """Programs the role needs -> the Debian package that has them."""

    def tidy(self, facts: OwnStation) -> None:
        """Finish what instances that are not there any more have left, such as files.

        Called in a thread, when the agent has started and after instances were taken away. What
        somebody still uses must be left alone.
        """

    def build(self, host: Host, settings: S) -> Role[S]:
        """One instance, not started yet."""
        return self.role(host, settings)

    @property
    def serves(self) -> bool:
        """Whether others can read something of it at all."""
        return type(self).offers is not RoleFactory.offers

    def offers(self, settings: S) -> Mapping[str, Offer]:  # noqa: ARG002 (for subclasses)
        """Output -> what others can read there; the first is meant where none is named.

        Of a role that comes with fleet; of another a setting `port` says where.
        """
        return {}

    def own_ports(self, settings: S) -> Collection[int]:  # noqa: ARG002 (for subclasses)
        """TCP ports that it takes besides, for itself."""
        return ()


class DuplicateRole(Exception):
    """Two factories claim one name."""


factories: dict[str, RoleFactory[Any]] = {}
"""Every factory registered so far, by the role's name."""


def register_factory(name: str, factory: RoleFactory[Any]) -> None:
    """Make `factory` known under `name`, which is case-sensitive.

    Raises:
        DuplicateRole: the name is taken; the first keeps it.
        ValueError: it cannot be a role's name, or is the reserved `station`.
    """
    if not is_name(name) or name == "station":
        raise ValueError(f"{name!r} cannot be the name of a role")
    if name in factories:
        raise DuplicateRole(
            f"the role {name!r} of {_source(factory)} is already provided by "
            f"{_source(factories[name])}"
        )
    factories[name] = factory


def _source(factory: RoleFactory[Any]) -> str:
    module = type(factory).__module__
    return getattr(sys.modules.get(module), "__file__", None) or module
