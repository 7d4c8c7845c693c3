"""The broker's accounts, kept by the manager while the broker runs: Mosquitto's dynamic security.

Each account has a role of its own with its topics written out, because the plugin puts no name
into a topic. It writes its file whole at each change, so what belongs together is one message.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import frozen

from fleet.joining import station_user, token_user
from fleet.manager.access import topics as access
from fleet.manager.access.topics import AccessRule
from fleet.manager.people.keeper import CannotAccount
from fleet.manager.people.rights import Rights
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused
from fleet.topics import Topics

log = logging.getLogger(__name__)

_ASK: Final = "$CONTROL/dynamic-security/v1"
ANSWERS: Final = f"{_ASK}/response"
_PATIENCE: Final = 10.0
"""Seconds for an answer: a change takes 2 ms with few accounts, 50 ms with 1,000."""
_BATCH: Final = 100
"""Commands in one message."""
_NOT_THERE: Final = frozenset({"Client not found", "Role not found"})
_THERE: Final = frozenset({"Client already exists", "Role already exists"})

Command = dict[str, Any]


@frozen
class StationAccount:
    """A station's account to make. `password`: what it comes in with."""

    station: str
    password: str


class BrokerAccounts:
    """Makes, changes and removes accounts over the manager's connection."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._link: Link | None = None
        self._waiting: dict[str, asyncio.Future[str | None]] = {}

    @property
    def filters(self) -> Sequence[Filter]:
        """What to subscribe to for the answers."""
        return (Filter(ANSWERS),)

    def connect(self, link: Link) -> None:
        """From now on accounts can be changed."""
        self._link = link

    def disconnect(self) -> None:
        """Nothing can be changed."""
        self._link = None

    def received(self, message: Message) -> None:
        """Hand every message of `ANSWERS` here."""
        try:
            responses = json.loads(message.payload)["responses"]
            answers = [(one.get("correlationData"), one.get("error")) for one in responses]
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            log.error("what the broker answers of its accounts cannot be read: %s", error)
            return
        for name, said in answers:
            waiting = self._waiting.get(name) if isinstance(name, str) else None
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    async def put_person(self, name: str, rights: Rights, password: str | None) -> None:
        """Let them in with these rights; None keeps the password.

        Raises:
            CannotAccount: the broker did not do it; the text says why.
        """
        role, rules = f"person:{name}", access.of_person(self._topics, name, rights).rules
        await self._put(name, role, rules, password)

    async def remove_person(self, name: str) -> bool:
        """Cut them off; nobody of that name is well too. Whether there was somebody.

        Raises:
            CannotAccount: as `put_person`.
        """
        return await self._remove([(name, f"person:{name}")])

    async def put_stations(self, accounts: Iterable[StationAccount]) -> None:
        """Let stations in, each with its password; who is connected with another one is cut off.

        Raises:
            CannotAccount: as `put_person`; some may be done.
        """
        for one in accounts:
            user = station_user(one.station)
            rules = access.of_station(self._topics, one.station).rules
            await self._put(user, user, rules, one.password)

    async def set_password(self, name: str, password: str) -> None:
        """Give an account another password; who is connected comes again with it.

        Raises:
            CannotAccount: as `put_person`; also where there is no such account.
        """
        told = {"command": "setClientPassword", "username": name, "password": password}
        await self._do([told])

    async def remove_station(self, station: str) -> None:
        """Cut a station off, at once.

        Raises:
            CannotAccount: as `put_person`.
        """
        await self._remove([(station_user(station), station_user(station))])

    async def put_token(self, token: str, password: str) -> None:
        """Let boxes ask to join with this.

        Raises:
            CannotAccount: as `put_person`.
        """
        user = token_user(token)
        await self._put(user, user, access.of_token(self._topics, token).rules, password)

    async def remove_tokens(self, tokens: Iterable[str]) -> None:
        """Let nobody ask with these any more.

        Raises:
            CannotAccount: as `put_person`.
        """
        await self._remove([(token_user(one), token_user(one)) for one in tokens])

    async def _put(
        self, name: str, role: str, rules: list[AccessRule], password: str | None
    ) -> None:
        made = await self._do(
            [
                {"command": "createRole", "rolename": role, "acls": rules},
                {"command": "createClient", "username": name, "roles": [{"rolename": role}]}
                | ({"password": password} if password is not None else {"disabled": True}),
            ],
            _THERE,
        )
        if made[1] is None and password is None:
            await self._remove([(name, role)])
            raise CannotAccount(f"{name} has no password there yet")
        again: list[Command] = []
        if made[0] is not None:
            again.append({"command": "modifyRole", "rolename": role, "acls": rules})
        if made[1] is not None:
            roles = [{"rolename": role}]
            again.append({"command": "modifyClient", "username": name, "roles": roles})
            if password is not None:
                again.append(
                    {"command": "setClientPassword", "username": name, "password": password}
                )
            again.append({"command": "enableClient", "username": name})
        if again:
            await self._do(again)

    async def _remove(self, accounts: Sequence[tuple[str, str]]) -> bool:
        """Whether one of them was there."""
        commands: list[Command] = []
        for name, role in accounts:
            commands.append({"command": "deleteClient", "username": name})
            commands.append({"command": "deleteRole", "rolename": role})
        return None in await self._do(commands, _NOT_THERE)

    async def _do(
        self, commands: Sequence[Command], fine: frozenset[str] = frozenset()
    ) -> list[str | None]:
        """What the broker said to each, None where it was done.

        Raises:
            CannotAccount: it did not answer, or said something that is not `fine`.
        """
        said: list[str | None] = []
        for start in range(0, len(commands), _BATCH):
            said += await self._send(commands[start : start + _BATCH])
        for command, error in zip(commands, said, strict=True):
            if error is not None and error not in fine:
                whose = command.get("username") or command.get("rolename")
                raise CannotAccount(
                    f"the broker did not do {command['command']} for {whose}: {error}"
                )
        return said

    async def _send(self, commands: Sequence[Command]) -> list[str | None]:
        link = self._link
        if link is None:
            raise CannotAccount("there is no connection to the broker")
        loop = asyncio.get_running_loop()
        names = [secrets.token_hex(8) for _ in commands]
        waiting: list[asyncio.Future[str | None]] = [loop.create_future() for _ in commands]
        self._waiting |= dict(zip(names, waiting, strict=True))
        numbered = [
            command | {"correlationData": name}
            for command, name in zip(commands, names, strict=True)
        ]
        try:
            async with asyncio.timeout(_PATIENCE):
                await link.publish(_ASK, json.dumps({"commands": numbered}).encode())
                return list(await asyncio.gather(*waiting))
        except TimeoutError:
            raise CannotAccount(
                f"the broker gave no answer within {_PATIENCE:.0f} s; has it the dynamic security "
                "plugin?"
            ) from None
        except Refused as error:
            raise CannotAccount(
                f"{error}; the manager's account needs the role that fleet-manager init gives it"
            ) from None
        except Disconnected as error:
            raise CannotAccount(f"the connection to the broker was lost: {error}") from None
        finally:
            for name in names:
                del self._waiting[name]
