"""Who may do what, as a table."""

from typing import Any

import attrs
import pytest

from fleet.manager.people.rights import NEEDS, BadRights, Reach, Rights, least, reach
from fleet.manager.requests import OPERATIONS
from fleet.operations.actions import CallArguments
from fleet.operations.people import UserPasswdArguments
from fleet.operations.rollouts import RollbackArguments, RolloutArguments

EVERYBODY = "viewer room:hall1 operator admin"
ROOM = "room:hall1 operator admin"
OPERATORS = "operator admin"
ADMINS = "admin"
MAY = {
    "plan": EVERYBODY,
    "apply": OPERATORS,
    "status": EVERYBODY,
    "rollout": EVERYBODY,
    "rollback": OPERATORS,
    "validate": EVERYBODY,
    "history": EVERYBODY,
    "show": EVERYBODY,
    "diff": EVERYBODY,
    "export": EVERYBODY,
    "retire": OPERATORS,
    "adopt": OPERATORS,
    "maintenance": ROOM,
    "talk": ROOM,
    "ack": ROOM,
    "notify": OPERATORS,
    "schedule": EVERYBODY,
    "recordings": EVERYBODY,
    "cutlist": EVERYBODY,
    "mark": ROOM,
    "stop": ROOM,
    "start": ROOM,
    "restart": ROOM,
    "token": ADMINS,
    "waiting": EVERYBODY,
    "approve": ADMINS,
    "revoke": ADMINS,
    "rotate": ADMINS,
    "call": ROOM,
    "mixer": EVERYBODY,
    "cut": ROOM,
    "audio": ROOM,
    "live": ROOM,
    "blank": ROOM,
    "secrets": EVERYBODY,
    "secret_set": OPERATORS,
    "doctor": EVERYBODY,
    "check": EVERYBODY,
    "user_list": EVERYBODY,
    "user_add": ADMINS,
    "user_passwd": ADMINS,
    "user_remove": ADMINS,
}
"""Operation -> who may ask for it in hall1."""
ASKED = {
    "call": CallArguments("hall1-cam", "drill", "nap", {}),
    "rollout": RolloutArguments(),
    "rollback": RollbackArguments("hall1-cam"),
    "user_passwd": UserPasswdArguments("bob", ""),
}


def test_every_operation_says_what_it_needs_and_is_tried_here() -> None:
    assert NEEDS.keys() == OPERATIONS.keys()
    assert MAY.keys() == NEEDS.keys(), "say here too who may ask for it"


def test_what_reaches_a_room_says_which() -> None:
    for operation, (arguments, _) in OPERATIONS.items():
        if NEEDS[operation] is Reach.ROOM:
            names = {one.name for one in attrs.fields(arguments)}
            assert names & {"room", "station", "target"}, operation


@pytest.mark.parametrize("operation", MAY)
def test_who_may_ask_for_it(operation: str) -> None:
    needed = reach(operation, "ann", ASKED.get(operation))
    for text in EVERYBODY.split():
        assert Rights.parse(text).allow(needed, {"hall1"}) == (text in MAY[operation].split()), text
    in_another_room = Rights.parse("room:hall2").allow(needed, {"hall1"})
    assert in_another_room == (MAY[operation] == EVERYBODY)


@pytest.mark.parametrize(
    ("operation", "asked", "needed"),
    [
        ("rollout", RolloutArguments(stop=True), Reach.ANYWHERE),
        ("rollback", RollbackArguments(None, dry_run=True), Reach.READ),
        ("user_passwd", UserPasswdArguments("ann", ""), Reach.READ),
        ("call", CallArguments("hall1-cam", "station", "logs", {}), Reach.READ),
        ("call", CallArguments("hall1-mix", "mix", "get", {}), Reach.READ),
        ("call", CallArguments("hall1-cam", "station", "restart", {}), Reach.ROOM),
        ("call", CallArguments("hall1-cam", "station", "credential", {}), Reach.ADMIN),
        ("call", CallArguments("hall1-cam", "station", "whatever", {}), Reach.ADMIN),
        ("something_new", None, Reach.ADMIN),
    ],
)
def test_what_is_asked_for_decides_too(operation: str, asked: Any, needed: Reach) -> None:
    assert reach(operation, "ann", asked) is needed


@pytest.mark.parametrize(
    ("rights", "rooms", "allowed"),
    [
        ("room:hall1", {"hall1"}, True),
        ("room:hall1,hall2", {"hall1", "hall2"}, True),
        ("room:hall1", {"hall1", "hall2"}, False),
        ("room:hall1", {None}, False),
        ("room:hall1", {"hall1", None}, False),
        ("room:hall1", set(), False),
        ("operator", {None}, True),
        ("viewer", {"hall1"}, False),
    ],
)
def test_who_may_act_in_a_room_may_in_no_other(
    rights: str, rooms: set[str | None], allowed: bool
) -> None:
    assert Rights.parse(rights).allow(Reach.ROOM, rooms) is allowed
    assert not allowed or least(Reach.ROOM, rooms).allow(Reach.ROOM, rooms)


def test_rights_are_read_and_written() -> None:
    for text in ("viewer", "room:hall1", "room:hall1,hall2", "operator", "admin"):
        assert str(Rights.parse(text)) == text
    assert str(Rights.parse("room:hall10, room:hall2")) == "room:hall2,hall10"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root", "expected viewer, room:NAME"),
        ("", "expected viewer"),
        ("Admin", "expected viewer"),
        ("room:", "'' is no room's name"),
        ("room:hall 1", "'hall 1' is no room's name"),
        ("room:hall1,", "'' is no room's name"),
        ("operator,room:hall1", "expected viewer"),
        ("room:" + ",".join(f"r{number}" for number in range(101)), "101 rooms are too many"),
    ],
)
def test_what_are_no_rights_is_said(text: str, said: str) -> None:
    with pytest.raises(BadRights) as caught:
        Rights.parse(text)
    assert said in str(caught.value)
