"""What becomes of a box that asks, as a table; and that the page of the protocol shows it."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from fleet.joining import JoinAnswer, JoinRequest
from fleet.manager.access.credentials import AGAIN, due
from fleet.manager.access.judging import JoinGrant, JoinRefusal, JoinWaits, judge
from fleet.manager.access.waiting import WaitingBoxes
from fleet.manager.store import KeptCredential, KeptToken
from fleet.model import Error
from fleet.wire import Undecodable, decode, encode, to_json
from tests.wire import page
from tests.wire.test_protocol_page import shape

NOW = datetime(2026, 2, 1, 10, tzinfo=UTC)
SECRET = b"s"
ASKED = JoinRequest("b1", "hall1-cam", "b827eb0000a1", ("192.0.2.17",), "1.0", "key")
TOKEN = KeptToken("t", NOW + timedelta(hours=1), None, 0, None, False, NOW, "ann")
JOINED = KeptCredential("b1", "key", NOW, NOW + timedelta(days=365), TOKEN.id)
KNOWN = KeptCredential("b1", "key", NOW, NOW + timedelta(days=365), "before")


@pytest.mark.parametrize(
    ("token", "known", "approved", "expected"),
    [
        (TOKEN, None, False, JoinGrant(counts=True)),
        (evolve(TOKEN, until=NOW), None, False, "TokenExpired"),
        (evolve(TOKEN, uses=2, used=1), None, False, JoinGrant(counts=True)),
        (evolve(TOKEN, uses=2, used=2), None, False, "TokenUsedUp"),
        (TOKEN, evolve(KNOWN, public_key="other"), False, "IdTaken"),
        (evolve(TOKEN, approve=True), evolve(KNOWN, public_key="other"), True, "IdTaken"),
        # The same box again: with its token the answer was lost, with another it counts.
        (evolve(TOKEN, uses=1, used=1), JOINED, False, JoinGrant(counts=False)),
        (evolve(TOKEN, uses=1), KNOWN, False, JoinGrant(counts=True)),
        (evolve(TOKEN, approve=True), None, False, JoinWaits()),
        (evolve(TOKEN, approve=True), KNOWN, False, JoinWaits()),
        (evolve(TOKEN, approve=True), JOINED, False, JoinGrant(counts=False)),
        (evolve(TOKEN, approve=True), None, True, JoinGrant(counts=True)),
        (evolve(TOKEN, approve=True, uses=1, used=1), None, True, "TokenUsedUp"),
    ],
)
def test_who_is_let_in(
    token: KeptToken, known: KeptCredential | None, approved: bool, expected: object
) -> None:
    found = judge(ASKED, token, known, NOW, approved)
    assert (found.error.type if isinstance(found, JoinRefusal) else found) == expected


@pytest.mark.parametrize("station", ["", "+", "#", "a/b", "B1", "b1\n", "x" * 65, "station:b1"])
def test_an_id_that_is_none_is_no_part_of_a_topic(station: str) -> None:
    with pytest.raises(Undecodable, match="station"):
        decode(encode(evolve(ASKED, station=station)), JoinRequest)


def test_what_ends_within_a_month_is_renewed_once_an_hour() -> None:
    kept = [evolve(KNOWN, station=str(days), ends=NOW + timedelta(days=days)) for days in (29, 31)]
    assert due(kept, NOW, {}, now=0.0) == ["29"]
    assert due(kept, NOW, {"29": 0.0}, now=AGAIN - 1) == []
    assert due(kept, NOW, {"29": 0.0}, now=AGAIN) == ["29"]


def test_a_box_that_waits_keeps_its_code_until_it_asks_no_more() -> None:
    now = 0.0
    boxes = WaitingBoxes(SECRET, lambda: now)
    first = boxes.hear(ASKED, "t", "box", NOW)
    assert first is not None
    assert set(first.code) <= set("ACDEFGHJKMNPQRTWXY-")
    now = 20.0
    again = boxes.hear(ASKED, "t", "other", NOW + timedelta(seconds=20))
    assert again is not None
    assert (again.code, again.since, again.box) == (first.code, NOW, "other")
    assert boxes.find(first.code.lower().replace("-", " ")) == again
    other = boxes.hear(evolve(ASKED, station="b9", proof=None), "t", "box", NOW)
    assert other is not None
    assert other.code != first.code, "what somebody says yes to is what they were shown"
    again = other
    now = 51.0
    assert list(boxes) == []
    assert boxes.find(first.code) is None


def test_a_manager_that_begins_anew_shows_the_same_code_and_another_fleet_another() -> None:
    def code(secret: bytes, asked: JoinRequest = ASKED) -> str:
        found = WaitingBoxes(secret).hear(asked, "t", "box", NOW)
        assert found is not None
        return found.code

    assert code(SECRET) == code(SECRET)
    others = {code(b"another"), code(SECRET, evolve(ASKED, public_key="k"))}
    others.add(code(SECRET, evolve(ASKED, hostname="hall2-cam")))
    assert len(others | {code(SECRET)}) == 4


def test_a_crowd_that_waits_is_bounded() -> None:
    boxes = WaitingBoxes(SECRET, lambda: 0.0)
    heard = [boxes.hear(evolve(ASKED, public_key=str(n)), "t", "b", NOW) for n in range(501)]
    assert heard[-1] is None
    codes = {one.code for one in heard if one}
    assert len(codes) == 500, "no two show the same"


def test_the_page_shows_what_travels() -> None:
    shown = page.payloads()
    answer = JoinAnswer(code="ACDE-FGHK")
    assert shape(shown["join/<token>/request/<box>"]) == shape(to_json(ASKED))
    assert shape(shown["join/<token>/reply/<box>"]) == shape(to_json(answer))
    refused = to_json(JoinAnswer(error=Error("IdTaken", "it is another box's")))
    assert refused["error"]["type"] == "IdTaken"
