"""What a role is, and what a station has for it; role authors import it from `fleet.roles`.

Roles know nothing of MQTT: they see their settings and a `Host`.
"""

import operator
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Set
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

import attrs
from attrs import frozen

from fleet.host import Command, Host
from fleet.model import NAME_RULE, is_name
from fleet.schema import BadDeclaration

S = TypeVar("S")


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
    by_name: bool = False
    """Whether it is meant only where it is named, as long as there is another."""


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
    stall_advice = "check that what it reads sends, and that what it writes to takes it"
    """What to do about it."""

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
            if getattr(method, "fleet_command", False) is not True:
                continue
            if not is_name(name):
                raise BadDeclaration(cls, name, f"cannot name a command: {NAME_RULE}")
            if name in (*dir(Role), "host", "settings"):
                raise BadDeclaration(cls, name, "every role has that: name the command otherwise")
            try:
                hints = get_type_hints(method)
            except Exception as error:
                raise BadDeclaration(cls, name, f"its types cannot be read: {error}") from None
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
        """Output -> what others can read there; where none is named the first is meant.

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
    if not isinstance(name, str) or not is_name(name) or name == "station":
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
