"""Lets boxes in: tokens, who asks and is waiting, what each is given, and until when that lasts.

The decision is `judge`, pure. What is promised is in the store before the broker knows it, and a
box asks until it has it: so whatever breaks in between is healed by its next word.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from fleet.joining import (
    ASK_AGAIN,
    MAX_ASKED,
    JoinAnswer,
    JoinRequest,
    JoinToken,
    StationCredential,
    fingerprint,
    station_user,
)
from fleet.manager.access.broker import BrokerAccounts, StationAccount
from fleet.manager.asking import NoAnswer, StationAsker
from fleet.manager.findings import waiting_finding
from fleet.manager.people.keeper import CannotAccount
from fleet.manager.settings import ManagerSettings
from fleet.manager.stations.allowances import Allowances
from fleet.manager.store import AccessChange, BadStore, Deed, KeptCredential, KeptToken
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, Error, InvalidArguments, Refusal, is_name
from fleet.mqtt import Disconnected, Filter, Link, Message, Refused
from fleet.operations import HealthFinding, WaitingBox
from fleet.sealed import BadKey, seal
from fleet.topics import Address, Topics
from fleet.wire import Undecodable, decode, encode

log = logging.getLogger(__name__)

LASTS: Final = timedelta(days=365)
"""How long a credential lets a station in."""
RENEWED_BEFORE: Final = timedelta(days=30)
"""One that ends within that time is renewed by itself."""
_ALPHABET: Final = "ACDEFGHJKMNPQRTWXY"
"""Of codes: no letter that is taken for another or for a digit."""
_CODE: Final = 8
_MOST_WAITING: Final = 500
_MOST_ASKED: Final = 500
_MOST_TOKENS: Final = 200
_FORGOTTEN: Final = 3 * ASK_AGAIN
_TICK: Final = 30.0
_AT_LEAST: Final = 0.5
"""Seconds between two looks at what is over."""
_ROTATE_SECONDS: Final = 10.0
_AGAIN: Final = 3600.0
"""Seconds between two tries to renew a credential by itself."""
_SETTLED: Final = 600.0
"""Seconds with a broker after which a station that is well is there."""
_BURST, _PER_SECOND = 200.0, 20.0
"""What is asked with one token."""


@frozen
class JoinRefusal:
    """Why a box is not let in."""

    error: Error


@frozen
class JoinWaits:
    """Somebody has to say yes."""


@frozen
class JoinGrant:
    """It is let in. `counts`: whether that is one more use of the token."""

    counts: bool


def judge(
    asked: JoinRequest, token: KeptToken, known: KeptCredential | None, at: datetime, approved: bool
) -> JoinRefusal | JoinWaits | JoinGrant:
    """What becomes of a box that asks with this token; `known`: what its id has already."""
    if at >= token.until:
        return _refused("TokenExpired", "the token has expired; fleet token prints another line")
    if known is not None and known.public_key != asked.public_key:
        return _refused(
            "IdTaken",
            f"the id {asked.station} is another box's, which joined before. If this box takes its "
            f"place, or was set up anew: fleet revoke {asked.station}, then join again; else give "
            "this one its own: fleet-agent join … --station ID",
        )
    if known is not None and known.token == token.id:
        return JoinGrant(counts=False)  # the answer was lost
    if token.uses is not None and token.used >= token.uses:
        return _refused(
            "TokenUsedUp",
            f"the token has let in {token.used} of {token.uses} boxes; fleet token prints another "
            "line",
        )
    if token.approve and not approved:
        return JoinWaits()
    return JoinGrant(counts=True)


def _refused(kind: str, message: str) -> JoinRefusal:
    return JoinRefusal(Error(kind, message))


@frozen
class _Waiting:
    code: str
    asked: JoinRequest
    token: str
    box: str
    since: datetime
    heard: float


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
        self._asker = asker
        self._is_online = is_online
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
        self._waiting: dict[str, _Waiting] = {}
        """By the box's public key."""
        self._turn = asyncio.Lock()
        """Held while somebody is let in or cut off."""
        self._allowances = Allowances(_BURST, _PER_SECOND)
        self._tried: dict[str, float] = {}
        self._cut: set[str] = set()
        self._connected = 0.0

    @property
    def filters(self) -> list[Filter]:
        """What to subscribe to; strangers ask there."""
        return [Filter(self._topics.join("+", "request", "+"), bare=True)]

    def connect(self, link: Link) -> None:
        """From now on boxes are answered."""
        self._link, self._connected = link, time.monotonic()
        self._there.set()

    def disconnect(self) -> None:
        """Nobody can be answered."""
        self._link = None
        self._there.clear()

    def received(self, address: Address, message: Message) -> None:
        """Hand every request here."""
        token, box = address.rest
        if token not in self._ledger.tokens or len(message.payload) > MAX_ASKED:
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
        """Let end for ever what is over, and renew what ends soon."""
        while True:
            try:
                await self._tidy(datetime.now(UTC))
            except (BadStore, CannotAccount) as error:
                log.warning("what is over of tokens and credentials stays for now: %s", error)
            self._made.clear()
            now = datetime.now(UTC)
            left = [(one.until - now).total_seconds() for one in self._ledger.tokens.values()]
            with suppress(TimeoutError):
                async with asyncio.timeout(max(_AT_LEAST, min([_TICK, *left]))):
                    await self._made.wait()

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
        if len(self._ledger.tokens) >= _MOST_TOKENS:
            raise InvalidArguments(f"there are {_MOST_TOKENS} tokens; some have to expire first")
        if room is not None and not is_name(room):
            raise InvalidArguments(f"{room!r} cannot be the name of a room")
        token = JoinToken.new(self._fingerprint())
        at = datetime.now(UTC)
        kept = KeptToken(token.id, at + timedelta(seconds=seconds), uses, 0, room, approve, at, by)
        boxes = "any number of boxes" if uses is None else f"{uses} of them"
        text = f"token {token.id} for {boxes}"
        async with self._turn:
            await self._ledger.change_access(
                AccessChange([kept], deeds=[Deed(at, "access", by, text)])
            )
            try:
                await self._accounts.put_token(token.id, token.secret)
            except CannotAccount as error:
                await self._ledger.change_access(AccessChange(gone_tokens=[token.id]))
                raise CommandFailed(str(error)) from None
        self._made.set()
        return token, kept

    @property
    def waiting(self) -> list[WaitingBox]:
        """Who waits for somebody's yes, the first to ask first."""
        now = time.monotonic()
        there = [one for one in self._waiting.values() if now - one.heard <= _FORGOTTEN]
        return [
            WaitingBox(
                one.code,
                one.asked.station,
                one.asked.hostname,
                one.asked.mac,
                one.asked.addresses,
                token.room if (token := self._ledger.tokens.get(one.token)) else None,
                one.since,
            )
            for one in sorted(there, key=lambda one: one.since)
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
        plain = "".join(code.upper().split()).replace("-", "")
        async with self._turn:
            box = next((one for one in self.waiting if one.code.replace("-", "") == plain), None)
            if box is None:
                there = ", ".join(one.code for one in self.waiting[:20]) or "nobody waits"
                raise InvalidArguments(
                    f"no box shows the code {code} (there are: {there}); a box has a new one once "
                    "the manager was restarted"
                )
            found = next(one for one in self._waiting.values() if one.code == box.code)
            token = self._ledger.tokens.get(found.token)
            if token is None:
                raise CommandFailed("its token has expired; fleet token prints another line")
            self._look_at(name, box.station)
            verdict = judge(
                found.asked,
                token,
                self._ledger.credentials.get(box.station),
                datetime.now(UTC),
                approved=True,
            )
            if isinstance(verdict, JoinRefusal):
                del self._waiting[found.asked.public_key]
                await self._say(found.token, found.box, JoinAnswer(error=verdict.error))
                raise CommandFailed(verdict.error.message)
            try:
                await self._let_in(found.asked, token, found.box, by, name, counts=True)
            except CannotAccount as error:
                raise CommandFailed(str(error)) from None
            return box

    async def revoke(self, by: str, station: str, name: str) -> None:
        """Cut a station off at once; what it records runs on there.

        Raises:
            CommandFailed: the broker did not do it: the station is still let in.
            BadStore: it is cut off, and that could not be written.
        """
        async with self._turn:
            try:
                await self._accounts.remove_station(station)
            except CannotAccount as error:
                raise CommandFailed(f"{name} is still let in: {error}") from None
            deed = Deed(datetime.now(UTC), "access", by, f"{name} is cut off", station)
            await self._ledger.change_access(AccessChange(gone_credentials=[station], deeds=[deed]))
        log.info("%s cut %s (%s) off", by, name, station)

    async def rotate(self, by: str, station: str) -> datetime:
        """Give a station another credential, and the broker after it; when that ends.

        The station has both until the broker has changed, so that it can come in at any time.

        Raises:
            CommandFailed: it has its old one still; the text says why.
            BadStore: it has the new one, and until when could not be written.
        """
        known = self._ledger.credentials.get(station)
        if known is None:
            raise CommandFailed("it has not joined, so it has no credential of ours")
        at = datetime.now(UTC)
        given = _new_credential(station, at)
        try:
            sealed = seal(known.public_key, encode(given))
            reply = await self._asker.ask(
                station, "station", "credential", {"sealed": sealed}, None, _ROTATE_SECONDS
            )
        except (NoAnswer, BadKey) as error:
            raise CommandFailed(f"it keeps its old one: {error}") from None
        if reply.error is not None:
            raise CommandFailed(f"it keeps its old one: {reply.error.message}")
        async with self._turn:
            if self._ledger.credentials.get(station) != known:
                raise CommandFailed("it was revoked, or joined anew, meanwhile")
            try:
                await self._accounts.set_password(given.username, given.password)
            except CannotAccount as error:
                raise CommandFailed(f"it keeps its old one: {error}") from None
            deed = Deed(at, "access", by, "has another credential", station)
            kept = evolve(known, at=at, ends=given.ends)
            await self._ledger.change_access(AccessChange(credentials=[kept], deeds=[deed]))
        return given.ends

    # What boxes ask.

    async def _answer(self, token_id: str, box: str, payload: bytes) -> None:
        try:
            asked = decode(payload, JoinRequest)
            async with self._turn:
                answer = await self._decide(token_id, box, asked)
        except Undecodable as error:
            answer = JoinAnswer(error=Error("InvalidArguments", f"it cannot be read: {error}"))
        except (BadStore, CannotAccount, BadKey) as error:
            log.error("a box that asked to join cannot be let in: %s", error)
            answer = JoinAnswer(
                error=Error("TryAgain", f"the manager cannot let anybody in just now: {error}")
            )
        if answer is not None:
            await self._say(token_id, box, answer)

    async def _decide(self, token_id: str, box: str, asked: JoinRequest) -> JoinAnswer | None:
        token = self._ledger.tokens.get(token_id)
        if token is None:
            return None
        at, known = datetime.now(UTC), self._ledger.credentials.get(asked.station)
        seal(asked.public_key, b"")  # a key that is none is refused before anybody says yes
        match judge(asked, token, known, at, approved=False):
            case JoinRefusal(error):
                self._waiting.pop(asked.public_key, None)
                return JoinAnswer(error=error)
            case JoinWaits():
                return JoinAnswer(code=self._wait(asked, token_id, box, at))
            case JoinGrant(counts):
                await self._let_in(asked, token, box, token.by, None, counts=counts)
        return None

    def _wait(self, asked: JoinRequest, token: str, box: str, at: datetime) -> str | None:
        now = time.monotonic()
        for key in [k for k, one in self._waiting.items() if now - one.heard > _FORGOTTEN]:
            del self._waiting[key]
        before = self._waiting.get(asked.public_key)
        if before is None:
            if len(self._waiting) >= _MOST_WAITING:
                return None
            log.info("%s asks to join, as station %s", asked.hostname, asked.station)
        code = before.code if before else self._code()
        since = before.since if before else at
        self._waiting[asked.public_key] = _Waiting(code, asked, token, box, since, now)
        return code

    def _code(self) -> str:
        """One that no box shows."""
        taken = {one.code for one in self._waiting.values()}
        while True:
            letters = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE))
            if (code := f"{letters[:4]}-{letters[4:]}") not in taken:
                return code

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
        """Raises: BadStore, CannotAccount, BadKey."""
        at = datetime.now(UTC)
        given = _new_credential(asked.station, at)
        sealed = seal(asked.public_key, encode(given))
        kept = KeptCredential(asked.station, asked.public_key, at, given.ends, token.id)
        used = [evolve(token, used=token.used + 1)] if counts else []
        text = f"joined with token {token.id}, as {asked.hostname}"
        deeds = [Deed(at, "access", by, text, asked.station)] if counts else []
        await self._ledger.change_access(AccessChange(used, credentials=[kept], deeds=deeds))
        await self._place(asked.station, token.room, name)
        await self._accounts.put_stations([StationAccount(asked.station, given.password)])
        self._waiting.pop(asked.public_key, None)
        self._cut.discard(asked.station)
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

    # What ends.

    async def _tidy(self, at: datetime) -> None:
        """Raises: BadStore, CannotAccount."""
        over = [one.id for one in self._ledger.tokens.values() if at >= one.until]
        if over and self._link is not None:
            async with self._turn:
                await self._accounts.remove_tokens(over)
                await self._ledger.change_access(AccessChange(gone_tokens=over))
            for one in over:
                self._allowances.forget(one)
        for station in self._due(at):
            self._tried[station] = time.monotonic()
            try:
                await self.rotate("manager", station)
            except (Refusal, BadStore) as error:
                log.warning("the credential of %s is not renewed yet: %s", station, error)

        await self._cut_off(at)

    async def _cut_off(self, at: datetime) -> None:
        """Let nobody in whose credential has ended; who is there is renewed instead.

        Raises:
            CannotAccount: the broker did not do it.
        """
        if self._link is None or time.monotonic() - self._connected < _SETTLED:
            return  # they may all be on their way
        for one in list(self._ledger.credentials.values()):
            is_over = one.ends <= at and not self._is_online(one.station)
            if is_over and one.station not in self._cut:
                await self._accounts.remove_station(one.station)
                self._cut.add(one.station)
                log.warning("the credential of %s has ended: it is not let in", one.station)

    def _due(self, at: datetime) -> Collection[str]:
        """Stations whose credential ends soon, and was not tried to be renewed lately."""
        now = time.monotonic()
        return [
            one.station
            for one in self._ledger.credentials.values()
            if one.ends - at <= RENEWED_BEFORE
            and now - self._tried.get(one.station, -_AGAIN) >= _AGAIN
        ]

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
            raise CommandFailed(f"the authority's file cannot be read: {error}") from None


def _new_credential(station: str, at: datetime) -> StationCredential:
    password = secrets.token_urlsafe(24)
    return StationCredential(station, station_user(station), password, at + LASTS)
