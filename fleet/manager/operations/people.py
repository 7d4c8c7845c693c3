"""Who may do what: told and changed."""

from typing import Any

from fleet.manager.operations.desk import Desk
from fleet.manager.people.rights import BadRights, Rights
from fleet.model import InvalidArguments
from fleet.operations.people import (
    UserAddArguments,
    UserListResult,
    UserPasswdArguments,
    UserRemoveArguments,
    UserResult,
    UserStatus,
)
from fleet.strict import close_match


async def user_list(desk: Desk, caller: str, asked: Any) -> UserListResult:  # noqa: ARG001
    """Everybody in the list."""
    people = desk.people
    users = tuple(
        UserStatus(one.name, one.rights, one.password is not None, one.at, one.by)
        for one in people.everybody
    )
    return UserListResult(users, caller, str(people.let_in(caller)), people.key, desk.timezone)


async def user_add(desk: Desk, caller: str, asked: UserAddArguments) -> UserResult:
    """Somebody new, or other rights."""
    try:
        rights = Rights.parse(asked.rights)
    except BadRights as error:
        raise InvalidArguments(str(error)) from None
    people = desk.people
    password = people.unsealed(asked.password) if asked.password is not None else None
    notes = await people.add(caller, asked.name, rights, password)
    rooms = desk.rooms()
    for room in sorted(rights.rooms - rooms):
        hint = close_match(room, sorted(rooms))
        notes.append(f"there is no room {room!r} yet{hint}")
    return UserResult(asked.name, str(rights), tuple(notes), people.at_broker)


async def user_passwd(desk: Desk, caller: str, asked: UserPasswdArguments) -> UserResult:
    """Another password."""
    people = desk.people
    notes = await people.passwd(caller, asked.name, people.unsealed(asked.password))
    return UserResult(asked.name, str(people.let_in(asked.name)), tuple(notes), people.at_broker)


async def user_remove(desk: Desk, caller: str, asked: UserRemoveArguments) -> UserResult:
    """Take somebody off the list."""
    notes = await desk.people.remove(caller, asked.name)
    return UserResult(asked.name, None, tuple(notes), desk.people.at_broker)
