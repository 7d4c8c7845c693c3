"""What becomes of a box that asks, as a table; and that the page of the protocol shows it."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from fleet.joining import JoinAnswer, JoinRequest
from fleet.manager.access.joining import JoinGrant, JoinRefusal, JoinWaits, judge
from fleet.manager.store import KeptCredential, KeptToken
from fleet.model import Error
from fleet.wire import to_json
from tests.wire import page
from tests.wire.test_protocol_page import shape

NOW = datetime(2026, 2, 1, 10, tzinfo=UTC)
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


def test_the_page_shows_what_travels() -> None:
    shown = page.payloads()
    answer = JoinAnswer("ACDE-FGHK", None, None)
    assert shape(shown["join/<token>/request/<box>"]) == shape(to_json(ASKED))
    assert shape(shown["join/<token>/reply/<box>"]) == shape(to_json(answer))
    refused = to_json(JoinAnswer(error=Error("IdTaken", "it is another box's")))
    assert refused["error"]["type"] == "IdTaken"
