"""How to reach the fleet: what was typed, then the environment, then the context in use."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import attrs
from attrs import frozen

from fleet import contexts
from fleet.cli.connection import Access
from fleet.model import NAME_RULE, is_name
from fleet.mqtt import BadBroker, Broker
from fleet.settings import BadSettings, read_password
from fleet.topics import Topics

_BROKER: Final = "mqtt://127.0.0.1:1883"
_PREFIX: Final = "fleet"


class BadOptions(Exception):
    """Options that make no sense; the text says which, and what to look at."""


@frozen
class Options:
    """The global options as they were given; None where the context in use decides."""

    broker: str | None
    username: str | None
    password_file: Path | None
    prefix: str | None
    context: str | None = None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """From what was read of the command line."""
        return cls(*(params.get(one.name) for one in attrs.fields(cls)))

    def access(self) -> Access:
        """How to reach the manager.

        Raises:
            BadOptions: the options make no sense.
        """
        try:
            context = contexts.chosen(self.context)
        except BadSettings as error:
            raise BadOptions(str(error)) from None
        username = self.username or context.username
        caller = username or "anonymous"
        if not is_name(caller):
            raise BadOptions(
                f"{caller!r} cannot ask the manager: a user's name is {NAME_RULE}; "
                f"look at FLEET_USERNAME"
            )
        file = self.password_file or (context.password_file and Path(context.password_file))
        url = self.broker or context.broker or _BROKER
        at = contexts.path()
        try:
            broker = Broker.parse(url, username, read_password(file or None), context.ca_file)
            return Access(broker, caller, Topics(self.prefix or context.prefix or _PREFIX))
        except BadBroker as error:
            raise BadOptions(f"{error}; look at --broker, FLEET_BROKER and {at}") from None
        except BadSettings as error:
            raise BadOptions(
                f"{error}; look at --password-file, FLEET_PASSWORD_FILE and {at}"
            ) from None
