"""Who may ask for what: the four kinds of rights, and what each operation needs. Pure."""

from collections.abc import Callable, Collection, Mapping
from enum import IntEnum
from typing import Any, Final, Self

from attrs import frozen

from fleet.model import NAME_RULE, is_name, natural
from fleet.operations.actions import CallArguments
from fleet.operations.people import UserPasswdArguments
from fleet.operations.rollouts import RollbackArguments, RolloutArguments
from fleet.station import READ_COMMANDS, STATION

RIGHTS_RULE: Final = "viewer, room:NAME (several: room:hall1,hall2), operator or admin"
MAX_ROOMS: Final = 100
"""In which one person may act who may not act in all."""
_RESTART: Final = "restart"
_ROOM: Final = "room:"


class BadRights(ValueError):
    """No rights; the text says which there are."""


class Reach(IntEnum):
    """How far an operation reaches, the least first."""

    READ = 0
    ROOM = 1
    """To act in each room that it touches."""
    ANYWHERE = 2
    """To act in all of them."""
    ADMIN = 3
    """To say who may do what, and which box belongs here."""


_NAMES: Final = {"viewer": Reach.READ, "operator": Reach.ANYWHERE, "admin": Reach.ADMIN}


@frozen
class Rights:
    """What one person may do. `rooms`: where, for those who may act in some rooms alone.

    >>> Rights.parse("operator").allow(Reach.ROOM, {"hall1"})
    True
    >>> str(Rights.parse("room:hall2,hall1"))
    'room:hall1,hall2'
    """

    most: Reach
    rooms: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `viewer`, `room:hall1,hall2`, `operator` or `admin`.

        Raises:
            BadRights: it is none of them.
        """
        if text in _NAMES:
            return cls(_NAMES[text])
        rooms = [one.strip().removeprefix(_ROOM) for one in text.split(",")]
        if not text.startswith(_ROOM) or not all(map(is_name, rooms)):
            at_fault = next((one for one in rooms if not is_name(one)), None)
            why = (
                f": {at_fault!r} is no room's name ({NAME_RULE})" if text.startswith(_ROOM) else ""
            )
            raise BadRights(f"{text[:100]!r} are no rights{why}; expected {RIGHTS_RULE}")
        if len(rooms) > MAX_ROOMS:
            raise BadRights(f"{len(rooms)} rooms are too many for one person, at most {MAX_ROOMS}")
        return cls(Reach.ROOM, frozenset(rooms))

    def __str__(self) -> str:
        if self.most is Reach.ROOM:
            return _ROOM + ",".join(sorted(self.rooms, key=natural))
        return next(name for name, most in _NAMES.items() if most is self.most)

    def allow(self, reach: Reach, rooms: Collection[str | None] = ()) -> bool:
        """Whether they are enough. `rooms`: those that are touched; None is what is in no room."""
        if reach is Reach.ROOM and self.most is Reach.ROOM:
            return bool(rooms) and self.rooms.issuperset(rooms)
        return self.most >= reach


def least(reach: Reach, rooms: Collection[str | None] = ()) -> Rights:
    """The least rights that are enough."""
    if reach is Reach.ROOM and rooms and all(rooms):
        return Rights(Reach.ROOM, frozenset(filter(None, rooms)))
    return Rights(Reach.ANYWHERE if reach is Reach.ROOM else reach)


def _rollout(_: str, asked: RolloutArguments) -> Reach:
    return Reach.ANYWHERE if asked.stop else Reach.READ


def _rollback(_: str, asked: RollbackArguments) -> Reach:
    return Reach.READ if asked.dry_run else Reach.ANYWHERE


def _passwd(caller: str, asked: UserPasswdArguments) -> Reach:
    return Reach.READ if asked.name == caller else Reach.ADMIN


def _call(_: str, asked: CallArguments) -> Reach:
    if asked.command in READ_COMMANDS:
        return Reach.READ
    if asked.role == STATION and asked.command != _RESTART:
        return Reach.ADMIN  # what the manager itself tells a box, as a credential
    return Reach.ROOM


NEEDS: Final[Mapping[str, Reach | Callable[[str, Any], Reach]]] = {
    "plan": Reach.READ,
    "apply": Reach.ANYWHERE,
    "status": Reach.READ,
    "rollout": _rollout,
    "rollback": _rollback,
    "validate": Reach.READ,
    "history": Reach.READ,
    "show": Reach.READ,
    "diff": Reach.READ,
    "export": Reach.READ,
    "retire": Reach.ANYWHERE,
    "adopt": Reach.ANYWHERE,
    "maintenance": Reach.ROOM,
    "talk": Reach.ROOM,
    "ack": Reach.ROOM,
    "notify": Reach.ANYWHERE,
    "schedule": Reach.READ,
    "recordings": Reach.READ,
    "cutlist": Reach.READ,
    "mark": Reach.ROOM,
    "stop": Reach.ROOM,
    "start": Reach.ROOM,
    "restart": Reach.ROOM,
    "call": _call,
    "mixer": Reach.READ,
    "cut": Reach.ROOM,
    "audio": Reach.ROOM,
    "live": Reach.ROOM,
    "blank": Reach.ROOM,
    "secrets": Reach.READ,
    "secret_set": Reach.ANYWHERE,
    "doctor": Reach.READ,
    "check": Reach.READ,
    "token": Reach.ADMIN,
    "waiting": Reach.READ,
    "approve": Reach.ADMIN,
    "revoke": Reach.ADMIN,
    "rotate": Reach.ADMIN,
    "user_list": Reach.READ,
    "user_add": Reach.ADMIN,
    "user_passwd": _passwd,
    "user_remove": Reach.ADMIN,
}
"""What reaches a `ROOM` names rooms or stations in its arguments: `room`, `station` or `target`."""


def reach(operation: str, caller: str, asked: Any) -> Reach:
    """How far an operation reaches with these arguments; one that nobody put there, as an admin."""
    found = NEEDS.get(operation, Reach.ADMIN)
    return found if isinstance(found, Reach) else found(caller, asked)
