"""Tokens that are raced, replayed and flooded with: a real store, a broker that only notes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from fleet.joining import JoinAnswer, JoinRequest, StationCredential
from fleet.manager.access import joining as module
from fleet.manager.access.broker import StationAccount
from fleet.manager.access.joining import Joining
from fleet.manager.conference.wanted import Facts
from fleet.manager.settings import ManagerSettings
from fleet.manager.stations.allowances import Allowances
from fleet.manager.store import AccessChange, KeptToken, ManagerStore
from fleet.manager.store.ledger import Ledger
from fleet.model import InvalidArguments
from fleet.mqtt import Message
from fleet.sealed import BoxKey
from fleet.topics import Address, Topics
from fleet.wire import decode, encode
from tests.processes import until

TOPICS = Topics()
AT = datetime.now(UTC)


@define
class Box:
    """A box that asks; `answers`: all that it was told."""

    station: str
    key: BoxKey = field(factory=BoxKey.new)
    answers: list[JoinAnswer] = field(factory=list)

    def asks(self) -> JoinRequest:
        proofs = [it.challenge for it in self.answers if it.challenge is not None]
        proof = self.key.unseal(proofs[-1]).decode() if proofs else None
        return JoinRequest(self.station, self.station, None, (), "1", self.key.public, proof)

    async def told(self, times: int) -> None:
        await until(lambda: len(self.answers) >= times, what="an answer")

    @property
    def given(self) -> list[str]:
        """The passwords that it was sealed."""
        sealed = [it.sealed for it in self.answers if it.sealed is not None]
        return [decode(self.key.unseal(one), StationCredential).password for one in sealed]

    @property
    def errors(self) -> list[str]:
        return [it.error.type for it in self.answers if it.error is not None]

    @property
    def code(self) -> str:
        return next(it.code for it in reversed(self.answers) if it.code)


class Desk:
    """Who lets boxes in, with a manager's store; the broker's accounts are what it was told."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.boxes: dict[str, Box] = {}
        self.accounts: dict[str, str] = {}
        me: Any = self
        self.joining = Joining(TOPICS, ledger, me, me, lambda _: False, ManagerSettings())
        self.joining.connect(me)

    async def publish(self, topic: str, payload: bytes) -> None:
        box = topic.rpartition("/")[2]
        self.boxes[box].answers.append(decode(payload, JoinAnswer))

    async def put_stations(self, accounts: Iterable[StationAccount]) -> None:
        await asyncio.sleep(0)  # as a broker, which others get a word in before
        self.accounts |= {one.station: one.password for one in accounts}

    async def token(self, id_: str, **more: Any) -> None:
        kept = KeptToken(id_, AT + timedelta(hours=1), None, 0, None, False, AT, "ann")
        await self.ledger.let_in.change_access(AccessChange([evolve(kept, **more)]))

    def asks(self, box: str, token: str, asked: JoinRequest | None = None) -> None:
        payload = encode(asked or self.boxes[box].asks())
        self.joining.received(
            Address(None, "join-request", (token, box)), Message("t", payload, False)
        )

    async def ask(self, token: str, *boxes: str) -> None:
        """Have them ask at once; each twice, because a key is proven."""
        for _ in range(2):
            wanted = {box: len(self.boxes[box].answers) + 1 for box in boxes}
            for box in boxes:
                self.asks(box, token)
            for box in boxes:
                await self.boxes[box].told(wanted[box])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    ledger = await Ledger.open(lambda: ManagerStore.in_directory(tmp_path))
    found = Desk(ledger)
    work = asyncio.create_task(found.joining.answer())
    yield found
    work.cancel()
    await ledger.close()


async def test_of_two_boxes_that_race_for_one_use_one_is_let_in(desk: Desk) -> None:
    desk.boxes = {"x": Box("b1"), "y": Box("b2")}
    await desk.token("t1", uses=1)
    await desk.ask("t1", "x", "y")
    assert list(desk.accounts) == ["b1"]
    assert (desk.boxes["x"].given, desk.boxes["y"].errors) == (
        [desk.accounts["b1"]],
        ["TokenUsedUp"],
    )


async def test_of_two_people_who_say_yes_at_once_to_one_use_one_is_heard(desk: Desk) -> None:
    desk.boxes = {"x": Box("b1"), "y": Box("b2")}
    await desk.token("t1", uses=1, approve=True)
    await desk.ask("t1", "x", "y")
    codes = [desk.boxes[it].code for it in "xyx"]
    await desk.ledger.write([], [("b9", Facts("cam"))])
    for name, why in (("b9", "is the id of another box"), ("cam", "another box is called cam")):
        with pytest.raises(InvalidArguments, match=why):
            await desk.joining.approve("ann", codes[0], name)
    done = await asyncio.gather(
        *(desk.joining.approve("ann", code, None) for code in codes), return_exceptions=True
    )
    assert len(desk.accounts) == 1
    assert [isinstance(one, Exception) for one in done] == [False, True, True]
    with pytest.raises(InvalidArguments, match="no box shows"):
        await desk.joining.approve("ann", codes[0], None)


async def test_what_a_box_proved_is_of_no_use_to_another(desk: Desk) -> None:
    desk.boxes = {"x": Box("b1"), "y": Box("b2")}
    await desk.token("t1")
    await desk.ask("t1", "x")
    proven = desk.boxes["x"].asks()
    password = desk.accounts["b1"]
    for asked in (proven, evolve(proven, public_key=desk.boxes["y"].key.public)):
        wanted = len(desk.boxes["y"].answers) + 1
        desk.asks("y", "t1", asked)
        await desk.boxes["y"].told(wanted)
    assert all(it.challenge for it in desk.boxes["y"].answers), "it has to prove its own key"
    assert desk.accounts == {"b1": password}


async def test_who_floods_with_a_token_is_let_in_seldom_and_keeps_no_other_out(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.joining._let_in_now = Allowances(3, 0.0)
    desk.boxes = {f"x{n}": Box(f"b{n}") for n in range(6)} | {"y": Box("c1"), "z": Box("c2")}
    await desk.token("t1")
    await desk.token("t2")
    await desk.ask("t1", *(f"x{n}" for n in range(6)))
    assert sorted(desk.accounts) == ["b0", "b1", "b2"]
    assert desk.boxes["x5"].errors == ["TryAgain"]
    await desk.ask("t2", "y")
    assert "c1" in desk.accounts
    monkeypatch.setattr(module, "_MOST_BOXES", 4)
    await desk.ask("t2", "z")
    assert desk.boxes["z"].errors == ["TokenUsedUp"]
    for n in range(1000):  # names are without end; what is asked with one token is not
        desk.asks(f"n{n}", "t1", desk.boxes["y"].asks())
    assert len(desk.joining._asked) < 250
