"""Lets boxes in: tokens, who asks, and what each is given.

The decision is `judging`, pure. What is promised is in the store before the broker knows it, and a
box asks until it has it: so whatever breaks in between is healed by its next word.
"""

import asyncio
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import evolve

from fleet.joining import (
    MAX_ASKED,
    JoinAnswer,
    JoinRequest,
    JoinToken,
    fingerprint,
)
from fleet.manager.access.broker import BrokerAccounts, StationAccount
from fleet.manager.access.credentials import StationCredentials, new_credential
from fleet.manager.access.judging import JoinGrant, JoinRefusal, JoinWaits, judge
from fleet.manager.access.waiting import WaitingBoxes, shown
from fleet.manager.asking import StationAsker
from fleet.manager.findings.whole import waiting_finding
from fleet.manager.people.keeper import CannotAccount
from fleet.manager.settings import ManagerSettings, first_line
from fleet.manager.stations.allowances import Allowances
from fleet.manager.store import AccessChange, BadStore, Deed, KeptCredential, KeptToken
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, Error, InvalidArguments, is_name, plain
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused
from fleet.operations.health import HealthFinding
from fleet.operations.joining import WaitingBox
from fleet.sealed import BadKey, seal
from fleet.topics import Address, Topics
from fleet.wire import Undecodable, decode, encode

log = logging.getLogger(__name__)

_MOST_ASKED: Final = 500
_MOST_TOKENS: Final = 200
_TICK: Final = 30.0
_AT_LEAST: Final = 0.5
"""Seconds between two looks at what is over."""
_BURST, _PER_SECOND = 200.0, 20.0
"""What is asked with one token."""
_LET_IN_BURST, _LET_IN_PER_SECOND = 100.0, 1.0
"""Boxes that are let in with one token: for each the broker writes all its accounts anew."""
_MOST_BOXES: Final = 5000
"""With a credential, whatever tokens there are."""


class Joining:
    """Who may come in, over the manager's connection."""

    def __init__(
        self,
        topics: Topics,
        ledger: Ledger,
        accounts: BrokerAccounts,
        asker: StationAsker,
        is_online: Callable[[str], bool],
        settings: ManagerSettings,
    ) -> None:
        self._topics = topics
        self._ledger = ledger
        self._accounts = accounts
        self.url = settings.join or settings.broker
        """The broker as boxes reach it."""
        self.prefix = settings.prefix
        self._ca_file = settings.ca_file
        self._link: Link | None = None
        self._asked: dict[tuple[str, str], bytes] = {}
        self._news = asyncio.Event()
        self._there = asyncio.Event()
        """Whether somebody can be answered."""
        self._made = asyncio.Event()
        """There is a token that may end before the next look."""
        self._secret = secrets.token_bytes(32)
        self._waiting = WaitingBoxes(_secret_of(settings))
        self._turn = asyncio.Lock()
        """Held while somebody is let in or cut off."""
        self._allowances = Allowances(_BURST, _PER_SECOND)
        self._let_in_now = Allowances(_LET_IN_BURST, _LET_IN_PER_SECOND)
        self.credentials = StationCredentials(
            ledger.let_in, accounts, asker, self._turn, is_online, self._there
        )
        """What stations come in with."""

    @property
    def filters(self) -> list[Filter]:
        """What to subscribe to; strangers ask there."""
        return [Filter(self._topics.join("+", "request", "+"), bare=True)]

    def connect(self, link: Link) -> None:
        """From now on boxes are answered."""
        self._link = link
        self._there.set()

    def disconnect(self) -> None:
        """Nobody can be answered."""
        self._link = None
        self._there.clear()

    def received(self, address: Address, message: Message) -> None:
        """Hand every request here."""
        token, box = address.rest
        if token not in self._ledger.let_in.tokens or len(message.payload) > MAX_ASKED:
            return
        key = token, box
        is_new = key not in self._asked
        if is_new and len(self._asked) >= _MOST_ASKED:
            return  # it asks again
        if self._allowances.take(token, time.monotonic()):
            self._asked[key] = message.payload
            self._news.set()

    async def answer(self) -> None:
        """Answer for ever who asks."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._asked:
                await self._there.wait()
                (token, box), payload = next(iter(self._asked.items()))
                del self._asked[token, box]
                await self._answer(token, box, payload)

    async def keep(self) -> None:
        """End tokens for ever that are over."""
        while True:
            try:
                await self._tidy(datetime.now(UTC))
            except (BadStore, CannotAccount) as error:
                log.warning("a token that has expired stays for now: %s", error)
            self._made.clear()
            now = datetime.now(UTC)
            ends = (one.until for one in self._ledger.let_in.tokens.values())
            left = [(until - now).total_seconds() for until in ends if until > now]
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_AT_LEAST, min([_TICK, *left]))):
                    await self._made.wait()

    async def _tidy(self, at: datetime) -> None:
        """Raises: BadStore, CannotAccount."""
        over = [one.id for one in self._ledger.let_in.tokens.values() if at >= one.until]
        if over and self._link is not None:
            async with self._turn:
                await self._accounts.remove_tokens(over)
                await self._ledger.let_in.change_access(AccessChange(gone_tokens=over))
            for one in over:
                self._allowances.forget(one)
                self._let_in_now.forget(one)

    # What people ask for.

    async def make(
        self, by: str, seconds: float, uses: int | None, room: str | None, approve: bool
    ) -> tuple[JoinToken, KeptToken]:
        """A new token.

        Raises:
            CommandFailed: the broker does not take it, or nobody could prove the authority.
            InvalidArguments: there are too many.
            BadStore: it could not be written; there is none.
        """
        if len(self._ledger.let_in.tokens) >= _MOST_TOKENS:
            raise InvalidArguments(f"there are {_MOST_TOKENS} tokens; some have to expire first")
        if room is not None and not is_name(room):
            raise InvalidArguments(f"{room!r} cannot be the name of a room")
        token = JoinToken.new(self._fingerprint())
        at = datetime.now(UTC)
        kept = KeptToken(token.id, at + timedelta(seconds=seconds), uses, 0, room, approve, at, by)
        boxes = "any number of boxes" if uses is None else f"{uses} of them"
        text = f"token {token.id} for {boxes}"
        async with self._turn:
            await self._ledger.let_in.change_access(
                AccessChange([kept], deeds=[Deed(at, "access", by, text)])
            )
            try:
                await self._accounts.put_token(token.id, token.secret)
            except CannotAccount as error:
                await self._ledger.let_in.change_access(AccessChange(gone_tokens=[token.id]))
                raise CommandFailed(str(error)) from None
        self._made.set()
        return token, kept

    @property
    def waiting(self) -> list[WaitingBox]:
        """Who waits for somebody's yes, the first to ask first."""
        tokens = self._ledger.let_in.tokens
        return [
            shown(one, token.room if (token := tokens.get(one.token)) else None)
            for one in self._waiting
        ]

    def findings(self) -> Iterator[HealthFinding]:
        """That somebody waits."""
        yield from waiting_finding(self.waiting)

    async def approve(self, by: str, code: str, name: str | None) -> WaitingBox:
        """Let the box in that shows this code.

        Raises:
            InvalidArguments: none shows it, or the name cannot be used.
            CommandFailed: it could not be let in.
            BadStore: it could not be written; nothing has changed.
        """
        async with self._turn:
            found = self._waiting.find(code)
            if found is None:
                there = ", ".join(one.code for one in self.waiting[:20]) or "nobody waits"
                raise InvalidArguments(f"no box shows the code {code} (there are: {there})")
            asked, token = found.asked, self._ledger.let_in.tokens.get(found.token)
            if token is None:
                raise CommandFailed("its token has expired; fleet token prints another line")
            self._look_at(name, asked.station)
            known = self._ledger.let_in.credentials.get(asked.station)
            verdict = judge(asked, token, known, datetime.now(UTC), approved=True)
            if isinstance(verdict, JoinRefusal):
                self._waiting.forget(asked.public_key)
                await self._say(found.token, found.box, JoinAnswer(error=verdict.error))
                raise CommandFailed(verdict.error.message)
            try:
                await self._let_in(asked, token, found.box, by, name, counts=True)
            except CannotAccount as error:
                raise CommandFailed(str(error)) from None
            return shown(found, token.room)

    # What boxes ask.

    async def _answer(self, token_id: str, box: str, payload: bytes) -> None:
        answer: JoinAnswer | None
        try:
            asked = decode(payload, JoinRequest)
            proof = self._proof(asked.public_key, box)
            if asked.proof is None or not hmac.compare_digest(asked.proof, proof):
                # Its key everybody knows: who has it is asked before anything changes.
                answer = JoinAnswer(challenge=seal(asked.public_key, proof.encode()))
            else:
                async with self._turn:
                    answer = await self._decide(token_id, box, asked)
        except (Undecodable, BadKey) as error:
            answer = JoinAnswer(error=Error("InvalidArguments", f"it cannot be read: {error}"))
        except (BadStore, CannotAccount) as error:
            log.error("a box that asked to join cannot be let in: %s", error)
            answer = JoinAnswer(
                error=Error("TryAgain", f"the manager cannot let anybody in just now: {error}")
            )
        if answer is not None:
            await self._say(token_id, box, answer)

    def _proof(self, public_key: str, box: str) -> str:
        """What only who has the key can know of a box that asks under this name."""
        return hmac.new(self._secret, f"{public_key} {box}".encode(), "sha256").hexdigest()

    async def _decide(self, token_id: str, box: str, asked: JoinRequest) -> JoinAnswer | None:
        token = self._ledger.let_in.tokens.get(token_id)
        if token is None:
            return None
        at, known = datetime.now(UTC), self._ledger.let_in.credentials.get(asked.station)
        match judge(asked, token, known, at, approved=False):
            case JoinRefusal(error):
                self._waiting.forget(asked.public_key)
                return JoinAnswer(error=error)
            case JoinWaits():
                found = self._waiting.hear(asked, token_id, box, at)
                return JoinAnswer(code=found.code if found else None)
            case JoinGrant(counts):
                if refused := self._no_room(token_id, known):
                    return JoinAnswer(error=refused)
                await self._let_in(asked, token, box, token.by, None, counts=counts)
        return None

    def _no_room(self, token_id: str, known: KeptCredential | None) -> Error | None:
        """Why somebody who may come in has to wait, or to stay away."""
        if known is None and len(self._ledger.let_in.credentials) >= _MOST_BOXES:
            text = f"{_MOST_BOXES} boxes have joined; fleet revoke those that are gone"
            return Error("TokenUsedUp", text)
        if not self._let_in_now.take(token_id, time.monotonic()):
            return Error("TryAgain", "very many boxes join at once; this one's turn comes")
        return None

    async def _let_in(
        self,
        asked: JoinRequest,
        token: KeptToken,
        box: str,
        by: str,
        name: str | None,
        *,
        counts: bool,
    ) -> None:
        """Raises: BadStore, CannotAccount."""
        at = datetime.now(UTC)
        given = new_credential(asked.station, at)
        sealed = seal(asked.public_key, encode(given))
        kept = KeptCredential(asked.station, asked.public_key, at, given.ends, token.id)
        used = [evolve(token, used=token.used + 1)] if counts else []
        text = f"joined with token {token.id}, as {asked.hostname}"
        deeds = [Deed(at, "access", by, text, asked.station)] if counts else []
        await self._ledger.let_in.change_access(AccessChange(used, credentials=[kept], deeds=deeds))
        await self._place(asked.station, token.room, name)
        await self._accounts.put_stations([StationAccount(asked.station, given.password)])
        self._waiting.forget(asked.public_key)
        log.info("%s is let in as station %s", asked.hostname, asked.station)
        await self._say(token.id, box, JoinAnswer(sealed=sealed))

    async def _place(self, station: str, room: str | None, name: str | None) -> None:
        """Have it in its room and called so, unless a conference file said otherwise."""
        async with self._ledger.writing:
            facts = self._ledger[station].facts
            there = evolve(facts, room=facts.room or room, name=name or facts.name)
            if there != facts:
                await self._ledger.write([], [(station, there)])

    def _look_at(self, name: str | None, station: str) -> None:
        if name is None:
            return
        if not is_name(name):
            raise InvalidArguments(f"{name!r} cannot name a station")
        if name != station and (name in self._ledger or name in self._ledger.let_in.credentials):
            raise InvalidArguments(f"{name} is the id of another box: call this one something else")
        taken = [
            id_
            for id_ in self._ledger
            if self._ledger[id_].facts.name == name and not self._ledger[id_].retired
        ]
        if any(one != station for one in taken):
            raise InvalidArguments(
                f"another box is called {name} ({taken[0]}); to have this one take its place, let "
                "it in without --name, and give the conference file its id"
            )

    async def _say(self, token: str, box: str, answer: JoinAnswer) -> None:
        if self._link is None:
            return  # it asks again
        try:
            await self._link.publish(self._topics.join(token, "reply", box), encode(answer))
        except (Disconnected, Refused) as error:
            log.warning("a box that asks to join hears no answer: %s", error)

    def _fingerprint(self) -> bytes:
        """Raises: CommandFailed."""
        if self._ca_file is None:
            raise CommandFailed(
                "a token proves the authority of the broker's certificate, and the manager knows "
                "none: name it with ca_file in manager.toml"
            )
        import ssl

        try:
            pem = Path(self._ca_file).read_text()
            return fingerprint(ssl.PEM_cert_to_DER_cert(pem.strip()))
        except (OSError, ValueError) as error:
            raise CommandFailed(f"the authority's file cannot be read: {plain(error)}") from None


def _secret_of(settings: ManagerSettings) -> bytes:
    """What nobody knows who cannot do all that the manager does, and is the same after a restart.

    Raises: BadSettings.
    """
    password = first_line(settings.password_file)
    given = secrets.token_bytes(32) if password is None else password.encode()
    return hmac.digest(given, b"codes of boxes that wait", "sha256")
