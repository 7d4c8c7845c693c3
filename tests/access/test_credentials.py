"""A credential that has ended lets nobody in, from that moment on and over a manager's restart."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from fleet.joining import StationCredential
from fleet.manager.access.credentials import StationCredentials
from fleet.manager.asking import NoAnswer
from fleet.manager.people.keeper import CannotAccount
from fleet.manager.store import AccessChange, KeptCredential
from fleet.model import Reply
from fleet.sealed import BoxKey
from fleet.wire import decode
from tests.processes import until

END = datetime(2026, 2, 1, 10, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)


class Rig:
    """Two stations whose credentials end at `END`, a broker and a store that only note."""

    def __init__(self) -> None:
        self.keys = {id_: BoxKey.new() for id_ in ("b1", "b2")}
        kept = {
            id_: KeptCredential(id_, key.public, END - timedelta(days=365), END, "t")
            for id_, key in self.keys.items()
        }
        self.let_in = SimpleNamespace(credentials=kept, change_access=self._write)
        self.online: set[str] = set()
        self.answers = True
        self.accounts: dict[str, str | None] = {"b1": "old", "b2": "old"}
        self.broken = False
        self.there = asyncio.Event()
        self.of = self.anew()

    def anew(self) -> StationCredentials:
        """As after a manager's restart."""
        let_in: Any = self.let_in
        me: Any = self
        return StationCredentials(
            let_in, me, me, asyncio.Lock(), self.online.__contains__, self.there
        )

    async def _write(self, change: AccessChange) -> None:
        self.let_in.credentials |= {one.station: one for one in change.credentials}

    async def remove_station(self, station: str) -> None:
        if self.broken:
            raise CannotAccount("the broker gave no answer")
        self.accounts[station] = None

    async def set_password(self, name: str, password: str) -> None:
        self.accounts[name.removeprefix("station:")] = password

    async def ask(self, station: str, role: str, command: str, said: Any, *more: Any) -> Reply:
        if not self.answers:
            raise NoAnswer("it gave no answer")
        given = decode(self.keys[station].unseal(said["sealed"]), StationCredential)
        return Reply({"ends": given.ends}, None)


async def test_who_is_away_is_cut_off_at_that_moment_and_not_before() -> None:
    rig = Rig()
    await rig.of.cut_off(END - MOMENT)
    assert rig.accounts == {"b1": "old", "b2": "old"}
    rig.broken = True
    await rig.of.cut_off(END)
    rig.broken = False
    await rig.of.cut_off(END)
    assert rig.accounts == {"b1": None, "b2": None}
    # A box that has joined again since is not cut off by what was over.
    rig.accounts["b1"] = "joined anew"
    await rig.of.cut_off(END + MOMENT)
    assert rig.accounts == {"b1": "joined anew", "b2": None}
    await rig.anew().cut_off(END + MOMENT)  # nobody knows what an earlier manager did
    assert rig.accounts == {"b1": None, "b2": None}


@pytest.mark.parametrize("answers", [True, False])
async def test_who_is_there_has_another_at_once_or_is_cut_off(answers: bool) -> None:
    rig = Rig()
    rig.online.add("b1")
    rig.answers = answers
    await rig.of.cut_off(END)
    assert rig.accounts["b2"] is None
    if answers:
        assert rig.accounts["b1"] not in (None, "old")
        assert rig.let_in.credentials["b1"].ends > END
    else:
        assert rig.accounts["b1"] is None


async def test_a_manager_that_begins_looks_as_soon_as_it_knows_who_is_there() -> None:
    rig = Rig()
    task = asyncio.create_task(rig.of.end())
    for _ in range(5):
        await asyncio.sleep(0)
    assert rig.accounts == {"b1": "old", "b2": "old"}, "it does not know yet who is there"
    rig.there.set()
    await until(lambda: set(rig.accounts.values()) == {None}, what="both to be cut off")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
