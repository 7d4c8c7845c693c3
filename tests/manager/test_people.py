"""The list of people: who begins it, who is left, and what is told of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.manager.people import passwords
from fleet.manager.people.keeper import CannotAccount, People
from fleet.manager.people.passwords import TooBusy
from fleet.manager.people.rights import Reach, Rights
from fleet.manager.store import ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.model import CommandFailed, Forbidden, InvalidArguments

SAID = "korrekt-pferd"
ADMIN, VIEWER = Rights(Reach.ADMIN), Rights(Reach.READ)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess costs nothing here."""
    monkeypatch.setattr(passwords, "_N", 2)


@pytest.fixture
async def ledger(tmp_path: Path, new_store: Path) -> AsyncIterator[Ledger]:
    shutil.copy(new_store, tmp_path)
    found = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    yield found
    await found.close()


class Accounts:
    """A broker's own list; `refuses`: why it takes nothing."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str | None]] = []
        self.refuses: str | None = None

    async def put_person(self, name: str, rights: Rights, password: str | None) -> None:
        if self.refuses:
            raise CannotAccount(self.refuses)
        self.told.append((name, str(rights), password))

    async def remove_person(self, name: str) -> bool:
        if self.refuses:
            raise CannotAccount(self.refuses)
        self.told.append((name, "", None))
        return name != "nobody"


async def test_where_the_settings_name_an_admin_nobody_else_begins_the_list(
    ledger: Ledger,
) -> None:
    people = People(ledger.let_in, lambda _: False, admin="ann")
    with pytest.raises(Forbidden, match="ann can change that"):
        people.let_in("viewer-whose-store-was-lost")
    assert people.let_in("ann") == ADMIN
    await people.add("ann", "bob", VIEWER, SAID)
    assert [(one.name, one.rights) for one in people.everybody] == [
        ("ann", "admin"),
        ("bob", "viewer"),
    ]


@pytest.mark.parametrize(
    ("caller", "said"),
    [("ann", "ann is in it, as an admin"), ("anonymous", "everybody stays an admin")],
)
async def test_who_begins_the_list_is_in_it_and_told_what_that_means(
    ledger: Ledger, caller: str, said: str
) -> None:
    people = People(ledger.let_in, lambda _: False)
    notes = await people.add(caller, "bob", VIEWER, SAID)
    assert [one for one in notes if said in one]
    assert people.admins() == [caller]


async def test_the_last_admin_stays_however_they_would_go(ledger: Ledger) -> None:
    people = People(ledger.let_in, lambda _: False)
    await people.add("ann", "ann", ADMIN, SAID)
    for change in (people.remove("ann", "ann"), people.add("ann", "ann", VIEWER, None)):
        with pytest.raises(InvalidArguments, match="nobody would be left"):
            await change
    await people.add("ann", "bob", ADMIN, SAID)
    both = await asyncio.gather(
        people.remove("bob", "ann"), people.remove("ann", "bob"), return_exceptions=True
    )
    assert sum(isinstance(one, InvalidArguments) for one in both) == 1
    assert len(people.admins()) == 1


async def test_what_the_broker_does_not_take_is_said_with_how_to_mend_it(ledger: Ledger) -> None:
    accounts = Accounts()
    people = People(ledger.let_in, lambda _: False, accounts, "fleet login mqtts://h")
    notes = await people.add("ann", "bob", VIEWER, SAID)
    assert "on their computer they type: fleet login mqtts://h --name bob" in notes
    assert accounts.told == [("bob", "viewer", SAID)]
    accounts.refuses = "the broker gave no answer"
    with pytest.raises(CommandFailed, match="gave no answer; once that is mended: fleet user"):
        await people.passwd("ann", "bob", "another-one")
    with pytest.raises(CommandFailed, match="still lets them in: the broker gave no answer"):
        await people.remove("ann", "bob")
    with pytest.raises(Forbidden):
        people.let_in("bob")
    # The list is of before they came, or the broker did not hear it: asked again, they are cut off.
    with pytest.raises(CommandFailed, match="whether the broker lets them in is not known"):
        await people.remove("ann", "bob")
    accounts.refuses = None
    assert await people.remove("ann", "bob") == [
        "bob was not in the list; the broker let them in, and does no more"
    ]
    assert accounts.told[-1] == ("bob", "", None)
    with pytest.raises(InvalidArguments, match="'nobody' is not in the list"):
        await people.remove("ann", "nobody")
    people = People(ledger.let_in, lambda _: False, accounts, own="fleet")
    told = len(accounts.told)
    for name in ("manager", "fleet", "station:b2"):
        with pytest.raises(InvalidArguments, match="is not in the list"):
            await people.remove("ann", name)
    assert len(accounts.told) == told


async def test_a_garbled_row_gives_no_rights(ledger: Ledger) -> None:
    people = People(ledger.let_in, lambda _: False)
    await people.add("ann", "bob", VIEWER, SAID)
    one = ledger.let_in.people["bob"]
    ledger.let_in.people["bob"] = type(one)("bob", "adm\x00n", "scrypt$x", one.at, one.by)
    with pytest.raises(Forbidden):
        people.let_in("bob")
    assert not await people.check("bob", SAID)


async def test_no_more_passwords_are_looked_at_than_the_machine_bears(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    now = 0
    looked = passwords.is_it

    def look(password: str, kept: str) -> bool:
        nonlocal now
        now += 1
        at_once.append(now)
        found = looked(password, kept)
        now -= 1
        return found

    monkeypatch.setattr(passwords, "is_it", look)
    people = People(ledger.let_in, lambda _: False)
    await people.add("ann", "ann", ADMIN, SAID)
    await people.check("ann", SAID)
    tries = [people.check("ann", SAID) for _ in range(30)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert max(at_once) <= 2
    assert sum(one is True for one in found) == 20
    assert sum(isinstance(one, TooBusy) for one in found) == 10
