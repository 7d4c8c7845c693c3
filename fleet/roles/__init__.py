"""What a station can run, and all that a role author imports.

A role is a kind of work. A file in this directory (or in the agent's `roles_dir`, or an entry
point of the group `fleet.roles`) holds a `Role`, its settings as an attrs class, and a
`RoleFactory`, and calls `register_factory`. Nothing else needs to know of it:

    from attrs import frozen
    from fleet.roles import ChildRole, RoleFactory, register_factory

    @frozen
    class BeepSettings:
        hertz: int = 440

    class Beep(ChildRole[BeepSettings]):
        def argv(self) -> list[str]:
            return ["play", "-n", "synth", "sine", str(self.settings.hertz)]

    class BeepFactory(RoleFactory[BeepSettings]):
        role = Beep
        settings = BeepSettings
        instances = 1
        tools = {"play": "sox"}

    register_factory("beep", BeepFactory())

Roles know nothing of MQTT: they see their settings and a `Host`.
"""

from typing import Final, NoReturn

from msgspec import Meta

from fleet.host import THUMBNAIL_BYTES, Child, Command, Failed, Host, Secret
from fleet.media.child import ChildRole
from fleet.model import CommandFailed, InvalidArguments
from fleet.role import Offer, OwnStation, Role, RoleFactory, command, register_factory

__all__ = [
    "THUMBNAIL_BYTES",
    "Child",
    "ChildRole",
    "Command",
    "CommandFailed",
    "Failed",
    "Host",
    "InvalidArguments",
    "Meta",
    "Offer",
    "OwnStation",
    "Role",
    "RoleFactory",
    "Secret",
    "command",
    "register_factory",
]

_REFUSED: Final = (
    "the station refuses such a config by itself, as {}; a check of your own is a function in a "
    "setting's annotation that raises ValueError"
)
_FORMERLY: Final = {
    "InvalidConfigurationException": _REFUSED.format("InvalidConfiguration"),
    "MissingRoleFactoryException": _REFUSED.format("MissingRoleFactory"),
    "BlockedRoleException": _REFUSED.format("BlockedRole"),
}


def __getattr__(name: str) -> NoReturn:
    """Names of an earlier design are answered with today's."""
    if name in _FORMERLY:
        raise ImportError(f"there is no {name}: {_FORMERLY[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
