"""`fleet-agent join`: a box asks to be let in, and keeps what it is given.

Nothing is said to a broker that the token's authority did not sign. What is given is sealed to
this box's key; who stands in between, or listens there, has nothing of it.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import evolve

from fleet.agent.box import machine
from fleet.agent.credential import Joined, keep_joined
from fleet.joining import (
    ASK_AGAIN,
    MAX_ASKED,
    BadToken,
    JoinAnswer,
    JoinRequest,
    JoinToken,
    NotTheFleet,
    StationCredential,
    authority,
    token_user,
)
from fleet.mqtt import (
    BadBroker,
    Broker,
    Disconnected,
    Filter,
    Link,
    Message,
    NotLetIn,
    Refused,
    Will,
    backoff,
    connect_once,
)
from fleet.sealed import BoxKey, CannotUnseal
from fleet.topics import Topics
from fleet.version import __version__
from fleet.wire import Undecodable, decode, encode

_TRIES: Final = 5
"""Attempts to reach a broker that answers nothing."""


class CannotJoin(Exception):
    """It is not let in; the text says why, and what to do."""


def join(
    url: str,
    word: str,
    station: str,
    prefix: str,
    state: Path,
    waits: Callable[[str], None],
) -> Joined:
    """Ask until this box is let in, and keep what it is given in `state`.

    `waits` is told the code by which somebody lets it in, whenever that is another one.

    Raises:
        CannotJoin: it is not let in.
        OSError: what it was given could not be kept: typed again, it is given it again.
    """
    try:
        token = JoinToken.parse(word)
        broker = Broker.parse(url)
        if not broker.tls:
            raise CannotJoin(
                f"{url} is not encrypted: expected mqtts://HOST:PORT, as fleet token prints it"
            )
        pem = authority(broker.host, broker.port, token)
    except (BadToken, BadBroker, NotTheFleet) as error:
        raise CannotJoin(str(error)) from None
    except OSError as error:
        raise CannotJoin(f"{broker}: {broker.why(error)}") from None
    key = BoxKey.kept(state / "key")
    asking = _Asking(token, Topics(prefix), station, key, waits)
    given = asyncio.run(asking.ask(_as(token, broker, pem)))
    found = Joined(url, prefix, given)
    keep_joined(state, found, pem)
    return found


def _as(token: JoinToken, broker: Broker, pem: str) -> Broker:
    """The broker to one who has the token, and trusts its authority alone."""
    return evolve(
        broker,
        username=token_user(token.id),
        password=token.secret,
        trusts_only_ca_file=True,
        ca=pem,
        ca_name="the token's",
    )


class _Asking:
    """One box's question, over as many connections as it takes."""

    def __init__(
        self,
        token: JoinToken,
        topics: Topics,
        station: str,
        key: BoxKey,
        waits: Callable[[str], None],
    ) -> None:
        box = secrets.token_hex(8)
        self._request = topics.join(token.id, "request", box)
        self._reply = topics.join(token.id, "reply", box)
        self._key = key
        self._waits = waits
        self._code: str | None = None
        self._presence = topics.manager("presence")
        self._news = asyncio.Event()
        """An answer that ends it came, or a manager that is to be asked anew."""
        self._given: StationCredential | CannotJoin | None = None
        self._proof: str | None = None
        self._asked = JoinRequest(
            station,
            machine.hostname(),
            machine.mac(),
            machine.addresses()[:64],
            __version__,
            key.public,
        )

    async def ask(self, broker: Broker) -> StationCredential:
        """Raises: CannotJoin."""
        failures = 0
        while self._given is None:
            try:
                await connect_once(broker, f"fleet-join-{secrets.token_hex(8)}", self)
            except NotLetIn:
                raise CannotJoin(
                    f"{broker} does not take the token: it has expired, or is of a fleet that was "
                    "set up anew. fleet token prints another line"
                ) from None
            except Refused as error:
                raise CannotJoin(f"{error}; is the prefix right (--prefix)?") from None
            except Disconnected as error:
                failures += 1
                if self._code is None and failures >= _TRIES:
                    raise CannotJoin(str(error)) from None
                await asyncio.sleep(backoff(failures))
        if isinstance(self._given, CannotJoin):
            raise self._given
        return self._given

    # What `connect_once` calls.

    def will(self) -> Will | None:
        return None

    def disconnected(self, why: str) -> None:
        """Told by `connect_once`'s error already."""

    def received(self, message: Message) -> None:
        if message.topic == self._presence:
            if not message.retain:
                self._news.set()
            return
        try:
            answer = decode(message.payload, JoinAnswer, MAX_ASKED)
            if answer.challenge is not None:
                proof = self._key.unseal(answer.challenge).decode()
                if proof != self._proof:
                    self._proof = proof
                    self._news.set()
            if answer.sealed is not None:
                payload = self._key.unseal(answer.sealed)
                self._given = decode(payload, StationCredential)
        except (Undecodable, CannotUnseal, UnicodeDecodeError) as error:
            self._given = CannotJoin(f"the manager's answer cannot be understood: {error}")
        else:
            if answer.error is not None and answer.error.type != "TryAgain":
                self._given = CannotJoin(answer.error.message)
            elif answer.code is not None and answer.code != self._code:
                self._code = answer.code
                self._waits(answer.code)
        if self._given is not None:
            self._news.set()

    async def connected(self, link: Link) -> None:
        await link.subscribe(Filter(self._reply), Filter(self._presence))
        while self._given is None:
            self._news.clear()
            asked = evolve(self._asked, proof=self._proof)
            await link.publish(self._request, encode(asked))
            with suppress(TimeoutError):  # whoever hears nothing asks again
                async with asyncio.timeout(ASK_AGAIN):
                    await self._news.wait()
