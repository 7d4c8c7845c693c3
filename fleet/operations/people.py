"""Who may do what, as it is asked for and told."""

from datetime import datetime
from typing import Annotated

from attrs import frozen
from msgspec import Meta

UserName = Annotated[str, Meta(max_length=64)]
Sealed = Annotated[str, Meta(max_length=2000)]
"""A password sealed to the manager's key, so that nobody on the way reads it."""


@frozen
class UserStatus:
    """One of the people. `at`, `by`: when and by whom this was last changed."""

    name: str
    rights: str
    """As they are written: `viewer`, `room:hall1`, `operator`, `admin`."""
    has_password: bool
    """Whether they can sign in on the page."""
    at: datetime
    by: str


@frozen
class UserListResult:
    """Operation `user_list`. `you`: who asks, with their `rights`; where nobody is in the list,
    everybody whom the broker lets ask is an admin. `key`: what passwords are sealed with.
    """

    users: tuple[UserStatus, ...]
    you: str
    rights: str
    key: str
    timezone: str = "UTC"


@frozen
class UserAddArguments:
    """Operation `user_add`: somebody new, or other rights for who is there; their password stays
    where none is given.
    """

    name: UserName
    rights: Annotated[str, Meta(max_length=10_000)]
    password: Sealed | None = None


@frozen
class UserPasswdArguments:
    """Operation `user_passwd`: another password, which signs them out everywhere."""

    name: UserName
    password: Sealed


@frozen
class UserRemoveArguments:
    """Operation `user_remove`."""

    name: UserName


@frozen
class UserResult:
    """What was done. `rights`: None for who was removed; `notes`: what to know, or do besides;
    `at_broker`: whether the broker knows it too.
    """

    name: str
    rights: str | None
    notes: tuple[str, ...] = ()
    at_broker: bool = False
