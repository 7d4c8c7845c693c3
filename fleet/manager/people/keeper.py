"""Keeps the list of people, and judges by it who may do what.

While nobody is in it, everybody whom the broker lets ask is an admin, or one alone whom the
settings name: a store that is lost makes nobody more than they were. Whoever puts the first one
into it is in it too, so that there always is an admin.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from fleet.manager.people.passwords import BadPassword, PasswordWork, TooBusy, checked
from fleet.manager.people.rights import BadRights, Reach, Rights, least, reach
from fleet.manager.store import Deed, KeptPerson, PeopleChange
from fleet.manager.store.let_in import LetIn
from fleet.model import (
    NAME_RULE,
    CommandFailed,
    Forbidden,
    InvalidArguments,
    is_name,
    natural,
)
from fleet.sealed import BoxKey, CannotUnseal
from fleet.station import OF_MANAGER
from fleet.strict import close_match

log = logging.getLogger(__name__)

MOST: Final = 2000
"""People in the list."""
_ANYBODY: Final = "anonymous"
"""Who asks a broker that wants no name."""
_NOBODYS: Final = frozenset({"manager", _ANYBODY})
_ADMIN: Final = Rights(Reach.ADMIN)

Touched = Callable[[], Collection[str | None]]
"""Works out the rooms that are touched; None is what is in no room."""


class CannotAccount(Exception):
    """The broker does not take what was changed; the text says why."""


class BrokerPeople(Protocol):
    """Has the broker know the people too."""

    async def put_person(self, name: str, rights: Rights, password: str | None) -> None:
        """Let them in with these rights; None keeps the password. Raises `CannotAccount`."""

    async def remove_person(self, name: str) -> bool:
        """Cut them off; whether it knew them. Raises `CannotAccount`."""


class People:
    """The list. `is_station`: whether a name is that of a box; `accounts`: the broker's own list,
    None where people are let in by files that somebody edits there; `login`: what people type to
    be known from then on, except for their name; `admin`: who alone may begin the list, None for
    everybody whom the broker lets ask; `reached_at`: where others reach the page that it shows to
    everybody while the list is empty; `own`: the manager's own user at a broker whose accounts it
    keeps, by which an admin comes back who has lost their password.
    """

    def __init__(
        self,
        let_in: LetIn,
        is_station: Callable[[str], bool],
        accounts: BrokerPeople | None = None,
        login: str | None = None,
        admin: str | None = None,
        reached_at: str | None = None,
        own: str | None = None,
    ) -> None:
        self._let_in = let_in
        self._is_station = is_station
        self._accounts = accounts
        self._login = login
        self._admin = admin
        self._reached_at = reached_at
        self._own = own
        self._key = BoxKey.new()
        self._changing = asyncio.Lock()
        self._work = PasswordWork()

    @property
    def begun(self) -> bool:
        """Whether anybody is in the list."""
        return bool(self._let_in.people)

    @property
    def known(self) -> bool:
        """Whether the list was read."""
        return self._let_in.was_read

    @property
    def everybody(self) -> Sequence[KeptPerson]:
        """All in the list, by name."""
        return sorted(self._let_in.people.values(), key=lambda one: natural(one.name))

    @property
    def open_at(self) -> str | None:
        """Where the page shows everything to whoever reaches it; None where it does not."""
        return None if self.begun else self._reached_at

    @property
    def at_broker(self) -> bool:
        """Whether the broker has the list too."""
        return self._accounts is not None

    @property
    def key(self) -> str:
        """What a password is sealed with on its way here."""
        return self._key.public

    def rights_of(self, name: str) -> Rights | None:
        """What somebody may do; None for who is not in the list."""
        if self._own is not None and name == self._own:
            return _ADMIN
        if not self.begun:
            return _ADMIN if self._admin in (None, name) else None
        one = self._let_in.people.get(name)
        try:
            return Rights.parse(one.rights) if one else None
        except BadRights as error:
            log.error("the rights of %s are garbled in the store: %s", name, error)
            return None

    def admins(self) -> list[str]:
        """Who can say who may do what."""
        return [one.name for one in self.everybody if self.rights_of(one.name) == _ADMIN]

    def let_in(self, caller: str) -> Rights:
        """What the caller may do.

        Raises:
            Forbidden: they are not in the list.
        """
        rights = self.rights_of(caller)
        if rights is None:
            raise Forbidden(
                f"{caller} is not in the list of people; {self._who()} can change that: "
                f"fleet user add {caller} --rights viewer"
            )
        return rights

    def allow(self, caller: str, operation: str, asked: Any, touched: Touched) -> None:
        """Let the caller do it.

        Raises:
            Forbidden: their rights are not enough.
            InvalidArguments: there is no such room or station.
        """
        rights = self.let_in(caller)
        needed = reach(operation, caller, asked)
        if rights.allow(needed):
            return
        rooms = touched() if needed is Reach.ROOM else ()
        if rights.allow(needed, rooms):
            return
        enough = least(needed, rooms)
        both = Rights(enough.most, enough.rooms | rights.rooms if enough.rooms else enough.rooms)
        where = f" in {', '.join(sorted(one or 'no room' for one in rooms))}" if rooms else ""
        raise Forbidden(
            f"{caller} may not do that{where}: it wants the rights {enough}, and {caller} has "
            f"{rights}; {self._who()} can change that: fleet user add {caller} --rights {both}"
        )

    def _who(self) -> str:
        admins = self.admins() or list(filter(None, [self._admin]))
        more = f" or {len(admins) - 3} more" if len(admins) > 3 else ""
        return " or ".join(admins[:3]) + more or "nobody that is left"

    def unsealed(self, password: str) -> str:
        """A password that was sealed with `key`.

        Raises:
            InvalidArguments: it was not, or cannot be used.
        """
        try:
            return checked(self._key.unseal(password).decode())
        except (CannotUnseal, UnicodeDecodeError):
            raise InvalidArguments(
                "the password was not sealed to this manager, which may have been restarted "
                "meanwhile; say it once more"
            ) from None
        except BadPassword as error:
            raise InvalidArguments(str(error)) from None

    async def check(self, name: str, password: str) -> bool:
        """Whether it is the password of somebody in the list; takes as long where it is not.

        Raises:
            TooBusy: too many ask at the same time.
        """
        one = self._let_in.people.get(name)
        kept = one.password if one else None
        fits = await self._work.fits(password, kept)
        # Whoever changed it meanwhile has signed everybody else out.
        now = self._let_in.people.get(name)
        return fits and now is not None and now.password == kept

    async def add(self, caller: str, name: str, rights: Rights, password: str | None) -> list[str]:
        """Put somebody into the list, or give them other rights; what the caller should know.

        Raises:
            InvalidArguments: the name cannot be used, or there would be no admin.
            BadStore: it could not be written; nothing has changed.
            CommandFailed: it is written, and the broker does not know it.
        """
        async with self._changing:
            return await self._add(caller, name, rights, password)

    async def _add(self, caller: str, name: str, rights: Rights, password: str | None) -> list[str]:
        before = self._let_in.people.get(name)
        if before is None:
            self._look_at(name)
        at = datetime.now(UTC)
        kept = (
            await self._hashed(password)
            if password is not None
            else (before.password if before else None)
        )
        put = [KeptPerson(name, str(rights), kept, at, caller)]
        notes, deeds = [], [Deed(at, "user", caller, _said(name, before, rights, password))]
        if not self.begun and caller not in (name, self._own):
            put.append(KeptPerson(caller, str(_ADMIN), None, at, caller))
            deeds.append(Deed(at, "user", caller, f"{caller} is admin, who begins the list"))
            notes.append(_begun(caller))
        self._keep_an_admin({one.name: one for one in put})
        out = [name] if password is not None else []
        await self._let_in.change_people(PeopleChange(put, [], out, deeds))
        for one in deeds:
            log.info("%s: %s", caller, one.text)
        await self._at_broker(name, rights, password, notes)
        if before is None and self._login is not None:
            notes.append(f"on their computer they type: {self._login} --name {name}")
        return notes

    async def passwd(self, caller: str, name: str, password: str) -> list[str]:
        """Give somebody another password, which signs them out everywhere; as `add`.

        Whoever gives themself one while nobody is in the list is its first, an admin.
        """
        async with self._changing:
            return await self._passwd(caller, name, password)

    async def _passwd(self, caller: str, name: str, password: str) -> list[str]:
        if not self.begun and caller == name:
            return await self._add(caller, name, _ADMIN, password)
        before = self._find(name)
        rights = Rights.parse(before.rights)
        at, kept = datetime.now(UTC), await self._hashed(password)
        put = [KeptPerson(name, before.rights, kept, at, caller)]
        deeds = [Deed(at, "user", caller, f"{name} has another password")]
        await self._let_in.change_people(PeopleChange(put, [], [name], deeds))
        log.info("%s: %s", caller, deeds[0].text)
        notes: list[str] = []
        await self._at_broker(name, rights, password, notes)
        return notes

    async def remove(self, caller: str, name: str) -> list[str]:
        """Take somebody off the list, who is signed out at once; as `add`."""
        async with self._changing:
            return await self._remove(caller, name)

    async def _remove(self, caller: str, name: str) -> list[str]:
        if name not in self._let_in.people and await self._lingers(name):
            deed = Deed(datetime.now(UTC), "user", caller, f"{name} is removed at the broker")
            await self._let_in.change_people(PeopleChange([], [], [name], [deed]))
            log.info("%s: %s", caller, deed.text)
            return [f"{name} was not in the list; the broker let them in, and does no more"]
        before = self._find(name)
        self._keep_an_admin({}, name)
        deeds = [Deed(datetime.now(UTC), "user", caller, f"{name} is removed, was {before.rights}")]
        await self._let_in.change_people(PeopleChange([], [name], [name], deeds))
        log.info("%s: %s", caller, deeds[0].text)
        if self._accounts is None:
            return [_by_hand(f"mosquitto_passwd -D /etc/mosquitto/operators.passwd {name}")]
        try:
            await self._accounts.remove_person(name)
        except CannotAccount as error:
            raise CommandFailed(
                f"{name} is off the list and may do nothing any more, but the broker still lets "
                f"them in: {error}; once that is mended: fleet user remove {name}"
            ) from None
        return []

    async def _lingers(self, name: str) -> bool:
        """Whether the broker knew somebody of whom the list, put back from a copy, knows nothing;
        they are cut off."""
        if self._accounts is None or not is_name(name) or name in (*_NOBODYS, self._own):
            return False
        if not self.begun and name == self._admin:
            return False
        try:
            return await self._accounts.remove_person(name)
        except CannotAccount as error:
            raise CommandFailed(
                f"{name} is not in the list, and whether the broker lets them in is not known: "
                f"{error}"
            ) from None

    async def _at_broker(
        self, name: str, rights: Rights, password: str | None, notes: list[str]
    ) -> None:
        if self._accounts is None:
            if password is not None:
                line = f"mosquitto_passwd /etc/mosquitto/operators.passwd {name}"
                notes.append(_by_hand(line))
            return
        try:
            await self._accounts.put_person(name, rights, password)
        except CannotAccount as error:
            raise CommandFailed(
                f"{name} is in the list, so the page lets them in, but the broker does not know "
                f"it: {error}; once that is mended: fleet user passwd {name}"
            ) from None

    def _find(self, name: str) -> KeptPerson:
        try:
            return self._let_in.people[name]
        except KeyError:
            names = list(self._let_in.people)
            hint = close_match(name, names) or "; fleet user list shows who is"
            raise InvalidArguments(f"{name!r} is not in the list of people{hint}") from None

    def _look_at(self, name: str) -> None:
        people = self._let_in.people
        twin = next((one for one in people if one.casefold() == name.casefold()), None)
        if not is_name(name):
            raise InvalidArguments(f"{name!r} cannot name a person: expected {NAME_RULE}")
        if twin is not None:
            raise InvalidArguments(f"{twin!r} is in the list; two such names would be mistaken")
        if name in (*_NOBODYS, self._own) or name.startswith(OF_MANAGER):
            raise InvalidArguments(f"{name!r} cannot name a person: the manager uses it itself")
        if self._is_station(name):
            raise InvalidArguments(f"{name!r} cannot name a person: it is the id of a station")
        if len(people) >= MOST:
            raise InvalidArguments(f"there are {MOST} people in the list, and no room for more")

    def _keep_an_admin(self, put: dict[str, KeptPerson], gone: str | None = None) -> None:
        after = {name: one.rights for name, one in self._let_in.people.items() if name != gone}
        after |= {name: one.rights for name, one in put.items()}
        if str(_ADMIN) not in after.values():
            raise InvalidArguments(
                "nobody would be left who can say who may do what; make somebody else an admin "
                "first: fleet user add NAME --rights admin"
            )

    async def _hashed(self, password: str) -> str:
        try:
            return await self._work.hashed(password)
        except TooBusy as error:
            raise CommandFailed(str(error)) from None


def _said(name: str, before: KeptPerson | None, rights: Rights, password: str | None) -> str:
    text = f"{name} is {rights}"
    if before is not None and before.rights != str(rights):
        text += f", was {before.rights}"
    return text + (", with another password" if before and password is not None else "")


def _by_hand(line: str) -> str:
    return (
        "this broker's list of people is a file, so tell it too: "
        f"{line} && systemctl reload mosquitto"
    )


def _begun(caller: str) -> str:
    if caller == _ANYBODY:
        return (
            "this broker does not check names, so over MQTT everybody stays an admin: "
            f"{_ANYBODY} is in the list too; the page does check them"
        )
    return (
        f"the list begins, so {caller} is in it, as an admin; fleet user passwd {caller} gives a "
        "password for the page"
    )
