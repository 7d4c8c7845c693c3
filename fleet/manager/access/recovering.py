"""`fleet-manager recover`: an admin again, where nobody has the password of one any more.

Whoever can read the manager's password can do all that the manager can; so the manager that runs
takes its own user at the broker for an admin, and this asks as that.
"""

import asyncio
import secrets
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import frozen

from fleet import contexts
from fleet.contexts import Context, Home
from fleet.manager.people.rights import Reach, Rights
from fleet.manager.settings import ManagerSettings, manager_broker
from fleet.model import MAX_REQUEST, Reply, plain
from fleet.mqtt import (
    Broker,
    Disconnected,
    Filter,
    Link,
    Message,
    NobodyListening,
    Refused,
    Requests,
    Will,
    connect_once,
)
from fleet.operations.people import UserAddArguments, UserListResult, UserResult
from fleet.sealed import seal
from fleet.settings import BadSettings
from fleet.strict import Mistakes
from fleet.topics import Topics
from fleet.wire import Undecodable, decode, encode, from_json

T = TypeVar("T")

_CONTEXT: Final = "fleet-recovered"
_SECONDS: Final = 15.0


class CannotRecover(Exception):
    """Nobody was made an admin; the text says why."""


@frozen
class Recovered:
    """Who is an admin now, and the file that has their password."""

    name: str
    client_file: Path


def recover(settings: ManagerSettings, name: str | None, home: Home) -> Recovered:
    """Make `name`, or else the first operator, an admin with a new password, kept in `home`.

    Raises:
        CannotRecover: it was not done.
        BadBroker, BadSettings: the settings cannot be used.
    """
    name = name or settings.admin
    user = settings.username
    if not settings.accounts or user is None:
        raise CannotRecover(
            "this manager does not keep the broker's accounts: give yourself a password there, "
            "mosquitto_passwd /etc/mosquitto/operators.passwd NAME, then: fleet user passwd NAME"
        )
    if name is None:
        raise CannotRecover("whom? fleet-manager recover NAME")
    password = secrets.token_urlsafe(24)
    asking = _Asking(Topics(settings.prefix), user, name, password)
    asyncio.run(asking.ask(manager_broker(settings)))
    try:
        ca = Path(settings.ca_file).read_text() if settings.ca_file else None
    except (OSError, ValueError) as error:
        raise BadSettings(f"{settings.ca_file} cannot be read: {plain(error)}") from None
    prefix = settings.prefix if settings.prefix != ManagerSettings().prefix else None
    context = Context(settings.join or settings.broker, name, prefix=prefix)
    return Recovered(name, contexts.keep(_CONTEXT, context, password, ca, home, current=True))


class _Asking:
    """One conversation with the manager, in its own name."""

    def __init__(self, topics: Topics, user: str, name: str, password: str) -> None:
        self._topics = topics
        self._user = user
        self._name = name
        self._password = password
        self._requests: Requests | None = None

    async def ask(self, broker: Broker) -> None:
        """Raises: CannotRecover."""
        try:
            await connect_once(broker, f"fleet-{secrets.token_hex(8)}", self)
        except NobodyListening:
            raise CannotRecover("no manager runs here: start it, then again") from None
        except TimeoutError:
            raise CannotRecover("the manager gives no answer; its log says why") from None
        except (Disconnected, Refused, Undecodable, Mistakes) as error:
            raise CannotRecover(str(error)) from None

    def will(self) -> Will | None:
        return None

    def received(self, message: Message) -> None:
        if self._requests is not None:
            self._requests.received(message)

    def disconnected(self, why: str) -> None:
        """Told by `connect_once`'s error already."""

    async def connected(self, link: Link) -> None:
        self._requests = Requests(link)
        await link.subscribe(Filter(self._topics.manager("reply", self._user)))
        key = (await self._answer(self._requests, "user_list", {}, UserListResult)).key
        sealed = seal(key, self._password.encode())
        asked = UserAddArguments(self._name, str(Rights(Reach.ADMIN)), sealed)
        await self._answer(self._requests, "user_add", asked, UserResult)

    async def _answer(self, requests: Requests, operation: str, asked: Any, cls: type[T]) -> T:
        said = await requests.ask(
            self._topics.manager("request", self._user, operation),
            encode(asked),
            _SECONDS,
            self._topics.manager("reply", self._user),
        )
        reply = decode(said, Reply, MAX_REQUEST)
        if reply.error is not None:
            raise CannotRecover(reply.error.message)
        return from_json(reply.result, cls)
